import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromLatin1, SeedbedError, toLatin1 } from '../../../src/base/index.ts'
import { type Encodable, encode } from '../../../src/bencode/index.ts'
import {
  type ExtendedHandshake,
  encodeExtendedHandshake,
  encodeMetadataData,
  encodeMetadataReject,
  encodeMetadataRequest,
  MAX_METADATA_BYTES,
  METADATA_PIECE_BYTES,
  metadataPieceBytes,
  metadataPieceCount,
  parseExtendedHandshake,
  parseMetadataMessage,
} from '../../../src/engine/wire/extended.ts'

const SEED = 11
const full: ExtendedHandshake = {
  messages: new Map([
    ['ut_metadata', 3],
    ['ut_pex', 0],
  ]),
  client: 'seedbed 0.1.0',
  port: 6881,
  requestQueue: 250,
  metadataBytes: 31_235,
  yourAddress: '10.1.2.3',
  uploadOnly: true,
  prefersEncryption: true,
}

test('an extended handshake is this dictionary', () => {
  const expected =
    'd1:ei1e1:md11:ut_metadatai3e6:ut_pexi0ee13:metadata_sizei31235e1:pi6881e4:reqqi250e' +
    '11:upload_onlyi1e1:v13:seedbed 0.1.06:yourip4:\x0a\x01\x02\x03e'
  assert.equal(toLatin1(encodeExtendedHandshake(full)), expected)
})

test('an extended handshake reads back as it was written', () => {
  assert.deepEqual(parseExtendedHandshake(encodeExtendedHandshake(full)), full)
  const v6 = { ...full, yourAddress: '2001:db8::7' }
  assert.deepEqual(parseExtendedHandshake(encodeExtendedHandshake(v6)), v6)
})

test('an empty handshake says nothing', () => {
  const handshake = parseExtendedHandshake(fromLatin1('de'))
  assert.equal(handshake.messages.size, 0)
  assert.equal(handshake.uploadOnly, false)
  assert.equal(handshake.prefersEncryption, false)
  for (const field of ['client', 'port', 'requestQueue', 'metadataBytes', 'yourAddress'] as const) {
    assert.equal(handshake[field], undefined, field)
  }
})

test('keys out of order are forgiven: clients in the wild send them', () => {
  const handshake = parseExtendedHandshake(fromLatin1('d1:v1:x1:md6:ut_pexi1eee'))
  assert.equal(handshake.client, 'x')
  assert.equal(handshake.messages.get('ut_pex'), 1)
})

const ODD: readonly (readonly [string, { [key: string]: Encodable }, keyof ExtendedHandshake])[] = [
  ['a port of 0', { p: 0 }, 'port'],
  ['a port beyond 16 bits', { p: 65_536 }, 'port'],
  ['a port that is text', { p: '6881' }, 'port'],
  ['a queue of nothing', { reqq: 0 }, 'requestQueue'],
  ['metadata of no bytes', { metadata_size: 0 }, 'metadataBytes'],
  ['metadata beyond the limit', { metadata_size: MAX_METADATA_BYTES + 1 }, 'metadataBytes'],
  ['metadata beyond 2^53', { metadata_size: 2n ** 60n }, 'metadataBytes'],
  ['an address of five bytes', { yourip: Uint8Array.of(1, 2, 3, 4, 5) }, 'yourAddress'],
  ['a client that is no text', { v: Uint8Array.of(0xff, 0xfe) }, 'client'],
]

for (const [name, dictionary, field] of ODD) {
  test(`${name} counts as absent`, () => {
    assert.equal(parseExtendedHandshake(encode(dictionary))[field], undefined)
  })
}

test('extensions without a usable id are left out, and there is an end to them', () => {
  const odd = encode({ m: { a: -1, b: 256, c: 'x', d: 255, e: 0 } })
  assert.deepEqual(
    [...parseExtendedHandshake(odd).messages],
    [
      ['d', 255],
      ['e', 0],
    ],
  )
  const many = encode({
    m: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x${i}`, 1])),
  })
  assert.equal(parseExtendedHandshake(many).messages.size, 64)
})

test('what is no dictionary, or an endless one, is refused', () => {
  const deep = `d1:a${'l'.repeat(100)}${'e'.repeat(100)}e`
  const wide = `d1:al${'le'.repeat(2000)}ee`
  for (const text of ['', 'i1e', 'le', 'd', 'd1:m', 'de ', deep, wide]) {
    assert.throws(() => parseExtendedHandshake(fromLatin1(text)), { code: 'ENGINE_PROTOCOL' }, text)
  }
})

test('metadata messages are these bytes', () => {
  assert.equal(toLatin1(encodeMetadataRequest(2)), 'd8:msg_typei0e5:piecei2ee')
  assert.equal(toLatin1(encodeMetadataReject(2)), 'd8:msg_typei2e5:piecei2ee')
  const data = 'd8:msg_typei1e5:piecei0e10:total_sizei3eeabc'
  assert.equal(toLatin1(encodeMetadataData(0, fromLatin1('abc'))), data)
})

test('requests and rejects read back', () => {
  assert.deepEqual(parseMetadataMessage(encodeMetadataRequest(5)), { type: 'request', piece: 5 })
  assert.deepEqual(parseMetadataMessage(encodeMetadataReject(5)), { type: 'reject', piece: 5 })
})

test('an info dictionary of any size comes through in its pieces', () => {
  const sizes = [
    1,
    METADATA_PIECE_BYTES - 1,
    METADATA_PIECE_BYTES,
    METADATA_PIECE_BYTES + 1,
    40_000,
  ]
  for (const totalBytes of sizes) {
    const info = Uint8Array.from({ length: totalBytes }, (_, i) => i * 7)
    const received: number[] = []
    for (let piece = 0; piece < metadataPieceCount(totalBytes); piece++) {
      const message = parseMetadataMessage(encodeMetadataData(piece, info))
      assert.ok(message?.type === 'data' && message.totalBytes === totalBytes)
      assert.equal(message.bytes.length, metadataPieceBytes(totalBytes, piece))
      received.push(...message.bytes)
    }
    assert.deepEqual(Uint8Array.from(received), info)
  }
})

test('a metadata message of a new type is ignored', () => {
  assert.equal(parseMetadataMessage(encode({ msg_type: 3 })), null)
})

const WRONG: readonly (readonly [string, string])[] = [
  ['no dictionary', 'i0e'],
  ['no type', 'd5:piecei0ee'],
  ['no piece', 'd8:msg_typei0ee'],
  ['a negative piece', 'd8:msg_typei0e5:piecei-1ee'],
  ['a piece beyond any metadata', 'd8:msg_typei0e5:piecei4096ee'],
  ['data without its total', 'd8:msg_typei1e5:piecei0eeabc'],
  ['data of another size', 'd8:msg_typei1e5:piecei0e10:total_sizei4eeabc'],
  ['data beyond the end', 'd8:msg_typei1e5:piecei1e10:total_sizei3ee'],
  ['a total beyond the limit', 'd8:msg_typei1e5:piecei0e10:total_sizei99999999999eeabc'],
]

for (const [name, text] of WRONG) {
  test(`a metadata message with ${name} is refused`, () => {
    assert.throws(() => parseMetadataMessage(fromLatin1(text)), { code: 'ENGINE_PROTOCOL' })
  })
}

test('random and mutated payloads give a value or a coded error', () => {
  const valid = [encodeExtendedHandshake(full), encodeMetadataData(0, fromLatin1('abc'))]
  const mutated = fc
    .tuple(fc.constantFrom(...valid), fc.nat(), fc.nat(255), fc.nat())
    .map(([bytes, place, byte, length]) => {
      const copy = bytes.slice(0, bytes.length - (length % 4))
      copy[place % copy.length] = byte
      return copy
    })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (payload) => {
      for (const parse of [parseExtendedHandshake, parseMetadataMessage]) {
        try {
          parse(payload)
        } catch (error) {
          assert.ok(
            error instanceof SeedbedError && error.code === 'ENGINE_PROTOCOL',
            String(error),
          )
        }
      }
    }),
    { seed: SEED, numRuns: 2000 },
  )
})
