/** Magnets, and info-hashes as text. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromHex, SeedbedError, toHex } from '../../src/base/index.ts'
import {
  formatMagnet,
  MAGNET_CHARACTERS_MAX,
  MAGNET_PEERS_MAX,
  MAGNET_RANGES_MAX,
  type Magnet,
  metainfoErrors,
  parseInfoHash,
  parseMagnet,
  TRACKERS_MAX,
  WEB_SEEDS_MAX,
} from '../../src/metainfo/index.ts'
import { codeOf } from './torrents.ts'

const hex = '0123456789abcdef0123456789abcdef01234567'
const base32 = 'AERUKZ4JVPG66AJDIVTYTK6N54ASGRLH'
const infoHash = fromHex(hex)!
const hash64 = '00112233445566778899aabbccddeeff0123456789abcdef0011223344556677'
const infoHashV2 = fromHex(hash64)!
const bare: Magnet = {
  infoHash,
  infoHashV2: undefined,
  name: undefined,
  trackers: [],
  peers: [],
  webSeeds: [],
  selected: undefined,
  totalBytes: undefined,
}

test('info-hashes in hexadecimal and base32, in either case', () => {
  for (const text of [hex, hex.toUpperCase(), base32, base32.toLowerCase()]) {
    assert.equal(toHex(parseInfoHash(text)!), hex)
  }
  for (const text of [
    '',
    hex.slice(1),
    `${hex}0`,
    `g${hex.slice(1)}`,
    `1${base32.slice(1)}`,
    base32.slice(1),
  ]) {
    assert.equal(parseInfoHash(text), null)
  }
})

const understood: readonly (readonly [string, Partial<Magnet>])[] = [
  [`magnet:?xt=urn:btih:${hex}`, {}],
  [`  MAGNET:?XT=URN:BTIH:${hex.toUpperCase()}\n`, {}],
  [`magnet:?xt=urn:btih:${base32}`, {}],
  [`magnet:?xt.1=urn:btih:${hex}&xt.2=urn:btmh:1220ff`, {}],
  [`magnet:?xt=urn:sha1:XYZ&xt=urn:btih:${hex}&xt=urn:btih:${base32}`, {}],
  [`magnet:?dn=a+b%20%C3%BC&xt=urn:btih:${hex}`, { name: 'a b ü' }],
  [`magnet:?dn=&xt=urn:btih:${hex}#dn=x`, {}],
  [`magnet:?dn=${'x'.repeat(1025)}&xt=urn:btih:${hex}`, {}],
  [`magnet:?xt=urn:btih:${hex}&xl=1234`, { totalBytes: 1234 }],
  [`magnet:?xt=urn:btih:${hex}&xl=0`, {}],
  [`magnet:?xt=urn:btih:${hex}&xl=9007199254740992`, {}],
  [`magnet:?xt=urn:btih:${hex}&xl=1e3`, {}],
  [
    `magnet:?xt=urn:btih:${hex}&tr=udp%3A%2F%2Fa%3A1%2Fx&tr.1=http://b/&tr=udp://a:1/x&tr=nonsense`,
    { trackers: ['udp://a:1/x', 'http://b/'] },
  ],
  [
    `magnet:?xt=urn:btih:${hex}&x.pe=10.0.0.1:6881&x.pe=[2001:db8::1]:1&x.pe=host.example:65535`,
    {
      peers: [
        { host: '10.0.0.1', port: 6881 },
        { host: '2001:db8::1', port: 1 },
        { host: 'host.example', port: 65_535 },
      ],
    },
  ],
  [
    `magnet:?xt=urn:btih:${hex}&x.pe=a:0&x.pe=a:65536&x.pe=a&x.pe=:1&x.pe=[a]:1&x.pe=::1:80&x.pe=[fe80::1%25lo]:1`,
    {},
  ],
  [
    `magnet:?xt=urn:btih:${hex}&so=0,2-4&ws=http://x/&ws.2=ftp://x/&as=y&&=&%zz=%`,
    {
      webSeeds: ['http://x/'],
      selected: [
        [0, 0],
        [2, 4],
      ],
    },
  ],
  [`magnet:?xt=urn:btih:${hex}&so=4-2`, {}],
  [`magnet:?xt=urn:btih:${hex}&so=1,x`, {}],
  [`magnet:?xt=urn:btih:${hex}&so=999999`, {}],
  [
    `magnet:?xt=urn:btmh:1220${hash64.toUpperCase()}`,
    { infoHash: infoHashV2.slice(0, 20), infoHashV2 },
  ],
  [`magnet:?xt.1=urn:btmh:1220${hash64}&xt.2=urn:btih:${hex}`, { infoHashV2 }],
  [`magnet:?xt=urn:btmh:1114${hex}&xt=urn:btih:${hex}`, {}],
]

for (const [uri, expected] of understood) {
  test(`understands ${JSON.stringify(uri.slice(0, 160))}`, () => {
    assert.deepEqual(parseMagnet(uri), { ...bare, ...expected })
  })
}

const refused: readonly (readonly [string, keyof typeof metainfoErrors])[] = [
  ['', 'METAINFO_BAD_MAGNET'],
  ['http://example/', 'METAINFO_BAD_MAGNET'],
  ['magnet:', 'METAINFO_BAD_MAGNET'],
  ['magnet:?', 'METAINFO_BAD_MAGNET'],
  ['magnet:?dn=x', 'METAINFO_BAD_MAGNET'],
  ['magnet:?xt=urn:btih:', 'METAINFO_BAD_MAGNET'],
  [`magnet:?xt=urn:btih:${hex.slice(1)}`, 'METAINFO_BAD_MAGNET'],
  [`magnet:?xt=${hex}`, 'METAINFO_BAD_MAGNET'],
  [`magnet:?xt=urn:btih:${hex}&xt=urn:btih:${'0'.repeat(40)}`, 'METAINFO_BAD_MAGNET'],
  [`magnet:?xt=urn:btmh:1220${'0'.repeat(62)}`, 'METAINFO_BAD_MAGNET'],
  [`magnet:?xt=urn:btmh:1114${'0'.repeat(40)}`, 'METAINFO_BAD_MAGNET'],
  [
    `magnet:?xt=urn:btmh:1220${'0'.repeat(64)}&xt=urn:btmh:1220${'1'.repeat(64)}`,
    'METAINFO_BAD_MAGNET',
  ],
  [`magnet:?xt=urn:btih:${hex}&dn=${'x'.repeat(MAGNET_CHARACTERS_MAX)}`, 'METAINFO_BAD_MAGNET'],
]

for (const [uri, code] of refused) {
  test(`refuses ${JSON.stringify(uri.slice(0, 100))}: ${code}`, () => {
    assert.equal(
      codeOf(() => parseMagnet(uri)),
      code,
    )
  })
}

const magnet: fc.Arbitrary<Magnet> = fc
  .record(
    {
      infoHash: fc
        .uint8Array({ minLength: 20, maxLength: 20 })
        .map((bytes) => new Uint8Array(bytes)),
      name: fc.option(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), {
        nil: undefined,
      }),
      trackers: fc.uniqueArray(
        fc.webUrl({ withQueryParameters: true }).filter((url) => url.length <= 1024),
        { maxLength: 5 },
      ),
      peers: fc.array(
        fc.record(
          {
            host: fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()),
            port: fc.integer({ min: 1, max: 65_535 }),
          },
          { noNullPrototype: true },
        ),
        { maxLength: 4 },
      ),
      infoHashV2: fc.option(
        fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => new Uint8Array(bytes)),
        { nil: undefined },
      ),
      webSeeds: fc.uniqueArray(
        fc.webUrl({ withQueryParameters: true }).filter((url) => url.length <= 1024),
        { maxLength: 3 },
      ),
      selected: fc.option(
        fc.array(
          fc
            .tuple(fc.nat({ max: 1000 }), fc.nat({ max: 1000 }))
            .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const),
          { minLength: 1, maxLength: 4 },
        ),
        { nil: undefined },
      ),
      v2Alone: fc.boolean(),
      totalBytes: fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), {
        nil: undefined,
      }),
    },
    { noNullPrototype: true },
  )
  .map(({ v2Alone, ...value }) =>
    v2Alone && value.infoHashV2 !== undefined
      ? { ...value, infoHash: value.infoHashV2.slice(0, 20) }
      : value,
  )

test('what was formatted is parsed again', () => {
  fc.assert(
    fc.property(magnet, (value) => {
      assert.deepEqual(parseMagnet(formatMagnet(value)), value)
    }),
    { seed: 9, numRuns: 500 },
  )
})

test('the fullest magnet that is accepted still is when formatted', () => {
  const filler = '"'.repeat(10)
  const full: Magnet = {
    infoHash,
    name: 'ü'.repeat(512),
    trackers: Array.from({ length: TRACKERS_MAX }, (_, i) =>
      `udp://${i}/${filler}`.padEnd(1024, '"'),
    ),
    peers: Array.from({ length: MAGNET_PEERS_MAX }, () => ({
      host: 'h'.repeat(253),
      port: 65_535,
    })),
    infoHashV2,
    webSeeds: Array.from({ length: WEB_SEEDS_MAX }, (_, i) =>
      `http://${i}/${filler}`.padEnd(1024, '"'),
    ),
    selected: Array.from({ length: MAGNET_RANGES_MAX }, () => [100_000, 499_999] as const),
    totalBytes: Number.MAX_SAFE_INTEGER,
  }
  assert.deepEqual(parseMagnet(formatMagnet(full)), full)
})

test('any text at all is a magnet or METAINFO_ error', () => {
  const part = fc.constantFrom(
    'magnet:?',
    'xt=',
    'urn:btih:',
    hex,
    '&',
    'tr=',
    '%',
    '[',
    ':1',
    'x.pe=',
    '#',
  )
  const soup = fc.array(fc.oneof(part, fc.string({ maxLength: 5 })), { maxLength: 12 })
  fc.assert(
    fc.property(soup, (parts) => {
      try {
        parseMagnet(parts.join(''))
      } catch (error) {
        assert.ok(error instanceof SeedbedError && error.code in metainfoErrors, String(error))
      }
    }),
    { seed: 10, numRuns: 2000 },
  )
})
