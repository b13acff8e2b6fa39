/** Tokens: which are taken, and that nothing else is; over HTTP and over UDP. */
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom, silentLogger } from '../../../src/base/index.ts'
import { createPeerStore } from '../../../src/peer-store/index.ts'
import { AnnounceRequest, Announcer } from '../../../src/tracker/announce.ts'
import { ConnectionIds, makeConnectionIds } from '../../../src/tracker/connection-id.ts'
import { Counters } from '../../../src/tracker/counters.ts'
import { HookList } from '../../../src/tracker/hooks/hook.ts'
import { parseKeySet } from '../../../src/tracker/hooks/jwk-set.ts'
import { JwtApproval } from '../../../src/tracker/hooks/jwt.ts'
import { findParameter } from '../../../src/tracker/parameters.ts'
import { UdpHandler } from '../../../src/tracker/udp-handler.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const NOW_S = 1_000_000
const HASH = Uint8Array.from({ length: 20 }, (_, i) => i * 12)
const GOOD = {
  iss: 'me',
  aud: 'them',
  infohash: Buffer.from(HASH).toString('hex'),
  exp: NOW_S + 60,
  nbf: NOW_S - 60,
}

const jwk = (key: KeyObject, kid: string, more: object = {}): object => ({
  ...key.export({ format: 'jwk' }),
  kid,
  ...more,
})
const SET = JSON.stringify({
  keys: [
    jwk(rsa.publicKey, 'r'),
    jwk(ec.publicKey, 'e'),
    { kid: 'x', kty: 'oct', k: 'AAAA' },
    null,
    { kid: 'y', kty: 'RSA', n: '?' },
  ],
})

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function token(
  claims: object,
  kid: 'r' | 'e' = 'e',
  key?: KeyObject,
  alg = kid === 'r' ? 'RS256' : 'ES256',
): string {
  const text = `${encode({ alg, kid })}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(text), {
    key: key ?? (kid === 'r' ? rsa : ec).privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  return `${text}.${signature.toString('base64url')}`
}

async function setUp(set = SET) {
  const clock = new ManualClock(NOW_S * 1000)
  const source = { text: set, fetches: 0 }
  const options = {
    issuer: 'me',
    audience: 'them',
    jwkSetUrl: 'http://keys',
    updateIntervalMs: 60_000,
  }
  const hook = new JwtApproval(options, clock, silentLogger, () => {
    source.fetches++
    return source.text === '' ? Promise.reject(new Error('down')) : Promise.resolve(source.text)
  })
  await hook.start()
  const ask = (query: string) => {
    const request = new AnnounceRequest()
    request.infoHash.set(HASH)
    request.parameters = Buffer.from(`##${query}##`, 'latin1')
    request.parametersStart = 2
    request.parametersEnd = 2 + query.length
    return hook.approve(request)
  }
  return { hook, clock, source, ask, verdict: (jwt: string) => ask(`a=1&jwt=${jwt}&b=2`) }
}

const INVALID = 'unapproved request: invalid jwt'

test('a good token is taken, signed with RSA or on P-256, the hash in any of its forms', async () => {
  const { ask, verdict } = await setUp()
  assert.equal(verdict(token(GOOD, 'r')), null)
  assert.equal(verdict(token(GOOD, 'e')), null)
  assert.equal(verdict(token({ ...GOOD, aud: ['others', 'them'] })), null)
  assert.equal(verdict(token({ iss: 'me', aud: 'them', infohash: GOOD.infohash })), null)
  assert.equal(verdict(token({ ...GOOD, infohash: Buffer.from(HASH).toString('latin1') })), null)
  const escaped = [...HASH].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  assert.equal(verdict(token({ ...GOOD, infohash: escaped })), null)
  assert.equal(ask(`JWT=${token(GOOD).replaceAll('.', '%2e')}`), null)
  assert.equal(ask('a=1'), 'unapproved request: missing jwt')
  assert.equal(ask(''), 'unapproved request: missing jwt')
})

test('a token is refused for every single thing that is wrong with it', async () => {
  const { verdict } = await setUp()
  const [head, claims, signature] = token(GOOD).split('.') as [string, string, string]
  const stolen = createHmac('sha256', rsa.publicKey.export({ type: 'spki', format: 'pem' }))
  const hs256 = `${encode({ alg: 'HS256', kid: 'r' })}.${encode(GOOD)}`
  for (const [name, jwt] of [
    ['expired', token({ ...GOOD, exp: NOW_S })],
    ['not yet', token({ ...GOOD, nbf: NOW_S + 1 })],
    ['exp no number', token({ ...GOOD, exp: 'later' })],
    ['nbf no number', token({ ...GOOD, nbf: null })],
    ['issuer', token({ ...GOOD, iss: 'you' })],
    ['audience', token({ ...GOOD, aud: ['others'] })],
    ['hash', token({ ...GOOD, infohash: 'ab'.repeat(20) })],
    ['no hash', token({ ...GOOD, infohash: undefined })],
    ['no claims', token([])],
    ['key', token(GOOD, 'e', other.privateKey)],
    ['algorithm of another key', token(GOOD, 'e', ec.privateKey, 'RS256')],
    ['no algorithm', `${encode({ alg: 'none', kid: 'e' })}.${claims}.`],
    ['public key as a secret', `${hs256}.${stolen.update(hs256).digest('base64url')}`],
    ['unknown kid', `${encode({ alg: 'ES256', kid: 'z' })}.${claims}.${signature}`],
    [
      'critical extension',
      `${encode({ alg: 'ES256', kid: 'e', crit: ['b64'] })}.${claims}.${signature}`,
    ],
    ['claims changed', `${head}.${encode({ ...GOOD, exp: NOW_S + 999 })}.${signature}`],
    ['signature cut', `${head}.${claims}.${signature.slice(0, -4)}`],
    ['no signature', `${head}.${claims}`],
    ['four parts', `${head}.${claims}.${signature}.x`],
    ['no JSON', `${head}.!!!.${signature}`],
    ['empty', ''],
    ['long', `${head}.${claims}.${'A'.repeat(9000)}`],
  ] as const) {
    assert.equal(verdict(jwt), INVALID, name)
  }
  assert.equal(verdict('%zz'), 'unapproved request: missing jwt')
})

test('tokens end while the tracker runs', async () => {
  const { clock, verdict } = await setUp()
  const jwt = token(GOOD)
  clock.advance(59_000)
  assert.equal(verdict(jwt), null)
  clock.advance(1000)
  assert.equal(verdict(jwt), INVALID)
})

test('keys are fetched again; a failure keeps those that are there', async () => {
  const { hook, clock, source, verdict } = await setUp()
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  const eternal = { ...GOOD, exp: NOW_S * 2 }
  source.text = ''
  clock.advance(60_000)
  await turns()
  assert.equal(verdict(token(eternal)), null)
  source.text = JSON.stringify({ keys: [jwk(other.publicKey, 'e')] })
  clock.advance(60_000)
  await turns()
  assert.equal(source.fetches, 3)
  assert.equal(verdict(token(eternal)), INVALID)
  assert.equal(verdict(token(eternal, 'e', other.privateKey)), null)
  hook.stop()
  clock.advance(600_000)
  await turns()
  assert.equal(source.fetches, 3)
})

test('no keys at the start is an error that names the URL', async () => {
  for (const set of [
    '',
    '{}',
    '[]',
    'nonsense',
    '{"keys":[]}',
    '{"keys":[{"kid":"a","kty":"oct","k":"AA"}]}',
  ]) {
    await assert.rejects(setUp(set), { code: 'TRACKER_JWK_SET', message: /http:\/\/keys/ })
  }
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 })
  assert.throws(() => parseKeySet(JSON.stringify({ keys: [jwk(small.publicKey, 's')] })))
  assert.throws(() =>
    parseKeySet(JSON.stringify({ keys: [jwk(ec.publicKey, 'e', { use: 'enc' })] })),
  )
})

test('over UDP the token comes in the URL data of BEP 41, in pieces', async () => {
  const { hook, clock } = await setUp()
  const store = createPeerStore({ clock, random: seededRandom(1) })
  const connectionIds = new ConnectionIds(clock, makeConnectionIds(clock, seededRandom(2)))
  const policy = {
    announceIntervalMs: 900_000,
    minAnnounceIntervalMs: 60_000,
    retryIntervalMs: 60_000,
    defaultWanted: 50,
    maxWanted: 100,
  }
  const counters = new Counters()
  const announcer = new Announcer(store, policy, new HookList([hook]))
  const handler = new UdpHandler({
    store,
    announcer,
    connectionIds,
    counters,
    allowIpSpoofing: false,
  })
  const here = Uint8Array.of(127, 0, 0, 1)
  const id = new Uint8Array(8)
  connectionIds.issue(here, id)
  const announce = (url: string): string => {
    const options: Buffer[] = []
    for (let at = 0; at < url.length; at += 200) {
      const piece = Buffer.from(url.slice(at, at + 200), 'latin1')
      options.push(Buffer.of(1, 2, piece.length), piece)
    }
    const packet = Buffer.concat([Buffer.alloc(98), ...options, Buffer.of(0)])
    packet.set(id)
    packet.writeUInt32BE(1, 8)
    packet.set(HASH, 16)
    packet.writeUInt16BE(6881, 96)
    const length = handler.handle(packet, here)
    const reply = Buffer.from(handler.reply.subarray(0, length))
    return reply.readUInt32BE(0) === 1 ? 'ok' : reply.subarray(8).toString()
  }
  assert.equal(announce(`/announce?x=1&jwt=${token(GOOD, 'r')}`), 'ok')
  assert.equal(announce(''), 'unapproved request: missing jwt')
  assert.equal(announce('/announce'), 'unapproved request: missing jwt')
  assert.equal(announce('?jwt=a.b.c'), INVALID)
  assert.equal(announce(`/announce?${'a'.repeat(9000)}`), 'malformed packet')
  assert.equal(store.stats().leechers4 + store.stats().seeders4, 1)
  assert.equal(counters.errors[INVALID], 1)
})

test('a parameter is found as URLSearchParams finds it', () => {
  const piece = fc.constantFrom('a', 'A', 'b', '=', '&', '%41', '+', '1', '%3d')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const query = pieces.join('')
      const bytes = Buffer.from(query)
      const expected = [...new URLSearchParams(query)]
        .filter(([name]) => name.toLowerCase() === 'a')
        .at(-1)
      assert.equal(findParameter(bytes, 0, bytes.length, 'a'), expected?.[1] ?? null)
    }),
    { numRuns: 1000 },
  )
})
