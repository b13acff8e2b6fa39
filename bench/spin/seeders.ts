/**
 * A network of partial seeders that speak the wire protocol and nothing else, in virtual time: what an
 * engine under test downloads from, at a rate that the connection has. A seeder holds a part of each
 * torrent, drawn at random, and never learns more; together they hold all of it.
 *
 * Invariant: no byte is copied but into one message at a time.
 */
import type { ManualClock } from '../../src/base/index.ts'
import type { Network, PeerListener, PeerSocket } from '../../src/engine/index.ts'
import { WireReader } from '../../src/engine/wire/reader.ts'
import { ANSWER_BYTES, PartialSeeder } from './partial-seeder.ts'
import { CHUNK_BYTES } from './payload.ts'
import { Shares } from './shares.ts'

export interface SeedersOptions {
  readonly clock: ManualClock
  readonly count: number
  /** Of the pieces that one holds. */
  readonly share: number
  /** Of one connection. */
  readonly bytesPerMs: number
  readonly seed: number
}

const LATENCY_MS = 1
/** Chunks that leave together: fewer events, the same rate. */
const BATCH = 4

export class Seeders {
  readonly options: SeedersOptions
  readonly shares: Shares

  constructor(options: SeedersOptions) {
    this.options = options
    this.shares = new Shares(options)
  }

  /** Where they are, for `Engine.add`. */
  get peers(): { host: string; port: number }[] {
    return Array.from({ length: this.options.count }, (_, i) => ({
      host: `10.0.0.${i + 1}`,
      port: 6881,
    }))
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
      gateways: refuse,
      openDatagram: refuse,
      openMulticast: refuse,
      httpGet: refuse,
    }
  }
}

/** The engine's end of a connection, with the seeder behind it. */
class SeederSocket extends PartialSeeder implements PeerSocket {
  readonly transport = 'tcp'
  readonly remoteAddress: string
  readonly remotePort: number
  onData: (bytes: Uint8Array) => void = () => {}
  onClose: (error: Error | undefined) => void = () => {}
  onDrain: () => void = () => {}
  onConnect: () => void = () => {}
  readonly #seeders: Seeders
  readonly #reader = new WireReader(this)
  readonly #message = new Uint8Array(ANSWER_BYTES)
  #sending = false
  #closed = false

  constructor(seeders: Seeders, host: string, port: number) {
    super(seeders.shares, Number(host.split('.')[3]) - 1)
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

  protected say(bytes: Uint8Array): void {
    this.#later(LATENCY_MS, () => this.onData(bytes))
  }

  protected leave(): void {
    this.destroy()
  }

  protected wake(): void {
    if (this.#sending || this.waiting === 0) return
    this.#sending = true
    const count = Math.min(BATCH, this.waiting)
    this.#later((count * CHUNK_BYTES) / this.#seeders.options.bytesPerMs, () => {
      this.#sending = false
      for (let i = 0; i < count && !this.#closed; i++) {
        const bytes = this.answer(this.#message, 0)
        if (bytes > 0) this.onData(this.#message.subarray(0, bytes))
      }
      this.wake()
    })
  }

  #later(ms: number, task: () => void): void {
    this.#seeders.options.clock.after(ms, () => {
      if (!this.#closed) task()
    })
  }
}
