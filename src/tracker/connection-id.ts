/**
 * Connection ids of the UDP protocol, without a table of who has one.
 *
 *     0, 1   second of issue, low 16 bits
 *     2…7    first 6 bytes of SipHash-2-4(secret, second of issue (4 bytes) | address)
 *
 * An id proves that its bearer receives packets at the address, for two minutes (BEP 15) or as long as is set: many
 * clients keep one for longer. Seconds are those of the monotonic clock since the tracker started: they never come from
 * the future, so there is no skew to allow. With a key that several trackers share, so that an id of one is good at all and after
 * a restart, seconds are those of the wall clock, and ids from a little ahead are taken as far as is set.
 * 48 bits cannot be guessed at packet rates: 2^48 packets for one forged announce.
 *
 * The full second is in the tag; the low bits in the id only say which second to try, so that one tag verifies.
 */
import { createHash } from 'node:crypto'
import { type Clock, type Random, writeU32BE } from '../base/index.ts'
import { SipHash } from './siphash.ts'
import { CONNECTION_ID_BYTES } from './udp-codec.ts'

export const CONNECTION_ID_LIFETIME_SECONDS = 120
/** Only 16 bits of the second travel; an id from ahead must not look like a very old one. */
export const MAX_LIFETIME_SECONDS: number = 12 * 3600
export const MAX_SKEW_SECONDS = 3600

export interface ConnectionIdOptions {
  /** Default 120, at most 12 h. */
  readonly lifetimeSeconds?: number
  /** Any text, the same for all trackers that shall take each other's ids. Default: a random key of this process. */
  readonly sharedKey?: string
  /** How far the clock of a tracker with the same key may be ahead. Default 0, at most 1 h. */
  readonly maxSkewSeconds?: number
}
const SECRET_BYTES = 16
const TAG_BYTES: number = CONNECTION_ID_BYTES - 2

export class ConnectionIds {
  readonly #clock: Clock
  readonly #hash: SipHash
  readonly #startMs: number
  readonly #shared: boolean
  readonly #lifetimeSeconds: number
  readonly #maxSkewSeconds: number
  readonly #tag = new Uint8Array(8)
  readonly #message = [new Uint8Array(4 + 4), new Uint8Array(4 + 16)] as const

  constructor(clock: Clock, random: Random, options: ConnectionIdOptions = {}) {
    const { sharedKey = '', lifetimeSeconds, maxSkewSeconds } = options
    const secret = new Uint8Array(SECRET_BYTES)
    this.#shared = sharedKey !== ''
    this.#lifetimeSeconds = lifetimeSeconds ?? CONNECTION_ID_LIFETIME_SECONDS
    this.#maxSkewSeconds = this.#shared ? (maxSkewSeconds ?? 0) : 0
    if (this.#shared)
      secret.set(createHash('sha256').update(sharedKey).digest().subarray(0, SECRET_BYTES))
    else random.fill(secret)
    this.#hash = new SipHash(secret)
    this.#clock = clock
    this.#startMs = clock.monotonicMs()
  }

  /** Writes the id for `address` at `target[0…8)`. */
  issue(address: Uint8Array, target: Uint8Array): void {
    const second = this.#second()
    target[0] = second >>> 8
    target[1] = second
    this.#compute(second, address)
    for (let i = 0; i < TAG_BYTES; i++) target[2 + i] = this.#tag[i]!
  }

  isValid(address: Uint8Array, id: Uint8Array): boolean {
    const now = this.#second()
    const age = (now - ((id[0]! << 8) | id[1]!)) & 0xffff
    let second = now - age
    if (age > this.#lifetimeSeconds) {
      const ahead = 0x1_0000 - age
      if (ahead > this.#maxSkewSeconds) return false
      second = now + ahead
    }
    if (second < 0) return false
    this.#compute(second, address)
    let difference = 0
    for (let i = 0; i < TAG_BYTES; i++) difference |= this.#tag[i]! ^ id[2 + i]!
    return difference === 0
  }

  #second(): number {
    if (this.#shared) return Math.floor(this.#clock.wallMs() / 1000)
    return Math.floor((this.#clock.monotonicMs() - this.#startMs) / 1000)
  }

  /** The tag of second and address, into `#tag`. */
  #compute(second: number, address: Uint8Array): void {
    const message = address.length === 4 ? this.#message[0] : this.#message[1]
    writeU32BE(message, 0, second)
    for (let i = 0; i < address.length; i++) message[4 + i] = address[i]!
    this.#hash.write(message, this.#tag)
  }
}
