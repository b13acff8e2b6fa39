/** What is wanted of a torrent, and when: files skipped and wanted again, partial seeds, sequence, streams. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeedbedError } from '../../src/base/index.ts'
import { type Engine, type EngineTorrent, priorities } from '../../src/engine/index.ts'
import type { FakeVolume } from './fake-volume.ts'
import { assertSame, BLOCK_BYTES, type Content, Swarm } from './swarm.ts'

const { skip, low, normal, high } = priorities
const PIECE = BLOCK_BYTES / 8
const SEED = { host: '10.0.0.1', port: 6881 }

/** Three files: 10, 10 and 12 pieces and something; borders within pieces. */
async function start(
  swarm: Swarm,
  options: Parameters<Engine['add']>[1] = { trackers: [] },
): Promise<{
  content: Content
  seeder: EngineTorrent
  torrent: EngineTorrent
  volume: FakeVolume
}> {
  const sizes = [10 * PIECE + 5, 10 * PIECE, 12 * PIECE + 100]
  const content = swarm.content(32 * PIECE + 105, PIECE, sizes)
  const seedVolume = await swarm.holding(content)
  const engine = await swarm.engine('10.0.0.1', seedVolume)
  const stored = seedVolume.get(content.info.infoHash)!
  const seeder = engine.open(stored, content.info, { trackers: [] })
  const volume = swarm.volume()
  const leecher = await swarm.engine('10.0.1.1', volume)
  const torrent = await leecher.add(content.info, { peers: [SEED], ...options })
  return { content, seeder, torrent, volume }
}

const held = (torrent: EngineTorrent): string =>
  Array.from({ length: 33 }, (_, piece) => (torrent.stored!.have.has(piece) ? 'x' : '.')).join('')
const seeding = (torrent: EngineTorrent): boolean => torrent.progress().state === 'seeding'

test('skipped files are not fetched, but for the pieces that they share; what is wanted completes', async () => {
  const swarm = new Swarm(1)
  const { seeder, torrent, volume } = await start(swarm, {
    trackers: [],
    priorities: () => [skip, normal, skip],
  })
  let completed = 0
  torrent.on('complete', () => completed++)
  await swarm.until(() => seeding(torrent), 60_000)
  assert.equal(held(torrent), '..........xxxxxxxxxxx............')
  assert.equal(torrent.progress().wantedBytes, 11 * PIECE)
  assert.equal(torrent.progress().haveBytes, 11 * PIECE)
  assert.equal(completed, 1)
  assert.ok(volume.syncs > 0)
  // Neither has anything for the other: BEP 21 says so, and they part.
  await swarm.until(() => seeder.progress().peers === 0, 60_000)

  // Wanted after all.
  await swarm.settled(torrent.setPriorities([normal, normal, normal]))
  assert.equal(torrent.progress().state, 'downloading')
  torrent.addPeers([SEED])
  await swarm.until(() => seeding(torrent), 600_000)
  assert.ok(torrent.stored!.complete)
  assert.equal(completed, 2)
  await swarm.stop()
})

test('a partial seed tells its tracker so (BEP 21), and no more when all is wanted', async () => {
  const swarm = new Swarm(21)
  const content = swarm.content(4 * PIECE, PIECE, [2 * PIECE, 2 * PIECE])
  const holding = await swarm.holding(content, (piece) => piece < 2)
  const events: (string | null)[] = []
  const network = {
    ...swarm.internet.host('10.0.0.1'),
    httpGet: async (url: string) => {
      events.push(new URL(url).searchParams.get('event'))
      return { status: 200, body: Buffer.from('d8:intervali300e5:peers0:e') }
    },
  }
  const engine = await swarm.engine('10.0.0.1', holding, { network })
  const torrent = engine.open(holding.get(content.info.infoHash)!, content.info, {
    trackers: [['http://10.0.0.9/announce']],
    priorities: () => [normal, skip],
  })
  await swarm.until(() => events.length === 3, 1_000_000, 1_000)
  assert.deepEqual(events, ['started', 'paused', 'paused'])
  await swarm.settled(torrent.setPriorities([normal, normal]))
  await swarm.until(() => events.length === 4, 1_000_000, 1_000)
  assert.equal(events[3], null)
  await swarm.stop()
})

test('files skipped while they come are given up, and what is there is complete then', async () => {
  const swarm = new Swarm(2, { bytesPerMs: 100 })
  const { content, torrent, volume } = await start(swarm)
  let completed = 0
  torrent.on('complete', () => completed++)
  await swarm.until(() => torrent.progress().havePieces >= 4, 60_000)
  await swarm.settled(torrent.setPriorities([skip, skip, low]))
  await swarm.until(() => seeding(torrent), 600_000)
  assert.match(held(torrent).slice(20), /^x{13}$/)
  assert.ok(!torrent.stored!.complete)
  // Everything that is still missing is skipped: complete at once.
  await swarm.settled(torrent.setPriorities([skip, skip, skip]))
  assert.equal(torrent.progress().state, 'seeding')
  await swarm.settled(torrent.setPriorities([high, high, high]))
  torrent.addPeers([SEED])
  await swarm.until(() => torrent.stored!.complete && seeding(torrent), 600_000)
  assertSame(volume, content)
  assert.equal(completed, 2)
  await swarm.stop()
})

test('a high priority comes first', async () => {
  const swarm = new Swarm(3, { bytesPerMs: 100 })
  const { content, torrent, volume } = await start(swarm, {
    trackers: [],
    priorities: () => [low, normal, high],
  })
  const order: number[] = []
  torrent.on('piece', (piece) => order.push(piece))
  await swarm.until(() => seeding(torrent), 600_000)
  // Whole extents come along with the pieces at their seams.
  const rank = (pieces: (piece: number) => boolean): number => {
    const places = order.flatMap((piece, at) => (pieces(piece) ? [at] : []))
    return places.reduce((sum, at) => sum + at, 0) / places.length
  }
  assert.ok(rank((piece) => piece > 20) < rank((piece) => piece > 10 && piece < 20), `${order}`)
  assert.ok(rank((piece) => piece > 10 && piece < 20) < rank((piece) => piece < 8), `${order}`)
  assertSame(volume, content)
  await swarm.stop()
})

test('in sequence, blocks come from the first to the last', async () => {
  const swarm = new Swarm(4, { bytesPerMs: 100 })
  const { torrent } = await start(swarm, { trackers: [], sequential: true })
  const order: number[] = []
  torrent.on('piece', (piece) => order.push(piece))
  await swarm.until(() => seeding(torrent), 600_000)
  // But for those that the seeder allowed before it unchoked (BEP 6).
  const asked = order.filter((piece) => piece < 24 && piece > 8)
  const late = asked.filter((piece, at) => at > 0 && piece < asked[at - 1]!)
  assert.ok(late.length <= 3, `${order}`)
  await swarm.stop()
})

test('a stream gets its bytes in order, before all else, and ends with its torrent', async () => {
  const swarm = new Swarm(5, { bytesPerMs: 100 })
  const { content, torrent } = await start(swarm)
  const from = 12 * PIECE + 77
  const stream = torrent.createReadStream(1, {
    start: from - (10 * PIECE + 5),
    end: 10 * PIECE,
  })
  const parts: Buffer[] = []
  let ended = false
  stream.on('data', (part: Buffer) => parts.push(part))
  stream.on('end', () => {
    ended = true
  })
  await swarm.until(() => ended, 600_000)
  assert.ok(Buffer.concat(parts).equals(content.bytes.subarray(from, 20 * PIECE + 5)))
  // The rest was not waited for.
  assert.ok(!seeding(torrent), held(torrent))

  const whole = torrent.createReadStream(2)
  const failed = new Promise<Error>((resolve) => whole.on('error', resolve))
  whole.resume()
  await swarm.settled(torrent.setPriorities([skip, skip, skip]))
  const error = await swarm.settled(failed)
  assert.ok(error instanceof SeedbedError && error.code === 'ENGINE_SKIPPED')
  assert.throws(() => torrent.createReadStream(3), RangeError)
  assert.throws(() => torrent.createReadStream(0, { start: 5, end: 4 }), RangeError)
  assert.throws(() => torrent.createReadStream(0, { end: 11 * PIECE }), RangeError)

  await swarm.settled(torrent.setPriorities([normal, normal, normal]))
  const cut = torrent.createReadStream(0)
  const gone = new Promise<unknown>((resolve) => {
    cut.on('error', resolve)
    cut.on('end', () => resolve('whole'))
  })
  cut.resume()
  await swarm.stop()
  const ending = await gone
  assert.ok(ending === 'whole' || (ending as SeedbedError).code === 'ENGINE_STOPPED', `${ending}`)
})
