import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InvariantError, SeedbedError, seededRandom, toHex } from '../../../src/base/index.ts'
import { Budget } from '../../../src/engine/budget.ts'
import { writeHandshake } from '../../../src/engine/wire/handshake.ts'
import { writeHashes, writeHashReject, writeHashRequest } from '../../../src/engine/wire/hashes.ts'
import * as wire from '../../../src/engine/wire/messages.ts'
import { MAX_BODY_BYTES, type WireLimits, WireReader } from '../../../src/engine/wire/reader.ts'
import { Recorder } from './recorder.ts'

const SEED = 20260101
const infoHash = new Uint8Array(20).fill(0x11)
const peerId = new Uint8Array(20).fill(0x22)
const HANDSHAKE_CALL = `handshake ${toHex(infoHash)} ${toHex(peerId)} ef`

function written(write: (target: Uint8Array, offset: number) => number): Uint8Array {
  const target = new Uint8Array(2 ** 18)
  return target.slice(0, write(target, 0))
}

const handshake = written((target) => writeHandshake(target, { infoHash, peerId }))

interface Sample {
  readonly bytes: Uint8Array
  readonly calls: readonly string[]
}

const u32 = fc.nat(0xffffffff)
const bare = (call: string, write: (target: Uint8Array, offset: number) => number) =>
  fc.constant<Sample>({ bytes: written(write), calls: [call] })
const ofPiece = (call: string, write: (t: Uint8Array, o: number, piece: number) => number) =>
  u32.map<Sample>((piece) => ({
    bytes: written((t, o) => write(t, o, piece)),
    calls: [`${call} ${piece}`],
  }))
const ofChunk = (
  call: string,
  write: (t: Uint8Array, o: number, piece: number, begin: number, length: number) => number,
) =>
  fc.tuple(u32, u32, u32).map<Sample>(([piece, begin, length]) => ({
    bytes: written((t, o) => write(t, o, piece, begin, length)),
    calls: [`${call} ${piece} ${begin} ${length}`],
  }))

/** Odd pieces are wanted, even ones are not. */
const pieces = fc
  .tuple(u32, u32, fc.uint8Array({ minLength: 1, maxLength: 3000 }))
  .map<Sample>(([piece, begin, payload]) => {
    const header = written((t, o) => wire.writePieceHeader(t, o, piece, begin, payload.length))
    const chunk = `${piece} ${begin} ${payload.length}`
    const wanted = piece % 2 === 1
    return {
      bytes: Uint8Array.of(...header, ...payload),
      calls: [
        `piece ${chunk} ${wanted ? 'wanted' : 'unwanted'}`,
        `piece end ${chunk} ${wanted ? toHex(payload) : 'discarded'}`,
      ],
    }
  })

const bodies = fc.uint8Array({ maxLength: 3000 })
const hashFields = fc.record({
  root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  range: fc.record(
    { baseLayer: u32, index: u32, length: u32, proofLayers: u32 },
    { noNullPrototype: true },
  ),
})
const samples: fc.Arbitrary<Sample> = fc.oneof(
  bare('keep-alive', wire.writeKeepAlive),
  bare('choke', wire.writeChoke),
  bare('unchoke', wire.writeUnchoke),
  bare('interested', wire.writeInterested),
  bare('not interested', wire.writeNotInterested),
  bare('have all', wire.writeHaveAll),
  bare('have none', wire.writeHaveNone),
  ofPiece('have', wire.writeHave),
  fc.nat(0xffff).map<Sample>((port) => ({
    bytes: written((t, o) => wire.writePort(t, o, port)),
    calls: [`port ${port}`],
  })),
  ofPiece('suggest', wire.writeSuggest),
  ofPiece('allowed fast', wire.writeAllowedFast),
  ofChunk('request', wire.writeRequest),
  ofChunk('cancel', wire.writeCancel),
  ofChunk('reject', wire.writeReject),
  pieces,
  bodies.map<Sample>((bits) => ({
    bytes: written((t, o) => wire.writeBitfield(t, o, bits)),
    calls: [`bitfield ${toHex(bits)}`],
  })),
  fc.tuple(fc.nat(255), bodies).map<Sample>(([id, payload]) => ({
    bytes: written((t, o) => wire.writeExtended(t, o, id, payload)),
    calls: [`extended ${id} ${toHex(payload)}`],
  })),
  fc.tuple(hashFields, fc.nat(9)).map<Sample>(([{ root, range }, count]) => {
    const hashes = new Uint8Array(32 * count).fill(count)
    return {
      bytes: written((t, o) => writeHashes(t, o, root, range, hashes)),
      calls: [`hashes ${toHex(root)} ${Object.values(range).join(' ')} ${toHex(hashes)}`],
    }
  }),
  ...(
    [
      ['hash request', writeHashRequest],
      ['hash reject', writeHashReject],
    ] as const
  ).map(([call, write]) =>
    hashFields.map<Sample>(({ root, range }) => ({
      bytes: written((t, o) => write(t, o, root, range)),
      calls: [`${call} ${toHex(root)} ${Object.values(range).join(' ')}`],
    })),
  ),
  // What BEP 5 sends, and what nobody has thought of yet: skipped.
  fc.tuple(fc.constantFrom(10, 12, 18, 19, 24, 255), bodies).map<Sample>(([id, payload]) => {
    const bytes = written((t, o) => wire.writeBitfield(t, o, payload))
    bytes[4] = id
    return { bytes, calls: [] }
  }),
)

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** Cuts at the given places; some slices are empty. Every slice is overwritten after its push. */
function pushInSlices(reader: WireReader, stream: Uint8Array, cuts: readonly number[]): void {
  const places = [...cuts.map((cut) => cut % (stream.length + 1)), stream.length]
  let from = 0
  for (const to of places.sort((a, b) => a - b)) {
    const slice = stream.slice(from, to)
    reader.push(slice)
    slice.fill(0xdd)
    from = to
  }
}

function reading(limits?: WireLimits): { reader: WireReader; recorder: Recorder } {
  const recorder = new Recorder()
  recorder.accepts = (piece) => piece % 2 === 1
  return { reader: new WireReader(recorder, limits), recorder }
}

test('any messages cut at any places give the same calls', () => {
  fc.assert(
    fc.property(
      fc.array(samples, { maxLength: 20 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      (messages, cuts) => {
        const { reader, recorder } = reading()
        pushInSlices(reader, joined([handshake, ...messages.map((m) => m.bytes)]), cuts)
        assert.deepEqual(recorder.calls, [HANDSHAKE_CALL, ...messages.flatMap((m) => m.calls)])
      },
    ),
    { seed: SEED, numRuns: 300 },
  )
})

test('one byte at a time is as good as all at once', () => {
  const messages = fc.sample(samples, { seed: SEED, numRuns: 60 })
  const stream = joined([handshake, ...messages.map((m) => m.bytes)])
  const { reader, recorder } = reading()
  for (let i = 0; i < stream.length; i++) reader.push(stream.subarray(i, i + 1))
  assert.deepEqual(recorder.calls, [HANDSHAKE_CALL, ...messages.flatMap((m) => m.calls)])
})

test('random and mutated streams end in coded errors or in nothing', () => {
  fc.assert(
    fc.property(
      fc.array(samples, { minLength: 1, maxLength: 8 }),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 5 }),
      fc.boolean(),
      (messages, mutations, cuts, keepHandshake) => {
        const stream = joined([handshake, ...messages.map((m) => m.bytes)])
        const first = keepHandshake ? handshake.length : 0
        for (const [place, byte] of mutations)
          stream[first + (place % (stream.length - first))] = byte
        const { reader, recorder } = reading({ maxMessageBytes: 4096, maxChunkBytes: 4096 })
        try {
          pushInSlices(reader, stream, cuts)
        } catch (error) {
          assert.ok(
            error instanceof SeedbedError && error.code === 'ENGINE_PROTOCOL',
            String(error),
          )
          const before = recorder.calls.length
          reader.push(stream)
          assert.equal(recorder.calls.length, before, 'called after the error')
        }
      },
    ),
    { seed: SEED, numRuns: 1000 },
  )
})

test('a chunk lands byte for byte in its place of a larger buffer, and nowhere beside it', () => {
  const random = seededRandom(SEED)
  const payload = new Uint8Array(wire.CHUNK_BYTES)
  random.fill(payload)
  const stripe = new Uint8Array(new SharedArrayBuffer(3 * wire.CHUNK_BYTES))
  const place = stripe.subarray(1000, 1000 + wire.CHUNK_BYTES)
  const recorder = new Recorder()
  recorder.onPieceStart = () => place
  const reader = new WireReader(recorder)
  reader.push(handshake)
  reader.push(written((t, o) => wire.writePieceHeader(t, o, 1, 0, payload.length)))
  for (let at = 0; at < payload.length; at += 1460) reader.push(payload.subarray(at, at + 1460))
  assert.deepEqual(Buffer.from(place), Buffer.from(payload))
  assert.ok(stripe.subarray(0, 1000).every((byte) => byte === 0))
  assert.ok(stripe.subarray(1000 + payload.length).every((byte) => byte === 0))
})

test('an abandoned chunk is written no further and not accepted', () => {
  const { reader, recorder } = reading()
  reader.push(joined([handshake, written((t, o) => wire.writePieceHeader(t, o, 1, 0, 8))]))
  reader.push(Uint8Array.of(1, 2, 3))
  assert.equal(reader.insidePiece, true)
  reader.abandonPiece()
  reader.push(Uint8Array.of(4, 5, 6, 7, 8, ...written(wire.writeChoke)))
  assert.equal(reader.insidePiece, false)
  assert.deepEqual(recorder.target, Uint8Array.of(1, 2, 3, 0, 0, 0, 0, 0))
  assert.deepEqual(recorder.calls.slice(2), ['piece end 1 0 8 discarded', 'choke'])
})

test('a view of another size than the chunk is a programming mistake', () => {
  const { reader, recorder } = reading()
  recorder.onPieceStart = () => new Uint8Array(7)
  const header = written((t, o) => wire.writePieceHeader(t, o, 1, 0, 8))
  assert.throws(() => reader.push(joined([handshake, header])), InvariantError)
})

test('nothing is called after stop, not even within the slice', () => {
  const choke = written(wire.writeChoke)
  for (const last of [HANDSHAKE_CALL, 'choke', 'piece 1 0 3 wanted', 'piece end 1 0 3 010203']) {
    const { reader, recorder } = reading()
    recorder.after = (call) => {
      if (call === last) reader.stop()
    }
    const piece = Uint8Array.of(...written((t, o) => wire.writePieceHeader(t, o, 1, 0, 3)), 1, 2, 3)
    reader.push(joined([handshake, piece, choke, choke]))
    reader.push(choke)
    assert.equal(recorder.calls.at(-1), last)
  }
})

test('what cannot become a handshake is refused before it is whole', () => {
  assert.throws(() => reading().reader.push(Uint8Array.of(0x16)), { code: 'ENGINE_PROTOCOL' })
  const { reader } = reading()
  reader.push(handshake.subarray(0, 19))
  assert.throws(() => reader.push(Uint8Array.of(0x4c)), { code: 'ENGINE_PROTOCOL' })
})

/** The head of a message with a claimed length, and no more. */
function head(id: number, length: number): Uint8Array {
  return Uint8Array.of(length >>> 24, length >>> 16, length >>> 8, length, id)
}

const LIMITS: readonly (readonly [string, number, number, boolean])[] = [
  ['a choke with a byte', wire.MessageId.choke, 2, false],
  ['a have without its piece', wire.MessageId.have, 1, false],
  ['a have with more than its piece', wire.MessageId.have, 6, false],
  ['a request of BEP 3', wire.MessageId.request, 13, true],
  ['a longer request', wire.MessageId.request, 14, false],
  ['a shorter reject', wire.MessageId.reject, 12, false],
  ['a piece with no chunk', wire.MessageId.piece, 9, false],
  ['a piece too short for its numbers', wire.MessageId.piece, 5, false],
  ['a piece of one byte', wire.MessageId.piece, 10, true],
  ['the largest chunk', wire.MessageId.piece, 9 + 131_072, true],
  ['a chunk larger than that', wire.MessageId.piece, 10 + 131_072, false],
  ['a bitfield of the torrent', wire.MessageId.bitfield, 1 + 77, true],
  ['a shorter bitfield', wire.MessageId.bitfield, 77, false],
  ['a longer bitfield', wire.MessageId.bitfield, 2 + 77, false],
  ['an extended message without its id', wire.MessageId.extended, 1, false],
  ['the largest extended message', wire.MessageId.extended, 1 + MAX_BODY_BYTES, true],
  ['a larger extended message', wire.MessageId.extended, 2 + MAX_BODY_BYTES, false],
  ['a hash request', wire.MessageId.hashRequest, 49, true],
  ['a longer hash request', wire.MessageId.hashRequest, 50, false],
  ['a shorter hash reject', wire.MessageId.hashReject, 48, false],
  ['hashes without any', wire.MessageId.hashes, 49, true],
  ['hashes with half of one', wire.MessageId.hashes, 49 + 16, false],
  ['hashes of a gigabyte', wire.MessageId.hashes, 49 + 2 ** 30, false],
  ['a port of one byte', wire.MessageId.port, 2, false],
  ['an unknown message', 99, 1 + 1_048_576, true],
  ['an unknown message of four gigabytes', 99, 0xffffffff, false],
]

for (const [name, id, length, allowed] of LIMITS) {
  test(`${name} is ${allowed ? 'read' : 'refused by its length alone'}`, () => {
    const { reader } = reading({ bitfieldBytes: 77 })
    reader.push(handshake)
    const push = (): void => reader.push(head(id, length))
    if (allowed) push()
    else assert.throws(push, { code: 'ENGINE_PROTOCOL' })
  })
}

test('the size of a bitfield can be told once the handshake says which torrent it is', () => {
  const { reader, recorder } = reading()
  recorder.after = () => {
    reader.bitfieldBytes = 2
  }
  const bits = written((t, o) => wire.writeBitfield(t, o, Uint8Array.of(1, 2, 3)))
  assert.throws(() => reader.push(joined([handshake, bits])), { code: 'ENGINE_PROTOCOL' })
})

test('a claimed length takes no memory before its bytes arrive', () => {
  const readers: WireReader[] = []
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 200; i++) {
    const { reader } = reading()
    reader.push(
      joined([handshake, head(wire.MessageId.hashes, 49 + 32 * 30_000), Uint8Array.of(1, 2)]),
    )
    readers.push(reader)
  }
  const grown = process.memoryUsage().arrayBuffers - before
  assert.equal(readers.length, 200)
  assert.ok(grown < 20_000_000, `${grown} bytes for 200 claims of a megabyte`)
})

test('a bitfield too long to be remembered, of a torrent that is not known, is read past and told', () => {
  const { reader, recorder } = reading()
  const bits = written((t, o) => wire.writeBitfield(t, o, new Uint8Array(MAX_BODY_BYTES + 1)))
  reader.push(joined([handshake, bits.subarray(0, 100)]))
  reader.push(joined([bits.subarray(100), written(wire.writeChoke)]))
  assert.deepEqual(recorder.calls.slice(1), ['bitfield ', 'choke'])
})

test('messages that arrive in part share their memory, and give it back', () => {
  const memory = new Budget(100_000)
  const part = joined([handshake, head(wire.MessageId.extended, 60_001), new Uint8Array(40_000)])
  const readers = [0, 1, 2].map(() => new WireReader(new Recorder(), { memory }))
  readers[0]!.push(part)
  readers[1]!.push(part)
  assert.equal(memory.used, 80_000)
  assert.throws(() => readers[2]!.push(part), { code: 'ENGINE_PROTOCOL' })
  assert.equal(memory.used, 80_000)
  readers[0]!.push(new Uint8Array(20_000))
  assert.equal(memory.used, 40_000, 'delivered')
  readers[1]!.stop()
  assert.equal(memory.used, 0, 'given up')
})
