/** The codecs of signalling by themselves: JSON against node's reader, masks at every alignment, binary strings there and back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  Frame,
  frameHeadBytes,
  OP_TEXT,
  parseFrame,
  writeFrameHead,
} from '../../../src/tracker/websocket/frames.ts'
import {
  numberOf,
  readBinary,
  skipString,
  skipValue,
  writeBinary,
} from '../../../src/tracker/websocket/json.ts'
import {
  MAX_OFFERS,
  parseSignal,
  SignalRequest,
} from '../../../src/tracker/websocket/signal-codec.ts'
import { HASH, ODD_HASH, offers, peerId } from './client.ts'

/** At an offset that is not a multiple of four, with bytes behind. */
function placed(text: string, offset: number): { bytes: Uint8Array; end: number } {
  const payload = Buffer.from(text)
  const bytes = new Uint8Array(offset + payload.length + 3).fill(0x22)
  bytes.set(payload, offset)
  return { bytes, end: offset + payload.length }
}

test('whatever node writes as JSON is walked to its end, at every alignment', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.boolean(), fc.nat(7), (value, pretty, offset) => {
      const { bytes, end } = placed(JSON.stringify(value, null, pretty ? 1 : 0), offset)
      assert.equal(skipValue(bytes, offset, end), end)
    }),
    { seed: 1, numRuns: 500 },
  )
})

test('long strings with escapes and other alphabets are walked as short ones', () => {
  const piece = fc.constantFrom(
    'plain text of some length ',
    '\r\n',
    '"',
    '\\',
    'é',
    '\u{1f600}',
    '\u0001',
    '~',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), fc.nat(7), (pieces, offset) => {
      const { bytes, end } = placed(JSON.stringify(pieces.join('')), offset)
      assert.equal(skipString(bytes, offset, end), end)
    }),
    { seed: 2, numRuns: 500 },
  )
})

test('what is not JSON is refused', () => {
  for (const text of [
    '',
    ' ',
    '{',
    '[',
    '"',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '[1,]',
    '[,1]',
    '{,}',
    '[1 2]',
    '{"a":1 "b":2}',
    '{1:2}',
    '01',
    '-',
    '+1',
    '1.',
    '.5',
    '1e',
    '1e+',
    'tru',
    'nul',
    'True',
    'NaN',
    "'a'",
    '"\n"',
    '"\\x"',
    '"\\u12g4"',
    '"\\',
    '"a',
    '[[[',
    ']',
    '}',
    '[}',
    '{]',
  ]) {
    const { bytes, end } = placed(text, 1)
    const stop = skipValue(bytes, 1, end)
    assert.ok(stop < 0 || stop < end, JSON.stringify(text))
    assert.throws(() => JSON.parse(text))
  }
  for (const bytes of [
    [0x80],
    [0xc0, 0x80],
    [0xc3],
    [0xe0, 0x80, 0x80],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xff],
  ]) {
    const text = Uint8Array.of(0x22, ...bytes, 0x22)
    assert.equal(skipString(text, 0, text.length), -1, `bytes ${bytes}`)
  }
  const deep = '['.repeat(40) + ']'.repeat(40)
  assert.equal(skipValue(Buffer.from(deep), 0, deep.length), -1, 'too deep')
})

test('binary strings go there and back, however they are escaped', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (source) => {
      const out = new Uint8Array(122)
      out[0] = 0x22
      const end = writeBinary(source, 0, 20, out, 1)
      out[end] = 0x22
      const text = Buffer.from(out.subarray(0, end + 1)).toString()
      const binary = Buffer.from(source).toString('latin1')
      assert.equal(JSON.parse(text), binary)
      for (const written of [
        text,
        JSON.stringify(binary),
        `"${[...binary].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`,
      ]) {
        const bytes = Buffer.from(written)
        const back = new Uint8Array(20)
        assert.equal(readBinary(bytes, 0, bytes.length, back, 0, 20), 20)
        assert.deepEqual(back, source)
      }
    }),
    { seed: 3, numRuns: 300 },
  )
  const long = Buffer.from('"abc"')
  assert.equal(readBinary(long, 0, long.length, new Uint8Array(2), 0, 2), -1)
})

test('numbers are read as node reads them', () => {
  for (const text of [
    '0',
    '7',
    '123456789012345',
    '1234567890123456789',
    '1.5',
    '1e3',
    '-2',
    '-0',
  ]) {
    const bytes = Buffer.from(text)
    assert.equal(numberOf(bytes, 0, bytes.length), Number(text))
  }
})

test('a masked frame is unmasked, whatever its length and place', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.nat(7),
      (payload, mask, offset) => {
        const head = new Uint8Array(frameHeadBytes(payload.length))
        writeFrameHead(head, 0, OP_TEXT, payload.length)
        head[1]! |= 0x80
        const bytes = Buffer.concat([
          new Uint8Array(offset),
          head,
          mask,
          payload.map((byte, i) => byte ^ mask[i & 3]!),
        ])
        const frame = new Frame()
        for (let end = offset; end < bytes.length; end++) {
          assert.equal(parseFrame(bytes, offset, end, 1000, frame), 'more')
        }
        assert.equal(parseFrame(bytes, offset, bytes.length, 1000, frame), 'frame')
        assert.deepEqual(new Uint8Array(bytes.subarray(frame.start, frame.end)), payload)
      },
    ),
    { seed: 4, numRuns: 100 },
  )
})

test('an announce is read whatever the order of its keys and the spaces between', () => {
  const made = offers(3)
  const fields: readonly (readonly [string, unknown])[] = [
    ['action', 'announce'],
    ['info_hash', ODD_HASH],
    ['peer_id', peerId(1)],
    ['left', 12],
    ['numwant', 2],
    ['event', 'started'],
    ['offers', [...made, { offer: {} }, { offer_id: 'x' }, 5, null, []]],
    ['unknown', { offers: [{ action: 'scrape' }] }],
  ]
  const request = new SignalRequest()
  fc.assert(
    fc.property(
      fc.shuffledSubarray([...fields], { minLength: fields.length }),
      fc.nat(2),
      (order, spaces) => {
        const bytes = Buffer.from(JSON.stringify(Object.fromEntries(order), null, spaces))
        assert.equal(parseSignal(bytes, 0, bytes.length, request), 'announce')
        const { announce } = request
        assert.equal(Buffer.from(announce.infoHash).toString('latin1'), ODD_HASH)
        assert.deepEqual([announce.left, announce.wanted, announce.event], [12, 2, 2])
        assert.equal(request.offerCount, 3)
        for (const [n, { offer, offer_id }] of made.entries()) {
          const [idStart, idEnd, start, end] = request.offers.subarray(n * 4, n * 4 + 4)
          assert.deepEqual(JSON.parse(bytes.toString('utf8', start, end)), offer)
          assert.equal(JSON.parse(bytes.toString('utf8', idStart, idEnd)), offer_id)
        }
      },
    ),
    { seed: 5, numRuns: 200 },
  )
})

test('what is not said is a leecher that wants as many as it offers', () => {
  const request = new SignalRequest()
  const read = (more: object): string => {
    const common = { action: 'announce', info_hash: HASH, peer_id: peerId(1) }
    const bytes = Buffer.from(JSON.stringify({ ...common, ...more }))
    return parseSignal(bytes, 0, bytes.length, request)
  }
  assert.equal(read({ left: null, answer: null, offers: null, event: null }), 'announce')
  const { left, wanted } = request.announce
  assert.deepEqual([left, wanted, request.offerCount], [Number.MAX_SAFE_INTEGER, -1, 0])
  read({ offers: offers(MAX_OFFERS + 5) })
  assert.equal(request.offerCount, MAX_OFFERS)
  read({})
  assert.equal(request.offerCount, 0, 'offers of the message before are forgotten')
})
