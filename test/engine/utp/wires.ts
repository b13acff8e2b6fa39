/**
 * Datagrams in virtual time: hosts, and between them wires of a rate, a length and a queue, which lose, repeat, overtake
 * and spoil what they carry as far as they are told to. And a flow as TCP's, to share a wire with.
 */
import { below, type Clock, type ManualClock, type Random } from '../../../src/base/index.ts'
import type { OpenDatagramSocket } from '../../../src/engine/index.ts'

export interface WireOptions {
  readonly bytesPerMs: number
  readonly delayMs: number
  /** What waits beyond this is lost. */
  readonly queueBytes: number
  /** Shares of the datagrams. */
  readonly loss?: number
  readonly repeat?: number
  readonly overtake?: number
  readonly spoil?: number
}

/** IPv4 and UDP. */
const BELOW_BYTES = 28

/** One direction. */
export class Wire {
  readonly options: WireOptions
  readonly #clock: Clock
  readonly #random: Random
  #freeAtMs = 0
  carriedBytes = 0
  dropped = 0

  constructor(clock: Clock, random: Random, options: WireOptions) {
    this.options = options
    this.#clock = clock
    this.#random = random
  }

  #happens(share: number | undefined): boolean {
    return share !== undefined && share > 0 && this.#random.uint32() < share * 2 ** 32
  }

  /** Of what is put on it now. */
  get queueMs(): number {
    return Math.max(0, this.#freeAtMs - this.#clock.monotonicMs())
  }

  carry(bytes: Uint8Array, deliver: (bytes: Uint8Array) => void): void {
    const { bytesPerMs, delayMs, queueBytes, loss, repeat, overtake, spoil } = this.options
    const size = bytes.length + BELOW_BYTES
    if (this.queueMs * bytesPerMs + size > queueBytes || this.#happens(loss)) {
      this.dropped++
      return
    }
    const nowMs = this.#clock.monotonicMs()
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + size / bytesPerMs
    this.carriedBytes += size
    const copy = new Uint8Array(bytes)
    if (copy.length > 0 && this.#happens(spoil)) {
      for (let i = 0; i < 3; i++) {
        copy[below(this.#random, Math.min(copy.length, 30))] = below(this.#random, 256)
      }
    }
    const arriveMs = this.#freeAtMs - nowMs + delayMs
    const lateMs = this.#happens(overtake) ? below(this.#random, 30) : 0
    this.#clock.after(arriveMs + lateMs, () => deliver(copy))
    if (this.#happens(repeat)) this.#clock.after(arriveMs + 5, () => deliver(copy.slice()))
  }
}

/** Hosts that send to each other over `wireOf(from, to)`. */
export class Wires {
  readonly clock: ManualClock
  readonly #wireOf: (from: string, to: string) => Wire
  readonly #sockets = new Map<string, OpenDatagramSocket>()
  /** What every host sent, in order. */
  readonly sent: { readonly from: string; readonly to: string; readonly bytes: Uint8Array }[] = []
  keeps = false

  constructor(clock: ManualClock, wireOf: (from: string, to: string) => Wire) {
    this.clock = clock
    this.#wireOf = wireOf
  }

  socket(host: string, port: number): OpenDatagramSocket {
    const key = `${host} ${port}`
    const socket: OpenDatagramSocket = {
      port,
      onMessage: () => {},
      onQuiet: () => {},
      backlog: 0,
      send: (bytes, to, toPort) => {
        if (this.keeps) this.sent.push({ from: host, to, bytes: new Uint8Array(bytes) })
        this.#wireOf(host, to).carry(bytes, (copy) => {
          const receiver = this.#sockets.get(`${to} ${toPort}`)
          receiver?.onMessage(copy, host, port)
          receiver?.onQuiet()
        })
      },
      close: () => {
        this.#sockets.delete(key)
      },
    }
    this.#sockets.set(key, socket)
    return socket
  }
}

const SEGMENT_BYTES = 1_460

/** A download over TCP as Reno does it: it fills the queue until something is lost, then halves its window. */
export class LossDrivenFlow {
  readonly #clock: Clock
  readonly #forward: Wire
  readonly #back: Wire
  #window = 2
  #threshold = Number.POSITIVE_INFINITY
  #next = 0
  readonly #flight = new Set<number>()
  #recoverAt = 0
  #heardMs = 0
  #stopped = false
  ackedBytes = 0

  constructor(clock: Clock, forward: Wire, back: Wire) {
    this.#clock = clock
    this.#forward = forward
    this.#back = back
    this.#heardMs = clock.monotonicMs()
    this.#pump()
    this.#watch()
  }

  stop(): void {
    this.#stopped = true
  }

  #pump(): void {
    while (!this.#stopped && this.#flight.size < this.#window) {
      const seq = this.#next++
      this.#flight.add(seq)
      this.#forward.carry(new Uint8Array(SEGMENT_BYTES), () => {
        this.#back.carry(new Uint8Array(40), () => this.#acked(seq))
      })
    }
  }

  #acked(seq: number): void {
    this.#heardMs = this.#clock.monotonicMs()
    if (!this.#flight.delete(seq)) return
    this.ackedBytes += SEGMENT_BYTES
    this.#window += this.#window < this.#threshold ? 1 : 1 / this.#window
    for (const other of this.#flight) {
      if (other > seq - 3) break
      this.#flight.delete(other)
      if (other < this.#recoverAt) continue
      this.#window = Math.max(2, this.#window / 2)
      this.#threshold = this.#window
      this.#recoverAt = this.#next
    }
    this.#pump()
  }

  #watch(): void {
    this.#clock.after(1_000, () => {
      if (this.#stopped) return
      if (this.#clock.monotonicMs() - this.#heardMs >= 1_000) {
        this.#flight.clear()
        this.#window = 2
        this.#pump()
      }
      this.#watch()
    })
  }
}
