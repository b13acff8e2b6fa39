/**
 * Partial seeders over TCP, and the tracker that names them: what every client downloads from that is measured on the
 * simulated disk. A program of its own:
 *
 *   node seeder-process.js '{"directory", "torrents", "torrentBytes", "pieceBytes", "count", "share", "seed"}'
 *
 * It makes the torrents (spin/payload.ts), writes them to `directory`, and says
 * {"event": "ready", "torrents": [paths]}. The line "watch" on stdin is answered with {"event": "watching"}; from
 * then on the next byte of payload is told as {"event": "first-byte"}. End of stdin ends it.
 *
 * The seeders have an address of loopback each, and keep nothing: payload is made as it is sent.
 */
import { writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { WireReader } from '../../src/engine/wire/reader.ts'
import { encodeMetainfo } from '../../src/metainfo/index.ts'
import { ANSWER_BYTES, PartialSeeder } from '../spin/partial-seeder.ts'
import { payloadTorrent } from '../spin/payload.ts'
import { Shares } from '../spin/shares.ts'
import type { SeedersTask } from './seeders.ts'

const task = JSON.parse(process.argv[2]!) as SeedersTask
/** Answers that leave in one write. */
const BATCH = 16
const ANNOUNCE_SECONDS = 1800

const say = (event: string, fields: object = {}): void =>
  void process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)

const shares = new Shares(task)
const spare: Buffer[] = []
let watching = false

class TcpSeeder extends PartialSeeder {
  readonly #socket: Socket
  readonly #reader = new WireReader(this)
  #full = false

  constructor(socket: Socket, who: number) {
    super(shares, who)
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes) => {
      try {
        this.#reader.push(bytes)
      } catch {
        // Encrypted, or no BitTorrent: it is welcome to try again.
        socket.destroy()
        return
      }
      this.#pump()
    })
    socket.on('drain', () => {
      this.#full = false
      this.#pump()
    })
    socket.on('error', () => socket.destroy())
  }

  protected say(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  protected wake(): void {}

  protected leave(): void {
    this.#socket.destroy()
  }

  #pump(): void {
    while (!this.#full && this.waiting > 0 && !this.#socket.destroyed) {
      const buffer = spare.pop() ?? Buffer.allocUnsafe(BATCH * ANSWER_BYTES)
      let bytes = 0
      for (let i = 0; i < BATCH; i++) bytes += this.answer(buffer, bytes)
      if (watching) {
        watching = false
        say('first-byte')
      }
      this.#full = !this.#socket.write(buffer.subarray(0, bytes), () => spare.push(buffer))
    }
  }
}

const listening = (server: Server, host: string): Promise<AddressInfo> =>
  new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, host, () => resolve(server.address() as AddressInfo))
  })

const peers = Buffer.alloc(6 * task.count)
for (let who = 0; who < task.count; who++) {
  const address = [127, 0, 2, 1 + who]
  const server = createServer((socket) => new TcpSeeder(socket, who))
  const { port } = await listening(server, address.join('.'))
  peers.set(address, 6 * who)
  peers.writeUInt16BE(port, 6 * who + 4)
}
const answer = Buffer.concat([
  Buffer.from(`d8:intervali${ANNOUNCE_SECONDS}e5:peers${peers.length}:`),
  peers,
  Buffer.from('e'),
])
const tracker = createHttpServer((_request, response) => response.end(answer))
const { port } = await listening(tracker, '127.0.0.1')

const torrents: string[] = []
for (let number = 0; number < task.torrents; number++) {
  const info = payloadTorrent(number, task.torrentBytes, task.pieceBytes)
  shares.add(number, info)
  const path = join(task.directory, `${number}.torrent`)
  const trackers = [[`http://127.0.0.1:${port}/announce`]]
  writeFileSync(path, encodeMetainfo({ infoBytes: info.infoBytes, trackers }))
  torrents.push(path)
}
const lines = createInterface({ input: process.stdin })
lines.on('line', () => {
  watching = true
  say('watching')
})
lines.on('close', () => process.exit(0))
say('ready', { torrents })
