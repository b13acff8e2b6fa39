/**
 * How many connections there are, in all and by where they come from, so that neither the torrents nor a
 * single host can take them all; and whose turn it is to make one.
 *
 * ```
 * arriving (no handshake yet) -> connected -> ended        they connect to us; counted by address
 * half-open                   -> connected -> ended        we connect to them
 * ```
 *
 * Invariants: half-open and connected ones are at most `max`, but for those that have just said which torrent they are for and
 * are let stay in the place of another (`isOver`); arriving ones at most MAX_ARRIVING, of them
 * MAX_OVER beyond `max`; half-open ones at most `maxHalfOpen`; those from one address at most `maxPerAddress`, of
 * them arriving MAX_ARRIVING_PER_ADDRESS. The maps hold an address only while something of it is there. Of those who wait to
 * make a connection the one with the fewest is first, then who has waited longest.
 */
import { toHex } from '../base/index.ts'
import { parseAddress } from './wire/address.ts'

const DEFAULT_MAX_HALF_OPEN = 16
/** Connections that have not said yet which torrent they are for. */
const MAX_ARRIVING = 128
/** Of them beyond `max`: whoever is of more use than somebody who is there has to be heard for it. */
const MAX_OVER = 16
/** Another node opens that many at a time when it shares many torrents with us, and speaks at once. */
const MAX_ARRIVING_PER_ADDRESS = 32
const MIN_PER_ADDRESS = 8

/** A connection that somebody made to us. `ended` is called once; `connected` before it, perhaps. */
export interface Arrival {
  /** It has said which torrent it is for. */
  connected(): void
  ended(): void
}

/** A connection that we make. `ended` is called once; `opened` before it, perhaps. */
export interface Departure {
  /** The other side has answered. */
  opened(): void
  ended(): void
}

/** Who wants to make connections. */
export interface Traveller {
  /** How many it has. */
  readonly places: number
  /** It may make one now, and no more. */
  depart(): void
}

/** Why somebody who connected was turned away. */
export type Refusal = 'full' | 'arriving' | 'address'

export interface ConnectionLimits {
  readonly max: number
  /** From one IPv4 address or IPv6 /64; a quarter of `max` by default, but at least 8. */
  readonly maxPerAddress?: number | undefined
  /** Being made at a time; 16 by default. */
  readonly maxHalfOpen?: number | undefined
}

export class Connections {
  readonly max: number
  readonly #maxPerAddress: number
  readonly #maxHalfOpen: number
  readonly #fromAddress = new Map<string, number>()
  readonly #arrivingFrom = new Map<string, number>()
  readonly #refused: Record<Refusal, number> = { full: 0, arriving: 0, address: 0 }
  #total = 0
  #arriving = 0
  #halfOpen = 0
  /** Whoever was refused a departure, the one that waits longest first. */
  readonly #waiting = new Set<Traveller>()
  #granting = false

  constructor({ max, maxPerAddress, maxHalfOpen }: ConnectionLimits) {
    this.max = max
    this.#maxPerAddress = maxPerAddress ?? Math.max(MIN_PER_ADDRESS, Math.floor(max / 4))
    this.#maxHalfOpen = maxHalfOpen ?? DEFAULT_MAX_HALF_OPEN
  }

  /** Of all kinds. */
  get total(): number {
    return this.#total
  }

  get arriving(): number {
    return this.#arriving
  }

  get halfOpen(): number {
    return this.#halfOpen
  }

  /** How many were turned away so far, by reason. */
  get refused(): Readonly<Record<Refusal, number>> {
    return this.#refused
  }

  /** More than there may be, those who have not said their handshake left out: somebody has to make room. */
  get isOver(): boolean {
    return this.#total - this.#arriving > this.max
  }

  get isFull(): boolean {
    return this.#total >= this.max
  }

  get mayDepart(): boolean {
    return !this.isFull && this.#halfOpen < this.#maxHalfOpen
  }

  /** Leave to make a connection; undefined when there are enough. */
  depart(): Departure | undefined {
    if (!this.mayDepart) return undefined
    this.#total++
    this.#halfOpen++
    let halfOpen = true
    const opened = (): void => {
      if (!halfOpen) return
      halfOpen = false
      this.#halfOpen--
      this.#grant()
    }
    return {
      opened,
      ended: () => {
        this.#total--
        if (halfOpen) opened()
        else this.#grant()
      },
    }
  }

  /** `traveller` departs, now or when it is its turn; a second call while it waits changes nothing. */
  queue(traveller: Traveller): void {
    this.#waiting.add(traveller)
    this.#grant()
  }

  /** It waits no more. */
  unqueue(traveller: Traveller): void {
    this.#waiting.delete(traveller)
  }

  /** Those who wait though they have no connection at all. */
  *starving(): Generator<Traveller> {
    for (const traveller of this.#waiting) if (traveller.places === 0) yield traveller
  }

  #grant(): void {
    // Who departs, or fails to at once, comes back here.
    if (this.#granting) return
    this.#granting = true
    try {
      while (this.mayDepart && this.#waiting.size > 0) {
        let next: Traveller | undefined
        let least = Number.POSITIVE_INFINITY
        for (const traveller of this.#waiting) {
          const { places } = traveller
          if (places >= least) continue
          next = traveller
          least = places
          if (places === 0) break
        }
        this.#waiting.delete(next!)
        next!.depart()
      }
    } finally {
      this.#granting = false
    }
  }

  /** Leave for a connection from `address` to stay; undefined when there are enough. */
  arrive(address: string): Arrival | undefined {
    const source = sourceOf(address)
    const reason = this.#whyNot(source)
    if (reason !== undefined) {
      this.#refused[reason]++
      return undefined
    }
    this.#total++
    this.#arriving++
    add(this.#fromAddress, source, 1)
    add(this.#arrivingFrom, source, 1)
    return new Arriving(this, source)
  }

  /** For `Arriving` alone: one from there has connected. */
  connected(source: string): void {
    this.#arriving--
    add(this.#arrivingFrom, source, -1)
  }

  /** For `Arriving` alone: one from there that had connected has ended. */
  ended(source: string): void {
    this.#total--
    add(this.#fromAddress, source, -1)
    this.#grant()
  }

  #whyNot(source: string): Refusal | undefined {
    if ((this.#fromAddress.get(source) ?? 0) >= this.#maxPerAddress) return 'address'
    if ((this.#arrivingFrom.get(source) ?? 0) >= MAX_ARRIVING_PER_ADDRESS) return 'address'
    if (this.#arriving >= MAX_ARRIVING) return 'arriving'
    const isFull = this.#total >= this.max + MAX_OVER
    return isFull || (this.isFull && this.#arriving >= MAX_OVER) ? 'full' : undefined
  }

  /** Somebody was let in and found no place. */
  turnedAway(): void {
    this.#refused.full++
  }
}

class Arriving implements Arrival {
  readonly #connections: Connections
  readonly #source: string
  #connected = false

  constructor(connections: Connections, source: string) {
    this.#connections = connections
    this.#source = source
  }

  connected(): void {
    if (this.#connected) return
    this.#connected = true
    this.#connections.connected(this.#source)
  }

  ended(): void {
    this.connected()
    this.#connections.ended(this.#source)
  }
}

function add(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + by
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}

/** What one host can choose from at will is one source: an IPv4 address, or an IPv6 /64. */
function sourceOf(address: string): string {
  const bytes = parseAddress(address)
  return bytes === null ? address : toHex(bytes.subarray(0, bytes.length === 16 ? 8 : 4))
}
