/**
 * A process of its own, run with --expose-gc: an engine with 1,000 and then 3,000 whole torrents of 1,024 pieces, each announced to a
 * tracker. Prints what each of the last 2,000 keeps, in bytes, on the heap and off it.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { encode } from '../../src/bencode/index.ts'
import type { EngineTorrent } from '../../src/engine/index.ts'
import { buildInfo, type TorrentInfo } from '../../src/metainfo/index.ts'
import type { StoredTorrent } from '../../src/torrent-store/index.ts'
import { Swarm } from './swarm.ts'

const PIECES = 1024

function infoOf(number: number): TorrentInfo {
  const pieceHashes = new Uint8Array(20 * PIECES)
  new DataView(pieceHashes.buffer).setUint32(0, number)
  return buildInfo({
    name: `torrent ${number}`,
    multiFile: false,
    files: [{ path: ['content'], bytes: PIECES * 2 ** 20, padding: false }],
    pieceBytes: 2 ** 20,
    pieceHashes,
  })
}

/** Of a store that is not measured: what an idle torrent asks of it. */
function whole({ infoHash, totalBytes, pieceBytes, pieceCount }: TorrentInfo): StoredTorrent {
  const stored: Partial<StoredTorrent> = {
    infoHash,
    totalBytes,
    pieceBytes,
    pieceCount,
    complete: true,
    uploadedBytes: 0,
    downloadedBytes: 0,
  }
  return stored as StoredTorrent
}

const swarm = new Swarm(1)
const answer = {
  status: 200,
  body: encode({ interval: 1800, complete: 1, peers: new Uint8Array(0) }),
}
const engine = await swarm.engine('10.0.0.1', swarm.volume(), {
  network: {
    ...swarm.internet.host('10.0.0.1'),
    resolve: async () => [{ address: '10.0.0.2', family: 4 }],
    httpGet: async () => answer,
  },
})
const torrents: EngineTorrent[] = []

async function grow(count: number): Promise<number> {
  while (torrents.length < count) {
    const info = infoOf(torrents.length)
    torrents.push(
      engine.open(whole(info), info, {
        trackers: [['http://tracker/announce', 'http://other/announce']],
        reload: () => Promise.reject(new Error('nobody comes')),
      }),
    )
  }
  const isTold = (torrent: EngineTorrent): boolean =>
    torrent.trackers().some(({ seeders }) => seeders === 1)
  while (!torrents.every(isTold)) {
    swarm.clock.advance(1_000)
    await turn()
  }
  for (let i = 0; i < 3; i++) {
    await turn()
    globalThis.gc!()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const before = await grow(1_000)
const after = await grow(3_000)
await engine.stop()
process.stdout.write(`${Math.round((after - before) / 2_000)}\n`)
