/** The .torrent file around the info dictionary. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromLatin1, SeedbedError, seededRandom, toLatin1 } from '../../src/base/index.ts'
import { type Encodable, encode } from '../../src/bencode/index.ts'
import {
  encodeMetainfo,
  metainfoErrors,
  parseInfo,
  parseMetainfo,
  TORRENT_BYTES_MAX,
  TRACKERS_MAX,
} from '../../src/metainfo/index.ts'
import { codeOf, multiFile, singleFile } from './torrents.ts'

const info = singleFile()
const udp = 'udp://tracker.example:6969/announce'
const http = 'http://[2001:db8::1]/announce?key=%20'

test('all that a torrent file says', () => {
  const bytes = encode({
    announce: 'http://ignored.example/',
    'announce-list': [[udp, http], ['wss://third.example']],
    comment: 'grüße',
    'created by': 'somebody',
    'creation date': 1_700_000_000,
    info,
    'url-list': ['https://files.example/a%20b/', 'ftp://no.example/', 7],
  })
  assert.deepEqual(parseMetainfo(bytes), {
    info: parseInfo(encode(info)),
    layers: new Map(),
    trackers: [[udp, http], ['wss://third.example']],
    webSeeds: ['https://files.example/a%20b/'],
    comment: 'grüße',
    createdBy: 'somebody',
    createdAtS: 1_700_000_000,
  })
})

test('an info dictionary is enough', () => {
  assert.deepEqual(parseMetainfo(encode({ info })), {
    info: parseInfo(encode(info)),
    layers: new Map(),
    trackers: [],
    webSeeds: [],
    comment: undefined,
    createdBy: undefined,
    createdAtS: undefined,
  })
})

test('web seeds: one URL or several, each once', () => {
  const seeds = (list: Encodable): readonly string[] =>
    parseMetainfo(encode({ info, 'url-list': list })).webSeeds
  assert.deepEqual(seeds('http://a.example/x'), ['http://a.example/x'])
  assert.deepEqual(seeds(['http://a.example/x', 'http://a.example/x', '']), ['http://a.example/x'])
  assert.deepEqual(seeds(5), [])
})

test('announce counts when announce-list says nothing', () => {
  for (const list of [undefined, [], [[]], 'x', [['not a url', 7]], 5]) {
    const bytes = encode({ announce: udp, 'announce-list': list, info })
    assert.deepEqual(parseMetainfo(bytes).trackers, [[udp]])
  }
})

test('garbage in what is optional is as if it were not there', () => {
  const bytes = encode({
    announce: [1],
    'announce-list': { a: 1 },
    comment: fromLatin1('\xff'),
    'created by': 3,
    'creation date': -1,
    info,
  })
  const metainfo = parseMetainfo(bytes)
  assert.deepEqual(
    { ...metainfo, info: undefined },
    {
      info: undefined,
      layers: new Map(),
      trackers: [],
      webSeeds: [],
      comment: undefined,
      createdBy: undefined,
      createdAtS: undefined,
    },
  )
  const deep = `${'l'.repeat(100)}${'e'.repeat(100)}`
  const nested = fromLatin1(`d8:announce${deep}4:info${toLatin1(encode(info))}e`)
  assert.deepEqual(parseMetainfo(nested).trackers, [])
})

test('trackers: repeated ones once, at most TRACKERS_MAX', () => {
  const many = Array.from({ length: TRACKERS_MAX + 50 }, (_, i) => [`udp://t${i >> 1}.example`])
  const list = [[udp, udp], [udp], ...many]
  const { trackers } = parseMetainfo(encode({ 'announce-list': list, info }))
  assert.deepEqual(trackers[0], [udp])
  assert.equal(trackers.length, 1 + (TRACKERS_MAX + 50) / 2)
  const more = Array.from({ length: TRACKERS_MAX + 50 }, (_, i) => `udp://t${i}.example`)
  assert.equal(
    parseMetainfo(encode({ 'announce-list': [more], info })).trackers[0]!.length,
    TRACKERS_MAX,
  )
})

const refused: readonly (readonly [string, keyof typeof metainfoErrors, Uint8Array])[] = [
  ['nothing', 'METAINFO_NOT_BENCODE', new Uint8Array(0)],
  ['a web page', 'METAINFO_NOT_BENCODE', fromLatin1('<!doctype html>')],
  ['a list', 'METAINFO_NOT_BENCODE', encode([])],
  ['what was cut off', 'METAINFO_NOT_BENCODE', encode({ info }).subarray(0, -1)],
  ['what goes on', 'METAINFO_NOT_BENCODE', fromLatin1(`${toLatin1(encode({ info }))}e`)],
  ['two info dictionaries', 'METAINFO_NOT_BENCODE', fromLatin1('d4:infode4:infodee')],
  ['no info', 'METAINFO_BAD_TORRENT', encode({ announce: udp })],
  ['info as a text', 'METAINFO_NOT_BENCODE', encode({ info: 'x' })],
  ['an empty info', 'METAINFO_BAD_INFO', encode({ info: {} })],
  ['v2 only', 'METAINFO_BAD_INFO', encode({ info: { 'meta version': 2, name: 'x' } })],
  ['too much', 'METAINFO_TOO_LARGE', new Uint8Array(TORRENT_BYTES_MAX + 1)],
]

for (const [what, code, bytes] of refused) {
  test(`refuses ${what}: ${code}`, () => {
    assert.equal(
      codeOf(() => parseMetainfo(bytes)),
      code,
    )
  })
}

test('the info dictionary goes into a file as it is, canonical or not', () => {
  const odd = fromLatin1(`d4:name1:x6:lengthi1e6:pieces20:${'x'.repeat(20)}12:piece lengthi16384ee`)
  const file = encodeMetainfo({ infoBytes: odd })
  assert.equal(toLatin1(file), `d4:info${toLatin1(odd)}e`)
  assert.deepEqual(parseMetainfo(file).info, parseInfo(odd))
})

test('a file is canonical bencode, with announce-list only for several trackers', () => {
  const infoBytes = encode(info)
  const parts = { infoBytes, comment: 'c', createdBy: 'b', createdAtS: 7 }
  const common = { comment: 'c', 'created by': 'b', 'creation date': 7, info }
  const cases: readonly (readonly [string[][], { [key: string]: Encodable }])[] = [
    [[], {}],
    [[[udp]], { announce: udp }],
    [[[udp, http]], { announce: udp, 'announce-list': [[udp, http]] }],
    [[[udp], [http]], { announce: udp, 'announce-list': [[udp], [http]] }],
  ]
  for (const [trackers, expected] of cases) {
    assert.deepEqual(encodeMetainfo({ ...parts, trackers }), encode({ ...expected, ...common }))
  }
})

const text = fc.string({ unit: 'binary', maxLength: 20 })
const url = fc.webUrl({ withQueryParameters: true }).filter((candidate) => candidate.length < 500)

test('what was encoded is parsed again', () => {
  const option = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    fc.option(arbitrary, { nil: undefined })
  const metainfo = fc.record(
    {
      info: fc.constantFrom(parseInfo(encode(info)), parseInfo(encode(multiFile()))),
      layers: fc.constant(new Map<string, Uint8Array>()),
      trackers: fc.uniqueArray(url, { maxLength: 6 }).chain((urls) =>
        fc.integer({ min: 1, max: 6 }).map((size) => {
          const tiers: string[][] = []
          for (let at = 0; at < urls.length; at += size) tiers.push(urls.slice(at, at + size))
          return tiers
        }),
      ),
      webSeeds: fc.uniqueArray(fc.webUrl(), { maxLength: 3 }),
      comment: option(text),
      createdBy: option(text),
      createdAtS: option(fc.maxSafeNat()),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(metainfo, (value) => {
      const { info: content, ...rest } = value
      assert.deepEqual(
        parseMetainfo(encodeMetainfo({ infoBytes: content.infoBytes, ...rest })),
        value,
      )
    }),
    { seed: 12, numRuns: 200 },
  )
})

test('spoiled files throw METAINFO_ errors only', () => {
  const random = seededRandom(3)
  const whole = encode({ announce: udp, 'announce-list': [[udp], [http]], comment: 'x', info })
  let refusals = 0
  for (let round = 0; round < 10_000; round++) {
    const bytes = whole.slice(
      0,
      random.uint32() % 4 === 0 ? random.uint32() % whole.length : whole.length,
    )
    for (let edits = random.uint32() % 3; edits > 0 && bytes.length > 0; edits--) {
      bytes[random.uint32() % bytes.length] = random.uint32()
    }
    try {
      parseMetainfo(bytes)
    } catch (error) {
      assert.ok(error instanceof SeedbedError && error.code in metainfoErrors, String(error))
      refusals++
    }
  }
  assert.ok(refusals > 1000 && refusals < 10_000)
})
