/**
 * The half of the hook `jwt` that answers: whether an announce carries a token that is good. Where the keys come from is jwt.ts.
 *
 * Taken is a token that is signed with a key of the set (RS256 or ES256, as the key says, not as the token says), for this
 * issuer and audience, for this info-hash (`infohash`: 20 bytes, as they are or escaped, or 40 hexadecimal digits), and
 * neither past `exp` nor before `nbf`. The cheap checks come first: a signature costs a hundred microseconds.
 */
import { type KeyObject, verify } from 'node:crypto'
import { bytesEqual, type Clock, fromHex, fromLatin1 } from '../../base/index.ts'
import type { AnnounceRequest } from '../announce-request.ts'
import { type Failure, failures } from '../failures.ts'
import { findParameter } from '../parameters.ts'
import type { Hook } from './hook.ts'
import type { JwtClaims } from './hook-share.ts'
import type { SigningKey } from './jwk-set.ts'

const MAX_TOKEN_CHARACTERS = 6144

interface Claims {
  readonly iss?: unknown
  readonly aud?: unknown
  readonly exp?: unknown
  readonly nbf?: unknown
  readonly infohash?: unknown
}

export class JwtVerifier implements Hook {
  readonly #required: JwtClaims
  readonly #keys: ReadonlyMap<string, SigningKey>
  readonly #clock: Clock

  constructor(required: JwtClaims, keys: ReadonlyMap<string, SigningKey>, clock: Clock) {
    this.#required = required
    this.#keys = keys
    this.#clock = clock
  }

  approve(request: AnnounceRequest): Failure | null {
    const { parameters, parametersStart, parametersEnd } = request
    const token = findParameter(parameters, parametersStart, parametersEnd, 'jwt')
    if (token === null) return failures.missingJwt
    return this.#isValid(token, request.infoHash) ? null : failures.invalidJwt
  }

  #isValid(token: string, infoHash: Uint8Array): boolean {
    if (token.length > MAX_TOKEN_CHARACTERS) return false
    const [headText, claimsText, signatureText, more] = token.split('.')
    if (signatureText === undefined || more !== undefined) return false
    const head = parseObject(headText!) as { kid?: unknown; alg?: unknown; crit?: unknown } | null
    if (head === null || typeof head.kid !== 'string' || head.crit !== undefined) return false
    const key = this.#keys.get(head.kid)
    if (key === undefined || head.alg !== key.algorithm) return false
    const claims = parseObject(claimsText!) as Claims | null
    if (claims === null || !this.#claimsHold(claims, infoHash)) return false
    const signature = Buffer.from(signatureText, 'base64url')
    const signed = Buffer.from(`${headText}.${claimsText}`, 'latin1')
    return verifies(key.key, signed, signature)
  }

  #claimsHold({ iss, aud, exp, nbf, infohash }: Claims, infoHash: Uint8Array): boolean {
    const { issuer, audience } = this.#required
    const now = this.#clock.wallMs() / 1000
    if (iss !== issuer) return false
    if (!(Array.isArray(aud) ? aud.includes(audience) : aud === audience)) return false
    if (exp !== undefined && !(typeof exp === 'number' && now < exp)) return false
    if (nbf !== undefined && !(typeof nbf === 'number' && now >= nbf)) return false
    return typeof infohash === 'string' && namesHash(infohash, infoHash)
  }
}

/** ES256 signs as two numbers of 32 bytes (RFC 7518, 3.4); RSA does not look at the setting. */
function verifies(key: KeyObject, signed: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false
  }
}

function parseObject(text: string): object | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
    return typeof value === 'object' && value !== null ? value : null
  } catch {
    return null
  }
}

function namesHash(claim: string, infoHash: Uint8Array): boolean {
  if (claim.length === 40) {
    const bytes = fromHex(claim)
    if (bytes !== null) return bytesEqual(bytes, infoHash)
  }
  if (claim.length === 20) return bytesEqual(fromLatin1(claim), infoHash)
  const unescaped = claim
    .replaceAll('+', ' ')
    .replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
  return bytesEqual(fromLatin1(unescaped), infoHash)
}
