/** Chunk stores do what others expect of them, and the volume beneath keeps what they were given. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, SeedbedError, seededRandom, toHex } from '../../src/base/index.ts'
import { MemoryDevice, SimulatedDevice } from '../../src/block-device/index.ts'
import {
  type ChunkRange,
  type ChunkStore,
  type ChunkStoreConstructor,
  type ChunkStoreOptions,
  chunkStoreOn,
  haveBitmap,
  MemoryChunkStore,
} from '../../src/chunk-store/index.ts'
import { formatVolume, fsck, type MountedVolume, mountVolume } from '../../src/filesystem/index.ts'

const BLOCK = 65_536
const quiet = { clock: new ManualClock(), random: seededRandom(5) }

const put = (store: ChunkStore, index: number, chunk: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    store.put(index, chunk, (error) => (error === null ? resolve() : reject(error)))
  })
const get = (store: ChunkStore, index: number, range?: ChunkRange): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    store.get(index, range, (error, chunk) => (error === null ? resolve(chunk!) : reject(error)))
  })
const end = (store: ChunkStore, how: 'close' | 'destroy'): Promise<void> =>
  new Promise((resolve, reject) => {
    store[how]((error) => (error === null ? resolve() : reject(error)))
  })
const hasCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof SeedbedError && error.code === code

async function freshVolume(blocks = 256): Promise<{ device: MemoryDevice; volume: MountedVolume }> {
  const device = new MemoryDevice({ sizeBytes: blocks * BLOCK })
  await formatVolume(device, { ...quiet, blockBytes: BLOCK })
  return { device, volume: await mountVolume(device, quiet) }
}

const remounted = async ({ sizeBytes, image }: MemoryDevice): Promise<MountedVolume> => {
  const report = await fsck(new MemoryDevice({ sizeBytes, image }))
  assert.deepEqual(report.problems, [])
  return mountVolume(new MemoryDevice({ sizeBytes, image }), quiet)
}

/** The options of a torrent as WebTorrent hands them in. */
function torrentOptions(
  seed: number,
  length: number,
): ChunkStoreOptions & { infoHash: Uint8Array } {
  const infoBuffer = new Uint8Array(100)
  seededRandom(seed).fill(infoBuffer)
  const infoHash = new Uint8Array(createHash('sha1').update(infoBuffer).digest())
  return { length, torrent: { infoHash: toHex(infoHash), infoBuffer }, infoHash }
}

const content = (index: number, bytes: number): Uint8Array => {
  const chunk = new Uint8Array(bytes)
  seededRandom(index).fill(chunk)
  return chunk
}

// The published suite speaks tape; this is as much of tape as it speaks.
type Tape = Record<'deepEqual' | 'equal', (actual: unknown, expected: unknown) => void> & {
  error(error: unknown): void
  ok(value: unknown): void
  end(): void
}
type Suite = (
  test: (name: string, body: (t: Tape) => void) => void,
  store: ChunkStoreConstructor,
) => void

/** Runs the suite with what has to be made before a store can be: its tests wait for nothing. */
function published(name: string, make: () => Promise<ChunkStoreConstructor>): void {
  const suite = createRequire(import.meta.url)('abstract-chunk-store/tests') as Suite
  describe(`abstract-chunk-store/tests: ${name}`, () => {
    let made: ChunkStoreConstructor
    const Store = new Proxy(MemoryChunkStore, {
      construct: (_, [chunkLength]: [number]) => new made(chunkLength),
    })
    suite((title, body) => {
      test(title, async () => {
        made = await make()
        await new Promise<void>((resolve, reject) => {
          const tries =
            <A extends unknown[]>(check: (...args: A) => void) =>
            (...args: A): void => {
              try {
                check(...args)
              } catch (error) {
                reject(error)
              }
            }
          const t: Tape = {
            deepEqual: tries((actual, expected) => assert.deepEqual(actual, expected)),
            equal: tries((actual, expected) => assert.equal(actual, expected)),
            error: tries((error) => assert.ifError(error)),
            ok: tries((value) => assert.ok(value)),
            end: resolve,
          }
          body(t)
        })
      })
    }, Store)
  })
}

published('in memory', async () => MemoryChunkStore)
published('on a volume', async () => {
  const device = new MemoryDevice({ sizeBytes: 64 * BLOCK, sectorBytes: 4096 })
  await formatVolume(device, { ...quiet, blockBytes: BLOCK })
  const volume = await mountVolume(device, quiet)
  const OnVolume = chunkStoreOn(volume, quiet.clock)
  return class extends OnVolume {
    constructor(chunkLength: number) {
      super(chunkLength, torrentOptions(1, 1000 * chunkLength))
    }
  }
})

test('what was put is there after closing and mounting again, and the bitmap says so', async () => {
  const { device, volume } = await freshVolume()
  const options = torrentOptions(1, 10 * BLOCK - 77)
  const store = new (chunkStoreOn(volume, quiet.clock))(BLOCK, options)
  for (const index of [0, 3, 9]) {
    await put(store, index, content(index, index === 9 ? BLOCK - 77 : BLOCK))
  }
  await end(store, 'close')
  assert.equal(volume.get(options.infoHash)!.have.count, 3, 'the volume stays open')
  await volume.close()

  const again = await remounted(device)
  assert.deepEqual([...haveBitmap(again, options.infoHash)!], [0b1001_0000, 0b0100_0000])
  assert.equal(haveBitmap(again, new Uint8Array(20)), undefined)
  // The info dictionary is on the volume now: the info-hash is enough.
  const named = { torrent: { infoHash: toHex(options.infoHash) } }
  const other = new (chunkStoreOn(again, quiet.clock))(BLOCK, named)
  assert.deepEqual(new Uint8Array(await get(other, 3)), content(3, BLOCK))
  const last = content(9, BLOCK - 77)
  assert.deepEqual(new Uint8Array(await get(other, 9)), last)
  assert.deepEqual(new Uint8Array(await get(other, 9, { offset: 10 })), last.subarray(10))
  await assert.rejects(get(other, 4), hasCode('CHUNK_MISSING'))
  await end(other, 'destroy')
  assert.equal(again.stats().torrents, 0)
  assert.equal(again.stats().dataBlocks, 0)
  await again.close()
})

test('a power cut costs at most five seconds, and close leaves nothing to lose', async () => {
  const device = new SimulatedDevice({ sizeBytes: 64 * BLOCK })
  await formatVolume(device, { ...quiet, blockBytes: BLOCK })
  const volume = await mountVolume(device, quiet)
  const clock = new ManualClock()
  const options = torrentOptions(1, 4 * BLOCK)
  const store = new (chunkStoreOn(volume, clock))(BLOCK, options)
  await put(store, 0, content(0, BLOCK))
  const flushes = device.counts.flush
  clock.advance(4_999)
  assert.equal(device.counts.flush, flushes)
  clock.advance(1)
  await put(store, 1, content(1, BLOCK))
  await volume.sync()
  assert.ok(device.counts.flush > flushes)
  await put(store, 2, content(2, BLOCK))
  await end(store, 'close')
  const { flush } = device.counts
  clock.advance(60_000)
  assert.equal(device.counts.flush, flush, 'no timer is left')
})

test('any puts and gets, overlapping in time, agree with a map', async () => {
  const CHUNKS = 12
  const operations = fc.array(
    fc.tuple(fc.constantFrom('put', 'get', 'again'), fc.nat(CHUNKS - 1), fc.nat(3)),
    { maxLength: 40 },
  )
  await fc.assert(
    fc.asyncProperty(
      operations,
      fc.constantFrom(16_384, 30_001, 3 * BLOCK),
      async (list, chunkLength) => {
        const length = CHUNKS * chunkLength - 100
        const size = (index: number): number => Math.min(chunkLength, length - index * chunkLength)
        const { volume } = await freshVolume()
        const store = new (chunkStoreOn(volume, quiet.clock))(
          chunkLength,
          torrentOptions(7, length),
        )
        const model = new Map<number, Uint8Array>()
        let pending: Promise<unknown>[] = []
        for (const [what, index, variant] of list) {
          const chunk = content(index * 10 + variant, size(index))
          if (what === 'put') {
            model.set(index, chunk)
            pending.push(put(store, index, chunk))
          } else {
            await Promise.all(pending)
            pending = []
            const expected = model.get(index)
            if (expected === undefined) {
              await assert.rejects(get(store, index), hasCode('CHUNK_MISSING'))
            } else {
              const offset = Math.min(variant * 1000, expected.length)
              const found = await get(store, index, { offset })
              assert.ok(Buffer.from(expected).subarray(offset).equals(found))
            }
          }
        }
        await end(store, 'close')
        const have = [...model.keys()].sort((a, b) => a - b)
        const bitmap = haveBitmap(volume, torrentOptions(7, length).infoHash)!
        const told = Array.from({ length: CHUNKS }, (_, i) => i).filter(
          (i) => (bitmap[i >> 3]! & (0x80 >> (i & 7))) !== 0,
        )
        assert.deepEqual(told, have)
        await volume.close()
      },
    ),
    { numRuns: 25, seed: 20261122 },
  )
})

test('a chunk that is there is forgotten durably before it is overwritten', async () => {
  const device = new SimulatedDevice({ sizeBytes: 64 * BLOCK })
  await formatVolume(device, { ...quiet, blockBytes: BLOCK })
  const volume = await mountVolume(device, quiet)
  const store = new (chunkStoreOn(volume, quiet.clock))(BLOCK, torrentOptions(1, 4 * BLOCK))
  await put(store, 0, content(0, BLOCK))
  await volume.sync()
  const { write, flush } = device.counts
  await put(store, 0, content(0, BLOCK))
  assert.deepEqual([device.counts.write, device.counts.flush], [write, flush], 'the same: nothing')
  await put(store, 0, content(1, BLOCK))
  assert.ok(device.counts.flush > flush)
  assert.deepEqual(new Uint8Array(await get(store, 0)), content(1, BLOCK))
  await end(store, 'close')
})

test('after close and destroy everything fails, once and with a code', async () => {
  for (const how of ['close', 'destroy'] as const) {
    const store = new MemoryChunkStore(10)
    await put(store, 0, content(0, 10))
    const late = put(store, 1, content(1, 10))
    await end(store, how)
    await late
    await assert.rejects(put(store, 0, content(0, 10)), hasCode('CHUNK_STORE_CLOSED'))
    await assert.rejects(get(store, 0), hasCode('CHUNK_STORE_CLOSED'))
    await assert.rejects(end(store, 'close'), hasCode('CHUNK_STORE_CLOSED'))
    await assert.rejects(end(store, 'destroy'), hasCode('CHUNK_STORE_CLOSED'))
  }
})

test('what does not fit is refused, never thrown', async () => {
  const store = new MemoryChunkStore(100, { length: 250 })
  for (const index of [-1, 0.5, 3, 2 ** 40, Number.NaN]) {
    await assert.rejects(put(store, index, content(0, 100)), hasCode('CHUNK_RANGE'))
    await assert.rejects(get(store, index), hasCode('CHUNK_RANGE'))
  }
  await assert.rejects(put(store, 2, content(0, 100)), hasCode('CHUNK_RANGE'), 'the last is short')
  await put(store, 2, content(0, 50))
  for (const range of [{ offset: -1 }, { offset: 51 }, { length: 51 }, { offset: 0.5 }]) {
    await assert.rejects(get(store, 2, range), hasCode('CHUNK_RANGE'))
  }
  assert.equal((await get(store, 2, { offset: 50 })).length, 0)
  await end(store, 'destroy')
  assert.throws(() => new MemoryChunkStore(0))
})

test('a volume wants to know the torrent, and in the shape that it has', async () => {
  const { volume } = await freshVolume()
  const Store = chunkStoreOn(volume, quiet.clock)
  const options = torrentOptions(1, 4 * BLOCK)
  const cases: [number, ChunkStoreOptions][] = [
    [BLOCK, {}],
    [BLOCK, { length: 4 * BLOCK }],
    [BLOCK, { length: 4 * BLOCK, torrent: { infoHash: toHex(options.infoHash) } }],
    [BLOCK, { infoBytes: options.torrent!.infoBuffer! }],
  ]
  for (const [chunkLength, wrong] of cases) {
    const store = new Store(chunkLength, wrong)
    await assert.rejects(put(store, 0, content(0, BLOCK)), hasCode('CHUNK_STORE_TORRENT'))
    await end(store, 'close')
  }
  const right = new Store(BLOCK, { length: 4 * BLOCK, infoBytes: options.torrent!.infoBuffer! })
  await put(right, 0, content(0, BLOCK))
  await assert.rejects(get(new Store(2 * BLOCK, options), 0), hasCode('CHUNK_STORE_TORRENT'))
  await end(right, 'close')
})

test('a store in memory is as large as it is asked to be, and as small', async () => {
  for (const [chunkLength, options, index] of [
    [4 * 2 ** 20, {}, 100_000],
    [16_384, { length: 2 ** 40 }, 2 ** 26 - 1],
    [3, { length: 10 }, 2],
  ] as const) {
    const store = new MemoryChunkStore(chunkLength, options)
    await put(store, index, content(1, chunkLength))
    assert.deepEqual(new Uint8Array(await get(store, index)), content(1, chunkLength))
    await end(store, 'destroy')
  }
})
