/**
 * A network of partial seeders that speak the wire protocol and nothing else, in virtual time: what an
 * engine under test downloads from, at a rate that the connection has. A seeder holds a part of each
 * torrent, drawn at random, and never learns more; together they hold all of it.
 *
 * Invariants: requests are answered in order, each once, unless cancelled before its turn; no byte is
 * copied but into one message at a time.
 */
import { Bitfield, below, type ManualClock, seededRandom, toHex } from '../../src/base/index.ts'
import type { Network, PeerListener, PeerSocket } from '../../src/engine/index.ts'
import { HANDSHAKE_BYTES, writeHandshake } from '../../src/engine/wire/handshake.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { WireReader } from '../../src/engine/wire/reader.ts'
import { DeafSink } from '../../src/engine/wire/sink.ts'
import type { TorrentInfo } from '../../src/metainfo/index.ts'
import { CHUNK_BYTES, fillChunk } from './payload.ts'

export interface SeedersOptions {
  readonly clock: ManualClock
  readonly count: number
  /** Of the pieces that one holds. */
  readonly share: number
  /** Of one connection. */
  readonly bytesPerMs: number
  readonly seed: number
}

interface Seeded {
  readonly number: number
  readonly info: TorrentInfo
  /** By seeder. */
  readonly has: readonly Bitfield[]
}

const LATENCY_MS = 1
/** Chunks that leave together: fewer events, the same rate. */
const BATCH = 4

export class Seeders {
  readonly options: SeedersOptions
  readonly #torrents = new Map<string, Seeded>()

  constructor(options: SeedersOptions) {
    this.options = options
  }

  /** Where they are, for `Engine.add`. */
  get peers(): { host: string; port: number }[] {
    return Array.from({ length: this.options.count }, (_, i) => ({
      host: `10.0.0.${i + 1}`,
      port: 6881,
    }))
  }

  add(number: number, info: TorrentInfo): void {
    const { count, share, seed } = this.options
    const random = seededRandom(seed * 1_000 + number)
    const has = Array.from({ length: count }, () => new Bitfield(info.pieceCount))
    for (let piece = 0; piece < info.pieceCount; piece++) {
      has[below(random, count)]!.set(piece)
      for (const bits of has) if (random.uint32() < share * 2 ** 32) bits.set(piece)
    }
    this.#torrents.set(toHex(info.infoHash), { number, info, has })
  }

  find(infoHash: Uint8Array): Seeded | undefined {
    return this.#torrents.get(toHex(infoHash))
  }

  /** The network of the engine under test. */
  get network(): Network {
    const refuse = async (): Promise<never> => {
      throw new Error('there are only peers in this network')
    }
    return {
      connect: (host, port) => new SeederSocket(this, host, port),
      listen: async (): Promise<PeerListener> => ({ port: 6881, close: async () => {} }),
      resolve: async (host) => [{ address: host, family: 4 }],
      datagram: refuse,
      openDatagram: refuse,
      openMulticast: refuse,
      httpGet: refuse,
    }
  }
}

/** The engine's end of a connection, with the seeder behind it. */
class SeederSocket extends DeafSink implements PeerSocket {
  readonly transport = 'tcp'
  readonly remoteAddress: string
  readonly remotePort: number
  onData: (bytes: Uint8Array) => void = () => {}
  onClose: (error: Error | undefined) => void = () => {}
  onDrain: () => void = () => {}
  onConnect: () => void = () => {}
  readonly #seeders: Seeders
  readonly #reader = new WireReader(this)
  readonly #message = new Uint8Array(messages.PIECE_HEADER_BYTES + CHUNK_BYTES)
  #seeded: Seeded | undefined
  #has: Bitfield | undefined
  /** Pairs (piece, begin); those before `#at` are answered. */
  #queue: number[] = []
  #at = 0
  #sending = false
  #closed = false

  constructor(seeders: Seeders, host: string, port: number) {
    super()
    this.#seeders = seeders
    this.remoteAddress = host
    this.remotePort = port
    seeders.options.clock.after(LATENCY_MS, () => {
      if (!this.#closed) this.onConnect()
    })
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#closed) this.#reader.push(bytes)
    return true
  }

  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}

  destroy(): void {
    if (this.#closed) return
    this.#closed = true
    this.#seeders.options.clock.after(0, () => this.onClose(undefined))
  }

  override onHandshake({ infoHash }: { readonly infoHash: Uint8Array }): void {
    const seeded = this.#seeders.find(infoHash)
    if (seeded === undefined) {
      this.destroy()
      return
    }
    const who = Number(this.remoteAddress.split('.')[3]) - 1
    this.#seeded = seeded
    this.#has = seeded.has[who]!
    const bits = this.#has.bytes
    const peerId = new Uint8Array(20).fill(65 + who)
    const hello = new Uint8Array(
      HANDSHAKE_BYTES + messages.BITFIELD_HEADER_BYTES + bits.length + messages.BARE_BYTES,
    )
    writeHandshake(hello, { infoHash, peerId })
    let at = HANDSHAKE_BYTES
    at += messages.writeBitfield(hello, at, bits)
    messages.writeUnchoke(hello, at)
    this.#later(LATENCY_MS, () => this.onData(hello))
  }

  override onRequest(piece: number, begin: number): void {
    this.#queue.push(piece, begin)
    this.#send()
  }

  override onCancel(piece: number, begin: number): void {
    for (let at = this.#at; at < this.#queue.length; at += 2) {
      if (this.#queue[at] !== piece || this.#queue[at + 1] !== begin) continue
      this.#queue.splice(at, 2)
      this.#later(LATENCY_MS, () => {
        const bytes = new Uint8Array(messages.REQUEST_BYTES)
        messages.writeReject(bytes, 0, piece, begin, this.#length(piece, begin))
        this.onData(bytes)
      })
      return
    }
  }

  #length(piece: number, begin: number): number {
    const { pieceBytes, totalBytes } = this.#seeded!.info
    return Math.min(CHUNK_BYTES, totalBytes - piece * pieceBytes - begin)
  }

  #later(ms: number, task: () => void): void {
    this.#seeders.options.clock.after(ms, () => {
      if (!this.#closed) task()
    })
  }

  #send(): void {
    if (this.#sending || this.#at === this.#queue.length) return
    this.#sending = true
    const count = Math.min(BATCH, (this.#queue.length - this.#at) / 2)
    this.#later((count * CHUNK_BYTES) / this.#seeders.options.bytesPerMs, () => {
      this.#sending = false
      for (let i = 0; i < count && this.#at < this.#queue.length; i++) this.#answer()
      if (this.#at > 1_000) {
        this.#queue = this.#queue.slice(this.#at)
        this.#at = 0
      }
      this.#send()
    })
  }

  #answer(): void {
    const piece = this.#queue[this.#at]!
    const begin = this.#queue[this.#at + 1]!
    this.#at += 2
    const length = this.#length(piece, begin)
    const head = messages.writePieceHeader(this.#message, 0, piece, begin, length)
    const { number, info } = this.#seeded!
    const chunk = (piece * info.pieceBytes + begin) / CHUNK_BYTES
    fillChunk(this.#message.subarray(head, head + length), number, chunk)
    if (!this.#closed) this.onData(this.#message.subarray(0, head + length))
  }
}
