/**
 * `seedbed up` is killed with SIGKILL in the middle of a download, and started again: the image is
 * clean, what was acknowledged more than a few seconds before the kill is still there, the download
 * goes on from it by itself, and only what was not durable is fetched again.
 *
 * The seeder counts the payload bytes it sends, so "fetched again" is measured where it happens.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../src/base/index.ts'
import { differences, digest, makeFile, scratchDirectory } from './content.ts'
import { createTorrent, endLibtorrent, libtorrent, libtorrentStats } from './peers/libtorrent.ts'
import { havePeers } from './peers/presence.ts'
import { drain, imageOf, seedbed, seedbedJson, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { MIB } from './swarm.ts'

const HOST = '127.0.0.1'
const CONTENT_BYTES = 512 * MIB
const PIECE_BYTES = MIB
/** The whole download takes a dozen seconds: long against the few that a crash may cost. */
const UPLOAD_LIMIT = 40 * MIB
const KILL_AT_BYTES = 0.6 * CONTENT_BYTES
/** The promise, in milliseconds: what was acknowledged before this is durable. */
const LOST_AT_MOST_MS = 5_000
/** Chunks asked for twice at the end of a download, protocol slack. */
const END_GAME_BYTES = 4 * PIECE_BYTES

async function fsckIsClean(image: string): Promise<void> {
  await seedbed(['fsck', '--device', image, '--json']).succeed(60_000)
}

test('a kill in the middle of a download costs a few seconds of it, no more', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  const content = join(scratch, 'content.bin')
  await makeFile(content, CONTENT_BYTES, 'crash')
  // Its own process: the tracker must not die with the downloader.
  const tracker = await up({ data: join(scratch, 'tracker'), host: HOST })
  t.after(() => tracker.child.kill())
  const torrent = await createTorrent(content, join(scratch, 'content.torrent'), PIECE_BYTES, [
    tracker.httpTracker,
  ])
  const seeder = libtorrent({
    source: { torrent: torrent.torrentFile },
    directory: scratch,
    host: HOST,
    seed: true,
    uploadLimit: UPLOAD_LIMIT,
  })
  t.after(() => seeder.kill())
  await seeder.event('complete', 60_000)
  await seedersAnnounced(tracker.httpTracker, torrent.infoHash)

  const data = join(scratch, 'data')
  const image = imageOf(data)
  const first = await up({ data, host: HOST, paths: [torrent.torrentFile] })
  t.after(() => first.child.kill())
  await first.child.event(
    (event) => event.phase === 'download' && Number(event.bytes) >= KILL_AT_BYTES,
    60_000,
  )
  await first.child.kill()
  const killedAtMs = systemClock.monotonicMs()
  const acknowledged = first.child.events
    .filter((event) => event.phase === 'download' && event.atMs < killedAtMs - LOST_AT_MOST_MS)
    .reduce((most, event) => Math.max(most, Number(event.bytes)), 0)
  assert.ok(acknowledged > 0, 'the download lasted long enough to have acknowledged something')
  const sentBefore = (await libtorrentStats(seeder)).uploaded

  await fsckIsClean(image)
  const durable = await durableBytes(image, torrent.infoHash)
  assert.ok(
    durable >= acknowledged,
    `${durable} bytes survived, ${acknowledged} were acknowledged ${LOST_AT_MOST_MS} ms before`,
  )
  assert.ok(durable < CONTENT_BYTES)

  const second = await up({ data, host: HOST })
  t.after(() => second.child.kill())
  await second.child.event('complete', 60_000)
  const sentAfter = (await libtorrentStats(seeder)).uploaded - sentBefore
  const missing = CONTENT_BYTES - durable
  assert.ok(
    sentAfter <= missing + END_GAME_BYTES,
    `${sentAfter} bytes were sent after the restart, ${missing} were missing`,
  )
  await drain(second.child)
  await endLibtorrent(seeder)

  await fsckIsClean(image)
  await seedbed(['export', torrent.infoHash, '--device', image, '--out', `${scratch}/out`]).succeed(
    60_000,
  )
  assert.deepEqual(
    differences(await digest(content), await digest(join(scratch, 'out', 'content.bin'))),
    [],
  )
  await drain(tracker.child)
  t.diagnostic(
    `killed at ${toMiB(sentBefore)} MiB sent: ${toMiB(durable)} MiB were durable ` +
      `(${toMiB(acknowledged)} MiB acknowledged ${LOST_AT_MOST_MS / 1000} s before), ` +
      `${toMiB(sentAfter)} MiB sent after the restart for ${toMiB(missing)} MiB missing`,
  )
})

function toMiB(bytes: number): string {
  return (bytes / MIB).toFixed(0)
}

/** Bytes of verified pieces that a mount of the image finds. */
async function durableBytes(image: string, infoHash: string): Promise<number> {
  const lines = await seedbedJson(['info', infoHash, '--device', image])
  return Number(lines[0]!.havePieces) * PIECE_BYTES
}
