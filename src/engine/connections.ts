/**
 * How many connections there are, in all and by where they come from, so that neither the torrents nor a
 * single host can take them all.
 *
 * ```
 * arriving (no handshake yet) -> connected -> ended        they connect to us; counted by address
 * half-open                   -> connected -> ended        we connect to them
 * ```
 *
 * Invariants: arriving, half-open and connected ones are together at most `max`; half-open ones at most
 * MAX_HALF_OPEN; arriving ones at most MAX_ARRIVING; those from one address at most `maxPerAddress`, of
 * them arriving MAX_ARRIVING_PER_ADDRESS. The maps hold an address only while something of it is there.
 */
import { toHex } from '../base/index.ts'
import { parseAddress } from './wire/address.ts'

const MAX_HALF_OPEN = 16
/** Connections that have not said yet which torrent they are for. */
const MAX_ARRIVING = 128
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

export class Connections {
  readonly #max: number
  readonly #maxPerAddress: number
  readonly #fromAddress = new Map<string, number>()
  readonly #arrivingFrom = new Map<string, number>()
  #total = 0
  #arriving = 0
  #halfOpen = 0
  /** Whoever was refused a departure because too many were half-open. */
  readonly #waiting = new Set<() => void>()

  /** `maxPerAddress`: a quarter of `max` by default, but at least 8. */
  constructor(max: number, maxPerAddress: number = Math.max(MIN_PER_ADDRESS, Math.floor(max / 4))) {
    this.#max = max
    this.#maxPerAddress = maxPerAddress
  }

  /** Of all kinds. */
  get total(): number {
    return this.#total
  }

  get mayDepart(): boolean {
    return this.#total < this.#max && this.#halfOpen < MAX_HALF_OPEN
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
      this.#wake()
    }
    return {
      opened,
      ended: () => {
        opened()
        this.#total--
      },
    }
  }

  /** `wake` is called once, when a departure may be possible; a second call while it waits changes nothing. */
  whenMayDepart(wake: () => void): void {
    if (this.#total < this.#max) this.#waiting.add(wake)
  }

  #wake(): void {
    for (const wake of this.#waiting) {
      if (!this.mayDepart) return
      this.#waiting.delete(wake)
      wake()
    }
  }

  /** Leave for a connection from `address` to stay; undefined when there are enough. */
  arrive(address: string): Arrival | undefined {
    const source = sourceOf(address)
    const full =
      this.#total >= this.#max ||
      this.#arriving >= MAX_ARRIVING ||
      (this.#fromAddress.get(source) ?? 0) >= this.#maxPerAddress ||
      (this.#arrivingFrom.get(source) ?? 0) >= MAX_ARRIVING_PER_ADDRESS
    if (full) return undefined
    this.#total++
    this.#arriving++
    add(this.#fromAddress, source, 1)
    add(this.#arrivingFrom, source, 1)
    let arriving = true
    const connected = (): void => {
      if (!arriving) return
      arriving = false
      this.#arriving--
      add(this.#arrivingFrom, source, -1)
    }
    return {
      connected,
      ended: () => {
        connected()
        this.#total--
        add(this.#fromAddress, source, -1)
      },
    }
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
