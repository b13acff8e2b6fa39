/**
 * Leechers that come at random moments and ask as clients do: a load for whoever seeds from a disk. A program of its own:
 *
 *   node leecher-process.js '{"port", "torrents", "leechers", "joinMs", "seed"}'
 *
 * Each takes a torrent drawn at random, and its pieces in an order of its own, as rarest-first does where a seeder has
 * all; a piece is asked for in order, so many chunks at a time, and one that the seeder suggests (BEP 6) goes first. When it has a torrent it leaves, and comes
 * back for another. What arrives is counted and thrown away: others measure hashing. They learn nothing from
 * each other, so all of it is the seeder's work.
 *
 * It answers each line on stdin with {"event": "bytes", "bytes", "connected", "unchoked"}. End of stdin ends it.
 */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { below, type Random, seededRandom, systemClock } from '../../src/base/index.ts'
import { HANDSHAKE_BYTES, writeHandshake } from '../../src/engine/wire/handshake.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { WireReader } from '../../src/engine/wire/reader.ts'
import { DeafSink } from '../../src/engine/wire/sink.ts'
import { parseMetainfo, type TorrentInfo } from '../../src/metainfo/index.ts'
import type { LeechersTask } from './leechers.ts'

const task = JSON.parse(process.argv[2]!) as LeechersTask
/** Chunks of 16 KiB asked for and not there: 2 MiB, eight pieces of 256 KiB. */
const DEPTH = 128
const REJOIN_MS = 500

const infos = task.torrents.map((path) => parseMetainfo(readFileSync(path)).info)
const random = seededRandom(task.seed)
let received = 0
let connected = 0
let unchoked = 0

class Leecher extends DeafSink {
  readonly #socket: Socket
  readonly #info: TorrentInfo
  /** Pieces that are still to be asked for, the next one last. */
  readonly #pieces: number[]
  #begin = 0
  #owed = 0
  #choked = true

  constructor(address: string, info: TorrentInfo, over: () => void) {
    super()
    this.#info = info
    this.#pieces = shuffled(info.pieceCount, random)
    this.#socket = connect({
      host: '127.0.0.1',
      port: task.port,
      localAddress: address,
      noDelay: true,
    })
    const reader = new WireReader(this)
    this.#socket.on('data', (bytes) => {
      reader.push(bytes)
      this.#ask()
      if (this.#owed === 0 && this.#pieces.length === 0) this.#socket.end()
    })
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => {
      this.onChoke()
      over()
    })
    const hello = Buffer.alloc(HANDSHAKE_BYTES)
    const peerId = new Uint8Array(20)
    random.fill(peerId)
    writeHandshake(hello, { infoHash: info.infoHash, peerId })
    this.#socket.write(hello)
  }

  override onHandshake(): void {
    const words = Buffer.alloc(2 * messages.BARE_BYTES)
    messages.writeHaveNone(words, 0)
    messages.writeInterested(words, messages.BARE_BYTES)
    this.#socket.write(words)
  }

  override onUnchoke(): void {
    if (this.#choked) unchoked++
    this.#choked = false
  }

  override onChoke(): void {
    if (!this.#choked) unchoked--
    this.#choked = true
  }

  override onPieceEnd(piece: number, begin: number, length: number): void {
    this.#owed--
    received += length
    const have = Math.min((piece + 1) * this.#info.pieceBytes, this.#info.totalBytes)
    if (piece * this.#info.pieceBytes + begin + length < have) return
    const word = Buffer.alloc(messages.HAVE_BYTES)
    messages.writeHave(word, 0, piece)
    this.#socket.write(word)
  }

  /** What the seeder has in memory goes first, as clients do. */
  override onSuggest(piece: number): void {
    const at = this.#pieces.lastIndexOf(piece)
    // The last one is begun perhaps; it stays where it is.
    if (at < 0 || at >= this.#pieces.length - 1) return
    this.#pieces.splice(at, 1)
    this.#pieces.splice(-1, 0, piece)
  }

  /** Refused, as to one that is choked: asked again later, from the beginning of the piece. */
  override onReject(piece: number, begin: number): void {
    this.#owed--
    if (begin === 0) this.#pieces.unshift(piece)
  }

  #ask(): void {
    if (this.#choked || this.#owed > DEPTH / 2) return
    const bytes = Buffer.alloc((DEPTH - this.#owed) * messages.REQUEST_BYTES)
    let at = 0
    const { pieceBytes, totalBytes } = this.#info
    while (this.#owed < DEPTH && this.#pieces.length > 0) {
      const piece = this.#pieces.at(-1)!
      const size = Math.min(pieceBytes, totalBytes - piece * pieceBytes)
      const length = Math.min(messages.CHUNK_BYTES, size - this.#begin)
      at += messages.writeRequest(bytes, at, piece, this.#begin, length)
      this.#begin += length
      this.#owed++
      if (this.#begin < size) continue
      this.#begin = 0
      this.#pieces.pop()
    }
    if (at > 0) this.#socket.write(bytes.subarray(0, at))
  }
}

function shuffled(count: number, random: Random): number[] {
  const numbers = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = below(random, i + 1)
    const kept = numbers[i]!
    numbers[i] = numbers[j]!
    numbers[j] = kept
  }
  return numbers
}

function join(number: number): void {
  connected++
  const info = infos[below(random, infos.length)]!
  new Leecher(`127.0.1.${1 + number}`, info, () => {
    connected--
    systemClock.after(REJOIN_MS, () => join(number), true)
  })
}

for (let number = 0; number < task.leechers; number++) {
  systemClock.after(below(random, task.joinMs), () => join(number))
}
const lines = createInterface({ input: process.stdin })
lines.on('line', () => {
  const fields = { event: 'bytes', bytes: received, connected, unchoked }
  process.stdout.write(`${JSON.stringify(fields)}\n`)
})
lines.on('close', () => process.exit(0))
