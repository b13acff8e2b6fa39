/**
 * Connection ids of the UDP protocol, without a table of who has one.
 *
 *     0, 1   second of issue, low 16 bits
 *     2…7    first 6 bytes of SipHash-2-4(secret, second of issue (4 bytes) | address)
 *
 * An id proves that its bearer receives packets at the address, for two minutes (BEP 15) or as long as is set: many
 * clients keep one for longer. Seconds are those of the monotonic clock since the tracker started. Each thread has that clock to some
 * microseconds, so an id of another may come from the next second already. With a key that several trackers share, so that an id of one is good at all and after
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

/** What another thread needs to give and take the same ids; may be posted. */
export interface ConnectionIdShare {
  readonly secret: Uint8Array
  readonly startMs: number
  readonly shared: boolean
  readonly lifetimeSeconds: number
  readonly maxSkewSeconds: number
}

/** Between threads of one tracker. */
const THREAD_SKEW_SECONDS = 1
const SECRET_BYTES = 16
const TAG_BYTES: number = CONNECTION_ID_BYTES - 2

/** The key and the terms of a tracker's connection ids, drawn once. */
export function makeConnectionIds(
  clock: Clock,
  random: Random,
  options: ConnectionIdOptions = {},
): ConnectionIdShare {
  const { sharedKey = '', lifetimeSeconds, maxSkewSeconds } = options
  const secret = new Uint8Array(SECRET_BYTES)
  const shared = sharedKey !== ''
  if (shared) secret.set(createHash('sha256').update(sharedKey).digest().subarray(0, SECRET_BYTES))
  else random.fill(secret)
  return {
    secret,
    shared,
    // No thread is behind that.
    startMs: clock.monotonicMs() - THREAD_SKEW_SECONDS * 1000,
    lifetimeSeconds: lifetimeSeconds ?? CONNECTION_ID_LIFETIME_SECONDS,
    maxSkewSeconds: shared ? (maxSkewSeconds ?? 0) : THREAD_SKEW_SECONDS,
  }
}

export class ConnectionIds {
  readonly #clock: Clock
  readonly #share: ConnectionIdShare
  readonly #hash: SipHash
  readonly #tag = new Uint8Array(8)
  readonly #message = [new Uint8Array(4 + 4), new Uint8Array(4 + 16)] as const

  /** `clock` says the same as the one that the share was made with. */
  constructor(clock: Clock, share: ConnectionIdShare) {
    this.#clock = clock
    this.#share = share
    this.#hash = new SipHash(share.secret)
  }

  /** Writes the id for `address` at `target[offset…]`, 8 bytes. */
  issue(address: Uint8Array, target: Uint8Array, offset = 0): void {
    const second = this.#second()
    target[offset] = second >>> 8
    target[offset + 1] = second
    this.#compute(second, address)
    for (let i = 0; i < TAG_BYTES; i++) target[offset + 2 + i] = this.#tag[i]!
  }

  /** Whether the 8 bytes at `bytes[at…]` are an id of `address` that is still good. Allocates nothing. */
  isValid(address: Uint8Array, bytes: Uint8Array, at = 0): boolean {
    const now = this.#second()
    const age = (now - ((bytes[at]! << 8) | bytes[at + 1]!)) & 0xffff
    let second = now - age
    if (age > this.#share.lifetimeSeconds) {
      const ahead = 0x1_0000 - age
      if (ahead > this.#share.maxSkewSeconds) return false
      second = now + ahead
    }
    if (second < 0) return false
    this.#compute(second, address)
    let difference = 0
    for (let i = 0; i < TAG_BYTES; i++) difference |= this.#tag[i]! ^ bytes[at + 2 + i]!
    return difference === 0
  }

  #second(): number {
    const { shared, startMs } = this.#share
    if (shared) return Math.floor(this.#clock.wallMs() / 1000)
    return Math.floor((this.#clock.monotonicMs() - startMs) / 1000)
  }

  /** The tag of second and address, into `#tag`. */
  #compute(second: number, address: Uint8Array): void {
    const message = address.length === 4 ? this.#message[0] : this.#message[1]
    writeU32BE(message, 0, second)
    for (let i = 0; i < address.length; i++) message[4 + i] = address[i]!
    this.#hash.write(message, this.#tag)
  }
}
