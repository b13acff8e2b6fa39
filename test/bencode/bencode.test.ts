/** The bencode decoder and encoder: tables, laws, and what hostile input does to them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromLatin1, seededRandom, toLatin1 } from '../../src/base/index.ts'
import {
  asText,
  BENCODE_DEPTH_MAX,
  BENCODE_SPANS_MAX,
  BencodeError,
  type BencodeValue,
  decode,
  decodeDictionary,
  decodePrefix,
  type Encodable,
  encode,
  getBytes,
  getDictionary,
  getInteger,
  getList,
  getText,
  spanOf,
  spansOf,
} from '../../src/bencode/index.ts'

const seed = 20260

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof BencodeError, String(error))
    return `${error.code}@${error.offset}`
  }
  return 'accepted'
}

const accepted: readonly (readonly [string, BencodeValue])[] = [
  ['i0e', 0],
  ['i-1e', -1],
  ['i9007199254740991e', Number.MAX_SAFE_INTEGER],
  ['i9007199254740992e', 9007199254740992n],
  ['i9223372036854775807e', 2n ** 63n - 1n],
  ['i-9223372036854775808e', -(2n ** 63n)],
  ['0:', fromLatin1('')],
  ['4:spam', fromLatin1('spam')],
  ['2:\xff\x00', fromLatin1('\xff\x00')],
  ['le', []],
  ['li1e1:ae', [1, fromLatin1('a')]],
  ['de', new Map()],
  [
    'd0:0:1:ai1e2:aalee',
    new Map<string, BencodeValue>([
      ['', fromLatin1('')],
      ['a', 1],
      ['aa', []],
    ]),
  ],
  [
    'd1:zi1e1:\x80i2ee',
    new Map([
      ['z', 1],
      ['\x80', 2],
    ]),
  ],
]

for (const [text, value] of accepted) {
  test(`decodes and encodes ${JSON.stringify(text)}`, () => {
    assert.deepEqual(decode(fromLatin1(text)), value)
    assert.deepEqual(encode(value), fromLatin1(text))
  })
}

const refused: readonly (readonly [string, string])[] = [
  ['', 'BENCODE_TRUNCATED@0'],
  ['x', 'BENCODE_SYNTAX@0'],
  ['e', 'BENCODE_SYNTAX@0'],
  ['i', 'BENCODE_TRUNCATED@1'],
  ['ie', 'BENCODE_INTEGER@0'],
  ['i-e', 'BENCODE_INTEGER@0'],
  ['i-0e', 'BENCODE_INTEGER@0'],
  ['i00e', 'BENCODE_INTEGER@0'],
  ['i01e', 'BENCODE_INTEGER@0'],
  ['i-01e', 'BENCODE_INTEGER@0'],
  ['i+1e', 'BENCODE_SYNTAX@1'],
  ['i1.5e', 'BENCODE_SYNTAX@2'],
  ['i1', 'BENCODE_TRUNCATED@2'],
  ['i9223372036854775808e', 'BENCODE_INTEGER@0'],
  ['i-9223372036854775809e', 'BENCODE_INTEGER@0'],
  [`i1${'0'.repeat(100_000)}e`, 'BENCODE_INTEGER@0'],
  ['1', 'BENCODE_TRUNCATED@1'],
  ['3:ab', 'BENCODE_TRUNCATED@0'],
  ['03:abc', 'BENCODE_SYNTAX@0'],
  ['00:', 'BENCODE_SYNTAX@0'],
  ['-1:a', 'BENCODE_SYNTAX@0'],
  ['1x', 'BENCODE_SYNTAX@1'],
  ['99999999999999999999999999:a', 'BENCODE_TRUNCATED@0'],
  ['4294967296:a', 'BENCODE_TRUNCATED@0'],
  ['l4294967295:e', 'BENCODE_TRUNCATED@1'],
  ['l', 'BENCODE_TRUNCATED@1'],
  ['li1e', 'BENCODE_TRUNCATED@4'],
  ['d', 'BENCODE_TRUNCATED@1'],
  ['d1:ae', 'BENCODE_SYNTAX@4'],
  ['di1ei1ee', 'BENCODE_SYNTAX@1'],
  ['d1:bi1e1:ai1ee', 'BENCODE_KEY_ORDER@7'],
  ['d1:ai1e1:ai1ee', 'BENCODE_KEY_DUPLICATE@7'],
  ['i1ei2e', 'BENCODE_TRAILING@3'],
  ['lee', 'BENCODE_TRAILING@2'],
]

for (const [text, code] of refused) {
  test(`refuses ${JSON.stringify(text.slice(0, 40))}: ${code}`, () => {
    assert.equal(
      codeOf(() => decode(fromLatin1(text))),
      code,
    )
  })
}

test('keys out of order pass when asked to, keys there twice never', () => {
  const loose = { ordered: false }
  assert.deepEqual(
    decode(fromLatin1('d1:bi1e1:ai2ee'), loose),
    new Map([
      ['b', 1],
      ['a', 2],
    ]),
  )
  for (const text of ['d1:ai1e1:ai1ee', 'd1:bi1e1:ai2e1:bi3ee', 'd1:bi1e1:ai2e1:ai3ee']) {
    assert.match(
      codeOf(() => decode(fromLatin1(text), loose)),
      /^BENCODE_KEY_DUPLICATE/,
    )
  }
})

test('byte strings are views of the input, and never Buffers', () => {
  const input = Buffer.from('l4:spame')
  const [value] = decode(input) as readonly Uint8Array[]
  assert.equal(value!.buffer, input.buffer)
  assert.equal(value!.byteOffset, input.byteOffset + 3)
  assert.equal(Buffer.isBuffer(value), false)
})

test('nesting is bounded, by default and whatever the caller asks for', () => {
  const nested = (depth: number): Uint8Array => fromLatin1('l'.repeat(depth) + 'e'.repeat(depth))
  assert.equal(
    codeOf(() => decode(nested(32))),
    'accepted',
  )
  assert.equal(
    codeOf(() => decode(nested(33))),
    'BENCODE_DEPTH@32',
  )
  assert.equal(
    codeOf(() => decode(nested(2), { depthMax: 1 })),
    'BENCODE_DEPTH@1',
  )
  for (const opener of ['l', 'd1:a']) {
    assert.match(
      codeOf(() => decode(fromLatin1(opener.repeat(1_000_000)), { depthMax: 1e9 })),
      /^BENCODE_DEPTH/,
    )
    assert.match(
      codeOf(() => spansOf(fromLatin1(`d1:a${opener.repeat(1_000_000)}`))),
      /^BENCODE_TRUNCATED/,
    )
  }
})

test('the number of values is bounded', () => {
  const input = fromLatin1(`l${'le'.repeat(10)}e`)
  assert.equal(
    codeOf(() => decode(input, { valuesMax: 11 })),
    'accepted',
  )
  assert.equal(
    codeOf(() => decode(input, { valuesMax: 10 })),
    'BENCODE_TOO_MANY@19',
  )
  const keys = (count: number): Uint8Array =>
    encode(new Map(Array.from({ length: count }, (_, i) => [String(i).padStart(5, '0'), 0])))
  assert.equal(spansOf(keys(BENCODE_SPANS_MAX)).size, BENCODE_SPANS_MAX)
  assert.match(
    codeOf(() => spansOf(keys(BENCODE_SPANS_MAX + 1))),
    /^BENCODE_TOO_MANY/,
  )
})

test('a prefix is decoded and what follows left alone', () => {
  const input = fromLatin1('xxd8:msg_typei1eeraw e data')
  const { value, end } = decodePrefix(input, 2)
  assert.deepEqual(value, new Map([['msg_type', 1]]))
  assert.equal(toLatin1(input.subarray(end)), 'raw e data')
  assert.equal(
    codeOf(() => decodePrefix(input, 1000)),
    'BENCODE_TRUNCATED@1000',
  )
})

test('spans give the bytes of a value as they were received', () => {
  const input = fromLatin1('d4:infod1:zi1e1:ali2eee3:abc0:e')
  const { start, end } = spanOf(input, 'info')!
  assert.equal(toLatin1(input.subarray(start, end)), 'd1:zi1e1:ali2eee')
  assert.deepEqual([...spansOf(input).keys()], ['info', 'abc'])
  assert.equal(spanOf(input, 'none'), undefined)
  for (const [text, code] of [
    ['le', 'BENCODE_NOT_DICTIONARY@0'],
    ['d1:ai1e1:ai1ee', 'BENCODE_KEY_DUPLICATE@7'],
    ['d1:ae', 'BENCODE_SYNTAX@4'],
    ['d1:a1:bex', 'BENCODE_TRAILING@8'],
    ['d1:al', 'BENCODE_TRUNCATED@5'],
  ] as const) {
    assert.equal(
      codeOf(() => spansOf(fromLatin1(text))),
      code,
    )
  }
})

test('accessors answer undefined for what is absent or of another kind', () => {
  const dictionary = decodeDictionary(
    fromLatin1('d1:bi9007199254740993e1:dde1:ii7e1:lle1:s2:\xc3\xa41:x1:\xffe'),
  )
  assert.equal(getInteger(dictionary, 'i'), 7)
  assert.equal(getInteger(dictionary, 'b'), undefined)
  assert.equal(getInteger(dictionary, 's'), undefined)
  assert.equal(getText(dictionary, 's'), 'ä')
  assert.equal(getText(dictionary, 'x'), undefined)
  assert.deepEqual(getBytes(dictionary, 'x'), fromLatin1('\xff'))
  assert.deepEqual(getList(dictionary, 'l'), [])
  assert.equal(getList(dictionary, 'd'), undefined)
  assert.deepEqual(getDictionary(dictionary, 'd'), new Map())
  assert.equal(getDictionary(dictionary, 'l'), undefined)
  assert.equal(getBytes(dictionary, 'none'), undefined)
  assert.equal(asText(undefined), undefined)
  assert.equal(
    codeOf(() => decodeDictionary(fromLatin1('le'))),
    'BENCODE_NOT_DICTIONARY@0',
  )
  assert.equal(
    codeOf(() => decodeDictionary(new Uint8Array(0))),
    'BENCODE_TRUNCATED@0',
  )
})

test('the encoder sorts keys by bytes, writes text as UTF-8 and leaves undefined out', () => {
  const value = { z: 'ä', '\x80': 1n, a: undefined, 'a b': [new Uint8Array([1]), -0] }
  assert.equal(toLatin1(encode(value)), 'd3:a bl1:\x01i0ee1:z2:\xc3\xa41:\x80i1ee')
})

test('the encoder refuses what bencode cannot say', () => {
  const circle: Encodable[] = []
  circle.push(circle)
  const wrong: unknown[] = [
    0.5,
    Number.NaN,
    2 ** 53,
    2n ** 63n,
    { ā: 1 },
    null,
    true,
    circle,
    [undefined],
  ]
  for (const value of wrong) assert.throws(() => encode(value as Encodable), TypeError)
})

test('the encoder nests as deep as the decoder may', () => {
  let value: Encodable = []
  for (let depth = 1; depth < BENCODE_DEPTH_MAX; depth++) value = [value]
  assert.deepEqual(decode(encode(value), { depthMax: BENCODE_DEPTH_MAX }), value)
  assert.throws(() => encode([value]), TypeError)
})

const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => new Uint8Array(array))
const tree = fc.letrec<{ value: BencodeValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.maxSafeInteger().map((n) => n + 0),
    fc
      .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
      .map((n) => (Number.isSafeInteger(Number(n)) ? Number(n) : n)),
    bytes,
    fc.array(tie('value'), { maxLength: 6 }),
    fc
      .array(fc.tuple(bytes.map(toLatin1), tie('value')), { maxLength: 6 })
      .map((entries) => new Map(entries)),
  ),
})).value

test('what was encoded decodes to the same value', () => {
  fc.assert(
    fc.property(tree, (value) => {
      const encoded = encode(value)
      assert.deepEqual(decode(encoded), value)
      assert.deepEqual(encode(decode(encoded)), encoded)
    }),
    { seed, numRuns: 500 },
  )
})

test('mutated input throws BencodeErrors only, and what passes is canonical', () => {
  const random = seededRandom(seed)
  const alphabet = fromLatin1('0123456789ilde:-\x00\xff')
  const seeds = [
    'd8:announce3:udp4:infod6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces0:ee',
    'd1:ad1:bd1:cd1:dleeeee',
    'lli-5eei9223372036854775807e10:0123456789e',
    'd8:intervali1800e5:peers6:\x7f\x00\x00\x01\x1a\xe1e',
  ].map(fromLatin1)
  let passed = 0
  let refusedCount = 0
  for (let round = 0; round < 40_000; round++) {
    let input = new Uint8Array(seeds[round % seeds.length]!)
    for (let edits = 1 + (random.uint32() % 3); edits > 0; edits--) {
      const at = random.uint32() % input.length
      const byte = alphabet[random.uint32() % alphabet.length]!
      const kind = random.uint32() % 4
      if (kind === 0) input[at] = byte
      else if (kind === 1 && at > 0) input = input.slice(0, at)
      else if (kind === 2)
        input = new Uint8Array([...input.subarray(0, at), ...input.subarray(at + 1), byte])
      else input = new Uint8Array([...input.subarray(0, at), byte, ...input.subarray(at)])
    }
    let outcome: BencodeValue | undefined
    if (
      codeOf(() => {
        outcome = decode(input)
      }) === 'accepted'
    ) {
      passed++
      assert.deepEqual(encode(outcome!), input)
      if (outcome instanceof Map) assert.deepEqual([...spansOf(input).keys()], [...outcome.keys()])
    } else refusedCount++
    codeOf(() => decode(input, { ordered: false }))
    codeOf(() => spansOf(input))
    codeOf(() => decodePrefix(input, 1))
  }
  assert.ok(passed > 500 && refusedCount > 500, `${passed} passed, ${refusedCount} refused`)
})
