/** Two ends of uTP on wires in virtual time, senders that never run dry, and receivers that check every byte. */
import assert from 'node:assert/strict'
import { type Clock, ManualClock, type Random, seededRandom } from '../../../src/base/index.ts'
import type { UtpConnection } from '../../../src/engine/utp/connection.ts'
import { UtpEndpoint, type UtpOptions } from '../../../src/engine/utp/endpoint.ts'
import { Wire, type WireOptions, Wires } from './wires.ts'

export const PORT = 6881

/** 16 Mbit/s, a round trip of 40 ms, a queue of 400 ms. */
export const WAY: WireOptions = { bytesPerMs: 2_000, delayMs: 20, queueBytes: 800_000 }
const BACK: WireOptions = { bytesPerMs: 100_000, delayMs: 20, queueBytes: 10_000_000 }

/** Hosts `a…` send to hosts `b…` over one wire, and hear from them over another. */
export class Lab {
  readonly clock: ManualClock
  readonly random: Random
  readonly forward: Wire
  readonly back: Wire
  readonly wires: Wires

  constructor(seed: number, forward: Partial<WireOptions> = {}, back: Partial<WireOptions> = {}) {
    // 32 bits of microseconds end a few seconds after the beginning.
    this.clock = new ManualClock(4_290_000)
    this.random = seededRandom(seed)
    this.forward = new Wire(this.clock, this.random, { ...WAY, ...forward })
    this.back = new Wire(this.clock, this.random, { ...BACK, ...back })
    this.wires = new Wires(this.clock, (from) => (from.startsWith('a') ? this.forward : this.back))
  }

  end(
    host: string,
    onAccept: (connection: UtpConnection) => void = () => {},
    more: Partial<UtpOptions> = {},
  ): UtpEndpoint {
    const random = seededRandom(this.random.uint32())
    const socket = this.wires.socket(host, PORT)
    const clock: Clock = more.clock ?? this.clock
    return new UtpEndpoint({
      socket,
      family: 4,
      random,
      maxConnections: 100,
      onAccept,
      ...more,
      clock,
    })
  }

  until(done: () => boolean, maxMs: number): void {
    const endMs = this.clock.monotonicMs() + maxMs
    while (!done()) {
      assert.ok(this.clock.step(endMs), `not done after ${maxMs} ms`)
    }
  }
}

/** Byte `at` of a stream that does not repeat itself within a window. */
export function byteAt(at: number): number {
  return (at * 31 + (at >> 8) * 7 + (at >> 16)) & 0xff
}

const CHUNK_BYTES = 16_384

const SAME = new Uint8Array(CHUNK_BYTES)

/** Writes the stream as fast as it leaves, until `total` bytes; `isSame`: nobody looks at what they are. */
export class Source {
  readonly #connection: UtpConnection
  readonly #total: number
  readonly #isSame: boolean
  written = 0

  constructor(
    connection: UtpConnection,
    total: number = Number.POSITIVE_INFINITY,
    isSame: boolean = total === Number.POSITIVE_INFINITY,
  ) {
    this.#connection = connection
    this.#total = total
    this.#isSame = isSame
    connection.onDrain = () => this.#write()
  }

  begin(): void {
    this.#write()
  }

  #write(): void {
    for (;;) {
      const count = Math.min(CHUNK_BYTES, this.#total - this.written)
      if (count <= 0) return
      const bytes = this.#isSame ? SAME.subarray(0, count) : new Uint8Array(count)
      if (!this.#isSame) for (let i = 0; i < count; i++) bytes[i] = byteAt(this.written + i)
      this.written += count
      if (!this.#connection.write(bytes)) return
    }
  }
}

/** Checks that the stream arrives whole and in order. */
export class Drain {
  read = 0
  closed: Error | undefined | null = null

  constructor(connection: UtpConnection, isSame = false) {
    connection.onData = (bytes) => {
      if (isSame) {
        this.read += bytes.length
        return
      }
      for (const byte of bytes) {
        if (byte !== byteAt(this.read)) assert.fail(`byte ${this.read} is another one`)
        this.read++
      }
    }
    connection.onClose = (error) => {
      assert.equal(this.closed, null, 'closed once')
      this.closed = error
    }
  }
}

export interface Flow {
  readonly connection: UtpConnection
  readonly source: Source
  /** There when the other side has heard of it. */
  drain: Drain | undefined
}

/** A flow of data from a host `a…` to a host `b…`, each with its own endpoint. */
export function flow(
  lab: Lab,
  from: string,
  to: string,
  total?: number,
  clocks: { readonly from?: Clock; readonly to?: Clock } = {},
): Flow {
  lab.end(
    to,
    (connection) => {
      made.drain = new Drain(connection, total === undefined)
    },
    clocks.to && { clock: clocks.to },
  )
  const sender = lab.end(from, undefined, clocks.from && { clock: clocks.from })
  const connection = sender.connect(to, PORT)!
  const source = new Source(connection, total)
  const made: Flow = { connection, source, drain: undefined }
  connection.onConnect = () => source.begin()
  return made
}
