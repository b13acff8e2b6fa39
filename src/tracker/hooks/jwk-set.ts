/** A JSON Web Key Set (RFC 7517): from where it is published to keys by their id. */
import { createPublicKey, type KeyObject } from 'node:crypto'

export interface SigningKey {
  readonly algorithm: 'RS256' | 'ES256'
  readonly key: KeyObject
}

/** The text at a URL; rejects when it cannot be had. */
export type FetchText = (url: string) => Promise<string>

const MAX_SET_BYTES = 1 << 20
const MAX_KEYS = 1000
const FETCH_TIMEOUT_MS = 15_000
const MIN_RSA_BITS = 2048

/** Keys that are no RSA or P-256 signing keys are passed over; no key at all is an error. */
export function parseKeySet(text: string): ReadonlyMap<string, SigningKey> {
  const set = JSON.parse(text) as { keys?: unknown }
  if (!Array.isArray(set?.keys)) throw new Error('it is no JSON Web Key Set')
  const found = new Map<string, SigningKey>()
  for (const jwk of set.keys.slice(0, MAX_KEYS) as unknown[]) {
    const { kid, kty, use } = (jwk ?? {}) as { kid?: unknown; kty?: unknown; use?: unknown }
    if (typeof kid !== 'string' || (use !== undefined && use !== 'sig')) continue
    if (kty !== 'RSA' && kty !== 'EC') continue
    const key = readKey(jwk as object)
    if (key !== undefined) found.set(kid, key)
  }
  if (found.size === 0) throw new Error('it has no RSA or P-256 key with an id')
  return found
}

function readKey(jwk: object): SigningKey | undefined {
  try {
    const key = createPublicKey({ key: jwk as never, format: 'jwk' })
    const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
    if (key.asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS)
      return { algorithm: 'RS256', key }
    if (key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1')
      return { algorithm: 'ES256', key }
  } catch {
    // A key that cannot be read signs nothing.
  }
  return undefined
}

/** Over HTTP and HTTPS, in bounded time and size. */
export const fetchText: FetchText = async (url) => {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
    headers: { accept: 'application/json' },
  }).catch((error: Error) => {
    // It says no more than that it failed; why is below it.
    const { message, code } = (error.cause ?? error) as { message?: string; code?: string }
    throw new Error(message || code || error.message, { cause: error })
  })
  if (!response.ok) throw new Error(`HTTP ${response.status}`)
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += (part as Uint8Array).length
    if (bytes > MAX_SET_BYTES) throw new Error(`more than ${MAX_SET_BYTES} bytes`)
    parts.push(part as Uint8Array)
  }
  return Buffer.concat(parts).toString('utf8')
}
