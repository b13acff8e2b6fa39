/** Stripes and their memory: the bound, what is written when, what a failed hash leaves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitfield, ManualClock, SeedbedError, seededRandom } from '../../src/base/index.ts'
import { CHUNK_BYTES, Geometry } from '../../src/engine/geometry.ts'
import { type Hasher, inlineHasher } from '../../src/engine/hasher.ts'
import { Picker } from '../../src/engine/picker.ts'
import type { PickerPeer } from '../../src/engine/picker-peer.ts'
import { StripeCache } from '../../src/engine/stripe-cache.ts'
import { StripePool } from '../../src/engine/stripe-pool.ts'
import { WriteQueue } from '../../src/engine/write-queue.ts'
import { PieceHashes } from '../../src/metainfo/index.ts'
import { type FakeStored, type FakeVolume, fakeVolume } from './fake-volume.ts'
import { SlowHasher } from './slow-hasher.ts'
import { type Content, makeContent } from './swarm.ts'

const STRIPE = 4 * CHUNK_BYTES

interface Bench {
  readonly content: Content
  readonly volume: FakeVolume
  readonly stored: FakeStored
  readonly clock: ManualClock
  readonly picker: Picker
  readonly cache: StripeCache
  peer: PickerPeer
  readonly events: string[]
  maxActive: number
}

async function bench(
  pool: StripePool,
  totalBytes: number,
  pieceBytes: number,
  maxActive = 2,
  hasherFor: (clock: ManualClock) => Hasher = () => inlineHasher,
): Promise<Bench> {
  const content = makeContent(totalBytes, pieceBytes, seededRandom(7))
  const volume = fakeVolume(STRIPE, () => content.info.pieceHashes)
  const stored = (await volume.create(content.info, content.info.infoBytes)) as FakeStored
  const geometry = new Geometry(totalBytes, pieceBytes, STRIPE)
  const clock = new ManualClock()
  const events: string[] = []
  const have = new Bitfield(geometry.pieceCount)
  const picker = new Picker({
    geometry,
    have,
    random: seededRandom(1),
    maxActive,
    admit: (stripe, extent) => cache.admit(stripe, extent),
  })
  const cache: StripeCache = new StripeCache({
    geometry,
    stored,
    hashes: new PieceHashes(content.info),
    hasher: hasherFor(clock),
    picker,
    pool,
    writes: new WriteQueue(),
    clock,
    events: {
      verified: (piece) => events.push(`verified ${piece}`),
      hashFailed: (piece) => void events.push(`bad ${piece}`),
      held: (piece) => events.push(`held ${piece}`),
      failed: (error) => events.push(error.message),
      onRoom: () => events.push('room'),
    },
  })
  const all = new Bitfield(geometry.pieceCount)
  all.setAll()
  const peer = picker.addPeer(all)
  return { content, volume, stored, clock, picker, cache, peer, events, maxActive }
}

const out = new Int32Array(2048)

/** Picks up to `max` chunks and delivers them; `spoil` changes a chunk. Returns how many. */
function transfer(
  b: Bench,
  max: number,
  spoil?: (piece: number, chunk: number) => boolean,
): number {
  const { geometry } = b.picker
  const nowMs = b.clock.monotonicMs()
  const count = b.picker.pick(b.peer, max, nowMs, out)
  const picks = out.slice(0, 2 * count)
  for (let i = 0; i < count; i++) {
    const piece = picks[2 * i]!
    const chunk = picks[2 * i + 1]!
    const length = geometry.chunkLength(piece, chunk)
    const from = geometry.pieceOffset(piece) + chunk * CHUNK_BYTES
    const bytes = b.content.bytes.slice(from, from + length)
    if (spoil?.(piece, chunk)) bytes[0]! ^= 1
    assert.ok(b.picker.beginReceive(b.peer, piece, chunk, nowMs))
    const target = b.cache.target(piece, chunk * CHUNK_BYTES, length)
    if (target === null) b.cache.put(piece, chunk * CHUNK_BYTES, bytes)
    else target.set(bytes)
    b.picker.received(b.peer, piece, chunk, nowMs)
    b.cache.landed(piece)
  }
  return count
}

async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve))
}

function poolOf(stripes: number): StripePool {
  return new StripePool(
    STRIPE,
    stripes * STRIPE,
    (bytes) => new Uint8Array(bytes),
    new ManualClock(),
  )
}

test('a whole stripe is written once; its pieces are held after that, not before', async () => {
  const b = await bench(poolOf(4), 2 * STRIPE, CHUNK_BYTES)
  assert.equal(transfer(b, 3), 3)
  await settle()
  assert.equal(b.volume.writes.length, 0, 'three of four pieces wait')
  assert.equal(b.stored.have.count, 0)
  transfer(b, 1)
  assert.equal(b.stored.have.count, 0, 'verified, not written')
  await settle()
  assert.equal(b.volume.writes.length, 1)
  assert.equal(b.volume.writes[0]!.length, STRIPE)
  assert.equal(b.stored.have.count, 4)
  assert.equal(b.cache.open, 0, 'the buffer went back')
})

test('a verified piece can be read from its stripe until it is on the volume', async () => {
  const b = await bench(poolOf(4), 2 * STRIPE, CHUNK_BYTES)
  transfer(b, 2)
  const piece = Number(b.events[0]!.split(' ')[1])
  const bytes = new Uint8Array(1000)
  assert.equal(b.cache.copy(piece, 100, bytes), 1000)
  const from = piece * CHUNK_BYTES + 100
  assert.deepEqual(bytes, b.content.bytes.slice(from, from + 1000))
  assert.equal(b.cache.copy(piece + 2, 0, bytes), 0, 'of the others nothing is shown')
})

test('the pool is a hard bound, and nothing is asked for beyond it', async () => {
  const pool = poolOf(2)
  const b = await bench(pool, 20 * STRIPE, STRIPE, 10)
  assert.equal(b.picker.pick(b.peer, 1000, 0, out), 8, 'two stripes of four chunks')
  assert.equal(pool.held, 2)
  assert.equal(b.picker.pick(b.peer, 1000, 0, out), 0)
  assert.equal(pool.made, 2)
})

test('a torrent that holds nothing gets the buffer that others would like to have', async () => {
  const pool = poolOf(3)
  const greedy = await bench(pool, 20 * STRIPE, STRIPE, 10)
  const modest = await bench(pool, 20 * STRIPE, STRIPE, 10)
  assert.equal(greedy.picker.pick(greedy.peer, 1000, 0, out), 8)
  assert.equal(modest.picker.pick(modest.peer, 1000, 0, out), 4)
})

test('under pressure the largest partial stripe of verified pieces goes to the disk', async () => {
  const pool = poolOf(1)
  // Pieces of one and a half stripes: stripes at the seams wait for their neighbours.
  const b = await bench(pool, 6 * STRIPE, 6 * CHUNK_BYTES, 1)
  for (let i = 0; i < 200 && b.stored.have.count < 4; i++) {
    transfer(b, 3)
    await settle()
  }
  assert.ok(b.stored.complete, `${b.events}`)
  assert.deepEqual(b.stored.data, b.content.bytes)
  assert.equal(pool.made, 1)
})

test('a spoilt piece is fetched again; what was right of its stripe stays', async () => {
  const b = await bench(poolOf(4), STRIPE, 2 * CHUNK_BYTES)
  transfer(b, 4, (piece, chunk) => piece === 0 && chunk === 1)
  assert.deepEqual(b.events, ['bad 0', 'verified 1'])
  await settle()
  assert.equal(b.volume.writes.length, 0)
  assert.equal(transfer(b, 8), 2)
  await settle()
  assert.equal(b.volume.writes.length, 1)
  assert.ok(b.stored.complete)
  assert.deepEqual(b.stored.data, b.content.bytes)
})

test('a spoilt piece over many stripes is fetched again through one buffer', async () => {
  const b = await bench(poolOf(1), 4 * STRIPE + 5, 4 * STRIPE, 1)
  let spoilt = false
  for (let i = 0; i < 100 && !b.stored.complete; i++) {
    transfer(b, 4, (piece, chunk) => {
      const spoil = !spoilt && piece === 0 && chunk === 5
      spoilt ||= spoil
      return spoil
    })
    await settle()
  }
  assert.ok(b.events.includes('bad 0'))
  assert.ok(b.stored.complete)
  assert.deepEqual(b.stored.data, b.content.bytes)
})

test('closing writes the verified pieces of partial stripes and nothing else', async () => {
  const b = await bench(poolOf(4), 2 * STRIPE, 2 * CHUNK_BYTES)
  transfer(b, 3)
  await b.cache.close()
  assert.equal(b.stored.have.count, 1)
  assert.deepEqual(
    b.volume.writes.map(({ length }) => length),
    [2 * CHUNK_BYTES],
  )
  assert.equal(b.picker.pick(b.peer, 8, 0, out), 1, 'only in what was open')
})

test('closing writes nothing of a piece that is not whole, however much was hashed', async () => {
  const b = await bench(poolOf(4), 3 * STRIPE, 6 * CHUNK_BYTES)
  b.picker.removePeer(b.peer)
  const second = new Bitfield(2)
  second.set(1)
  b.peer = b.picker.addPeer(second)
  // Of the six chunks of piece 1 two lie in stripe 1, which piece 0 would have to complete.
  assert.equal(transfer(b, 3), 3)
  await b.cache.close()
  assert.equal(b.volume.writes.length, 0)
})

test('what is on its way to the disk of a piece that fails meanwhile does not count', async () => {
  const b = await bench(poolOf(4), 2 * STRIPE, 2 * STRIPE)
  transfer(b, 8, (_, chunk) => chunk === 7)
  assert.deepEqual(b.events, ['bad 0'])
  await settle()
  assert.equal(b.stored.have.count, 0)
  for (let i = 0; i < 8 && !b.stored.complete; i++) {
    transfer(b, 4)
    await settle()
  }
  assert.ok(b.stored.complete)
  assert.deepEqual(b.stored.data, b.content.bytes)
})

test('a stripe without progress is written as far as it is verified, and goes on', async () => {
  const b = await bench(poolOf(4), STRIPE, CHUNK_BYTES)
  transfer(b, 2)
  b.clock.advance(10_000)
  b.cache.tick(b.clock.monotonicMs(), 30_000, 45_000)
  await settle()
  assert.equal(b.stored.have.count, 0)
  b.clock.advance(25_000)
  b.cache.tick(b.clock.monotonicMs(), 30_000, 45_000)
  await settle()
  assert.equal(b.stored.have.count, 2)
  transfer(b, 2)
  await settle()
  assert.ok(b.stored.complete)
  assert.deepEqual(b.stored.data, b.content.bytes)
})

test('of a stripe that fills slowly what was verified is written before it is a minute old', async () => {
  const b = await bench(poolOf(4), STRIPE, CHUNK_BYTES)
  const held: number[] = []
  // It is never idle for long: a piece every twenty seconds.
  for (let i = 0; i < 3; i++) {
    transfer(b, 1)
    b.clock.advance(20_000)
    b.cache.tick(b.clock.monotonicMs(), 30_000, 45_000)
    await settle()
    held.push(b.stored.have.count)
  }
  assert.deepEqual(held, [0, 0, 3])
  transfer(b, 1)
  await settle()
  assert.ok(b.stored.complete)
  assert.deepEqual(b.stored.data, b.content.bytes)
})

test('an extent that nobody can finish gives its memory to a torrent that needs it', async () => {
  const pool = poolOf(1)
  const stuck = await bench(pool, 4 * STRIPE, CHUNK_BYTES, 1)
  transfer(stuck, 2)
  stuck.picker.removePeer(stuck.peer)
  const other = await bench(pool, 2 * STRIPE, CHUNK_BYTES, 1)
  assert.equal(transfer(other, 4), 0)
  stuck.clock.advance(31_000)
  stuck.cache.tick(stuck.clock.monotonicMs(), 30_000, 45_000)
  await settle()
  assert.equal(stuck.stored.have.count, 2, 'what was verified is kept')
  assert.ok(other.events.includes('room'))
  assert.equal(transfer(other, 4), 4)
})

test('an error of the disk is told once, and the buffers come back', async () => {
  const pool = poolOf(2)
  const b = await bench(pool, 4 * STRIPE, CHUNK_BYTES)
  b.volume.failWith = new Error('no such sector')
  transfer(b, 8)
  await settle()
  assert.ok(b.events.includes('no such sector'))
  await b.cache.drop()
  assert.equal(pool.held, 0)
  assert.equal(b.stored.have.count, 0)
})

test('a store that fails while a stripe is on its way to the disk stops the torrent, not the process', async () => {
  const pool = poolOf(2)
  const b = await bench(pool, 4 * STRIPE, CHUNK_BYTES)
  transfer(b, 4)
  // The write is under way; before it is done the store has failed, and takes no have-bit any more.
  b.stored.markHave = () => {
    throw new SeedbedError('FS_FAILED', 'metadata was not written')
  }
  await settle()
  assert.equal(b.volume.writes.length, 1)
  assert.deepEqual(
    b.events.filter((event) => event === 'metadata was not written'),
    ['metadata was not written'],
    'told once',
  )
  await b.cache.drop()
  assert.equal(pool.held, 0)
})

test('dropped while a part of a stripe is on its way to the disk, the buffer comes back', async () => {
  const pool = poolOf(4)
  const b = await bench(pool, 2 * STRIPE, CHUNK_BYTES)
  transfer(b, 2)
  b.clock.advance(60_000)
  b.cache.tick(b.clock.monotonicMs(), 30_000, 45_000)
  assert.equal(pool.held, 1, 'two of four pieces are being written')
  await b.cache.drop()
  assert.equal(pool.held, 0)
  assert.equal(b.stored.have.count, 2, 'what was written counts')
})

// --- Hashing that takes its time ---

const HASH_MS = 100
const slow = (clock: ManualClock): SlowHasher =>
  new SlowHasher({ clock, random: seededRandom(1), tookMs: () => HASH_MS })

test('until its hash is known a piece is neither told of, nor shown, nor written', async () => {
  const b = await bench(poolOf(4), STRIPE, CHUNK_BYTES, 2, slow)
  transfer(b, 4)
  await settle()
  b.cache.tick(b.clock.monotonicMs() + 60_000, 30_000, 45_000)
  await settle()
  assert.deepEqual(b.events, [])
  assert.equal(b.cache.copy(0, 0, new Uint8Array(10)), 0)
  assert.equal(b.volume.writes.length, 0)
  assert.equal(transfer(b, 4), 0, 'nothing of it is asked for again')
  b.clock.advance(HASH_MS)
  assert.equal(b.cache.copy(0, 0, new Uint8Array(10)), 10)
  await settle()
  assert.ok(b.stored.complete)
  assert.equal(b.events.filter((event) => event === 'room').length, 1, 'its extent makes room')
})

test('closing waits for what is being hashed, and keeps what of it is right', async () => {
  const b = await bench(poolOf(4), STRIPE, CHUNK_BYTES, 2, slow)
  transfer(b, 3, (piece) => piece === 1)
  let isClosed = false
  const closing = b.cache.close().then(() => {
    isClosed = true
  })
  await settle()
  assert.equal(isClosed, false)
  b.clock.advance(HASH_MS)
  await closing
  assert.deepEqual(
    b.events.filter((event) => event !== 'room'),
    ['verified 0', 'bad 1', 'verified 2', 'held 0', 'held 2'],
  )
  assert.equal(b.stored.have.count, 2)
})

test('closing keeps a piece over many stripes of which the last part was being hashed', async () => {
  const b = await bench(poolOf(4), 2 * STRIPE, 2 * STRIPE, 2, slow)
  transfer(b, 8)
  const closing = b.cache.close()
  await settle()
  b.clock.advance(HASH_MS)
  await settle()
  assert.deepEqual(b.events, [], 'the second part comes after the first')
  b.clock.advance(HASH_MS)
  await closing
  assert.ok(b.stored.complete)
  assert.deepEqual(b.stored.data, b.content.bytes)
})

test('dropped while pieces are hashed, the buffers come back at once and nothing follows', async () => {
  const pool = poolOf(4)
  const b = await bench(pool, 6 * STRIPE, 3 * STRIPE, 2, slow)
  transfer(b, 12)
  await b.cache.drop()
  assert.equal(pool.held, 0)
  b.clock.advance(10 * HASH_MS)
  await settle()
  assert.deepEqual(b.events, [])
})

test('a piece that is given up while it is hashed is fetched anew, whatever its hash was', async () => {
  const pool = poolOf(1)
  const b = await bench(pool, STRIPE, STRIPE, 1, (clock) => {
    const tooks = [60_000, HASH_MS]
    return new SlowHasher({ clock, random: seededRandom(1), tookMs: () => tooks.shift()! })
  })
  transfer(b, 4)
  await bench(pool, STRIPE, STRIPE, 1)
  b.clock.advance(31_000)
  b.cache.tick(b.clock.monotonicMs(), 30_000, 45_000)
  assert.equal(b.picker.active.length, 0)
  assert.equal(pool.held, 0)
  assert.equal(transfer(b, 4), 4, 'the same buffer, and other bytes in it')
  b.clock.advance(HASH_MS)
  await settle()
  assert.ok(b.stored.complete)
  b.clock.advance(60_000)
  await settle()
  assert.equal(b.events.filter((event) => event.startsWith('verified')).length, 1)
})

test("a hash that is lost is nobody's fault: the piece is fetched again", async () => {
  for (const pieceBytes of [CHUNK_BYTES, 2 * STRIPE]) {
    let isLost = true
    const b = await bench(poolOf(4), 2 * STRIPE, pieceBytes, 2, () => ({
      ...inlineHasher,
      begin: (recipe) => {
        const task = inlineHasher.begin(recipe)
        return {
          ...task,
          cancel: () => {},
          update: (bytes, isLast, done) =>
            task.update(bytes, isLast, (answer) => {
              done(isLost && isLast ? 'lost' : answer)
              isLost = false
            }),
        }
      },
    }))
    for (let i = 0; i < 20 && !b.stored.complete; i++) {
      transfer(b, 8)
      await settle()
    }
    assert.ok(b.stored.complete, `${b.events}`)
    assert.ok(!b.events.some((event) => event.startsWith('bad')))
  }
})
