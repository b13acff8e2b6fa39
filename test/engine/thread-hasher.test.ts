/** Hashing in a thread: the same digests, there when it pays and gone when it does not, and its death survived. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, seededRandom, silentLogger, systemClock } from '../../src/base/index.ts'
import { type HashAnswer, type Hasher, inlineHasher } from '../../src/engine/hasher.ts'
import { type Engine, startEngine } from '../../src/engine/index.ts'
import { ThreadHasher } from '../../src/engine/node-hasher.ts'
import type { PieceRecipe, TorrentFormat } from '../../src/metainfo/index.ts'
import { FakeInternet } from './fake-network.ts'
import type { FakeVolume } from './fake-volume.ts'
import { assertSame, Swarm } from './swarm.ts'

const PIECE = 256 * 1024
const V1: PieceRecipe = { sha1: true, fillerBytes: 0, leaves: 0, height: 0 }
const V2: PieceRecipe = { sha1: false, fillerBytes: 0, leaves: 16, height: 4 }
const HYBRID: PieceRecipe = { sha1: true, fillerBytes: 100_000, leaves: 16, height: 5 }

function filled(hasher: Hasher, seed: number): Uint8Array {
  const bytes = hasher.allocate(PIECE)
  const random = seededRandom(seed)
  for (let i = 0; i < bytes.length; i += 97) bytes[i] = random.uint32()
  return bytes
}

function hash(
  hasher: Hasher,
  recipe: PieceRecipe,
  parts: readonly Uint8Array[],
): Promise<HashAnswer> {
  const task = hasher.begin(recipe)
  return new Promise((resolve) => {
    const next = (at: number): void =>
      task.update(parts[at]!, at === parts.length - 1, (answer) => {
        if (answer === 'more') next(at + 1)
        else resolve(answer)
      })
    next(0)
  })
}

/** Makes it fast, and waits until the thread runs. */
async function begun(hasher: ThreadHasher): Promise<void> {
  hasher.count(2 ** 30)
  while (!hasher.threaded) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits until the thread is over. */
async function ended(hasher: ThreadHasher): Promise<void> {
  while (hasher.threaded) await new Promise((resolve) => setImmediate(resolve))
}

const made = (clock = new ManualClock(), program?: URL): ThreadHasher =>
  new ThreadHasher({ clock, logger: silentLogger, processors: 3, ...(program && { program }) })

test('the thread finds what is found in the call, of many pieces at once and of pieces in parts', async () => {
  const hasher = made()
  await begun(hasher)
  const wholes = Array.from({ length: 12 }, (_, seed) => filled(hasher, seed))
  const jobs: [PieceRecipe, Uint8Array[]][] = []
  for (const [i, whole] of wholes.entries()) {
    const recipe = [V1, V2, HYBRID][i % 3]!
    jobs.push([recipe, [whole]])
    jobs.push([
      recipe,
      [whole.subarray(0, 70_000), whole.subarray(70_000, 70_001), whole.subarray(70_001)],
    ])
    // Too small to be handed over.
    jobs.push([recipe, [whole.subarray(7, 1_000)]])
  }
  const here = await Promise.all(jobs.map(([recipe, parts]) => hash(inlineHasher, recipe, parts)))
  const there = await Promise.all(jobs.map(([recipe, parts]) => hash(hasher, recipe, parts)))
  const plain = (answers: HashAnswer[]): unknown =>
    answers.map((answer) => typeof answer === 'object' && { ...hex(answer) })
  assert.deepEqual(plain(there), plain(here))
  await hasher.close()
})

function hex({ sha1, root }: Exclude<HashAnswer, string>): object {
  const text = (bytes?: Uint8Array): string => Buffer.from(bytes ?? []).toString('hex')
  return { sha1: text(sha1), root: text(root) }
}

test('slow downloads have no thread, and are answered in the call', async () => {
  const clock = new ManualClock()
  const hasher = new ThreadHasher({
    clock,
    logger: silentLogger,
    processors: 3,
    fastBytes: 4 * PIECE,
  })
  const bytes = filled(hasher, 1)
  for (let i = 0; i < 20; i++) {
    let isAnswered = false
    hasher.begin(V1).update(bytes, true, () => {
      isAnswered = true
    })
    assert.ok(isAnswered)
    clock.advance(400)
  }
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(hasher.threaded, false)
  await hasher.close()
})

test('with two processors there is no thread, however fast it is', async () => {
  const clock = new ManualClock()
  const two = new ThreadHasher({ clock, logger: silentLogger, processors: 2 })
  two.count(2 ** 30)
  const three = made()
  await begun(three)
  assert.equal(two.threaded, false)
  assert.ok(typeof (await hash(two, V1, [filled(two, 1)])) === 'object')
  await Promise.all([two.close(), three.close()])
})

test('the thread ends when it was slow for ten seconds, after the last of its tasks, and begins again', async () => {
  const clock = new ManualClock()
  const hasher = made(clock)
  await begun(hasher)
  const bytes = filled(hasher, 1)
  const task = hasher.begin(V1)
  const answer = (isLast: boolean): Promise<HashAnswer> =>
    new Promise((resolve) => task.update(bytes, isLast, resolve))
  assert.equal(await answer(false), 'more')
  clock.advance(9_000)
  assert.ok(hasher.threaded)
  clock.advance(2_000)
  clock.advance(10_000)
  assert.equal(hasher.threaded, false, 'it takes no other task')
  assert.ok(typeof (await answer(true)) === 'object', 'and ends those that it has')
  await ended(hasher)
  await begun(hasher)
  await hasher.close()
})

test('what was cancelled is told nothing, and does not keep the thread from ending', async () => {
  const clock = new ManualClock()
  const hasher = made(clock)
  await begun(hasher)
  const bytes = filled(hasher, 1)
  const cancelled = hasher.begin(V1)
  cancelled.update(bytes, true, () => assert.fail('told'))
  cancelled.cancel()
  const halfway = hasher.begin(V2)
  await new Promise<void>((resolve) => halfway.update(bytes, false, () => resolve()))
  halfway.cancel()
  halfway.cancel()
  assert.ok(typeof (await hash(hasher, V1, [bytes])) === 'object')
  await hasher.close()
  assert.equal(hasher.threaded, false)
})

test('a thread that dies loses what it had; what comes after is hashed in the call', async () => {
  const body = `import { parentPort } from 'node:worker_threads'
    parentPort.once('message', () => { throw new Error('a bit has flipped') })`
  const hasher = made(
    new ManualClock(),
    new URL(`data:text/javascript,${encodeURIComponent(body)}`),
  )
  await begun(hasher)
  const bytes = filled(hasher, 1)
  const answers = await Promise.all([hash(hasher, V1, [bytes]), hash(hasher, V2, [bytes, bytes])])
  assert.deepEqual(answers, ['lost', 'lost'])
  assert.equal(hasher.threaded, false)
  hasher.count(2 ** 30)
  assert.ok(typeof (await hash(hasher, V1, [bytes])) === 'object')
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(hasher.threaded, false, 'there is no other')
  await hasher.close()
})

test('closed with tasks open, it loses them; after that all is hashed in the call', async () => {
  const hasher = made()
  await begun(hasher)
  const bytes = filled(hasher, 1)
  const open = hash(hasher, V1, [bytes])
  const closing = hasher.close()
  assert.equal(await open, 'lost')
  await closing
  hasher.count(2 ** 30)
  assert.ok(typeof (await hash(hasher, V1, [bytes])) === 'object')
  assert.equal(hasher.threaded, false)
})

for (const [format, pieceBytes] of [
  ['v1', 64 * 1024],
  ['v1', 1024 * 1024],
  ['v2', 128 * 1024],
  ['hybrid', 512 * 1024],
] as const satisfies readonly (readonly [TorrentFormat, number])[]) {
  test(`a torrent of ${format} in pieces of ${pieceBytes / 1024} KiB is downloaded through the thread`, async () => {
    const origin = new Swarm(5)
    const content = origin.published(format, [3_000_000, 200_000, 5], pieceBytes)
    const internet = new FakeInternet(systemClock, { latencyMs: 1, bytesPerMs: 100_000 })
    // On a clock that stands still a second is fast for ever.
    const hasher = made()
    await begun(hasher)
    const start = (host: string, volume: FakeVolume): Promise<Engine> =>
      startEngine({
        volume,
        network: internet.host(host),
        clock: systemClock,
        random: seededRandom(1 + host.length),
        logger: silentLogger,
        peerPort: 6881,
        bind: ['0.0.0.0'],
        cacheBytes: 4 * origin.blockBytes,
        maxConnections: 10,
        ...(host === '10.0.0.22' ? { hasher } : {}),
      })
    const whole = await origin.holding(content)
    const empty = origin.volume()
    const seeder = await start('10.0.0.1', whole)
    const leecher = await start('10.0.0.22', empty)
    const layers = content.layers!
    seeder.open(whole.get(content.info.infoHash)!, content.info, { trackers: [], layers })
    const peers = [{ host: '10.0.0.1', port: 6881 }]
    const torrent = await leecher.add(content.info, { trackers: [], layers, peers })
    await new Promise<void>((resolve) => torrent.on('complete', () => resolve()))
    assert.ok(hasher.threaded)
    await Promise.all([seeder.stop(), leecher.stop()])
    assertSame(empty, content)
    assert.equal(hasher.threaded, false, 'it ends with the engine')
  })
}
