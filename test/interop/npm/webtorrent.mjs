// A WebTorrent client as a process of its own, over TCP on loopback: told by its first argument (JSON), it
// seeds or downloads with a store of its own or on a seedbed volume, and prints events as JSON lines.
//
//   { torrent, infoHash, port, peers?, path?, image?, bitfield? }
//
// torrent   a .torrent file
// port      its TCP port, 0 for any
// peers     addresses to connect to
// path      ordinary files: what it seeds, or where it downloads to
// image     a seedbed image instead: the torrent's chunk store
// bitfield  believe the have-bits of the image instead of hashing
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import WebTorrent from 'webtorrent'
import { chunkStoreOn, haveBitmap } from '../../../dist/src/chunk-store/index.js'
import { openStorage, systemClock, systemRandom } from '../../../dist/src/node/index.js'

const asked = JSON.parse(process.argv[2])
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`)

const client = new WebTorrent({
  torrentPort: asked.port,
  dht: false,
  lsd: false,
  natUpnp: false,
  natPmp: false,
  tracker: false,
  utp: false,
  utPex: false,
})
client.on('error', (error) => {
  tell({ event: 'error', message: error.message })
  process.exit(1)
})

let storage
const options = { path: asked.path, announce: [] }
if (asked.image !== undefined) {
  storage = await openStorage(asked.image, {
    create: true,
    imageBytes: 256 * 2 ** 20,
    clock: systemClock,
    random: systemRandom(),
  })
  const reads = { count: 0 }
  // Counts what is read, to see whether anything is hashed at the start.
  options.store = class extends chunkStoreOn(storage.volume) {
    get(...args) {
      reads.count++
      super.get(...args)
    }
  }
  if (asked.bitfield)
    options.bitfield = haveBitmap(storage.volume, Buffer.from(asked.infoHash, 'hex'))
  options.reads = reads
}

const torrent = client.add(readFileSync(asked.torrent), options)
torrent.on('ready', () => {
  for (const peer of asked.peers ?? []) torrent.addPeer(peer)
  tell({
    event: 'ready',
    port: client.torrentPort,
    have: torrent.pieces.filter((_, index) => torrent.bitfield.get(index)).length,
    pieces: torrent.pieces.length,
    reads: options.reads?.count ?? null,
  })
})
torrent.on('done', () => tell({ event: 'done', downloaded: torrent.downloaded }))

createInterface({ input: process.stdin }).on('close', () => {
  const uploaded = torrent.uploaded
  client.destroy(async (error) => {
    await storage?.volume.close()
    tell({ event: 'stopped', uploaded, ...(error ? { message: error.message } : {}) })
    process.exit(0)
  })
})
