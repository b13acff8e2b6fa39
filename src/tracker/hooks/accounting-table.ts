/**
 * What each client said last: so that its next announce becomes a difference. Fixed in size, without an object for any client.
 *
 *     owner, info-hash, peer id --keyed hash--> window of 8 slots
 *     tags    2 words a slot: the hash        seen   second of the last announce, 0 for an empty slot
 *     totals  uploaded, downloaded, left
 *
 * When a window is full the one longest not heard of is forgotten; its next announce is a new beginning, and says so.
 */
import { type Random, readU32BE } from '../../base/index.ts'
import { SipHash } from '../siphash.ts'

const WINDOW = 8
const SLOT_BYTES: number = 8 + 4 + 24
const KEY_BYTES = 20 + 20 + 128

export interface Difference {
  uploaded: number
  downloaded: number
  left: number
  /** Nothing was known before: differences are 0. */
  unknown: boolean
}

export class AccountingTable {
  readonly #hash: SipHash
  readonly #slots: number
  readonly #tags: Uint32Array
  readonly #seen: Uint32Array
  readonly #totals: Float64Array
  readonly #message = new Uint8Array(KEY_BYTES)
  readonly #digest = new Uint8Array(8)
  readonly #difference: Difference = { uploaded: 0, downloaded: 0, left: 0, unknown: true }

  constructor(random: Random, memoryBytes: number) {
    const key = new Uint8Array(16)
    random.fill(key)
    this.#hash = new SipHash(key)
    this.#slots = 2 ** Math.floor(Math.log2(Math.max(WINDOW, memoryBytes / SLOT_BYTES)))
    this.#tags = new Uint32Array(this.#slots * 2)
    this.#seen = new Uint32Array(this.#slots)
    this.#totals = new Float64Array(this.#slots * 3)
  }

  /** The difference to what was said before; the object is filled again by the next call. `second` is above 0. */
  note(
    owner: string,
    infoHash: Uint8Array,
    peerId: Uint8Array,
    totals: { readonly uploaded: number; readonly downloaded: number; readonly left: number },
    begins: boolean,
    ends: boolean,
    second: number,
  ): Difference {
    const slot = this.#find(owner, infoHash, peerId)
    const difference = this.#difference
    const at = slot * 3
    const known = this.#seen[slot] !== 0
    difference.unknown = !known && !begins
    // A client counts from its start; one that says less than before has started again. Whoever starts and is known says it once more: over its
    // other family, or because an answer was lost.
    const since = (index: number, now: number): number => {
      if (difference.unknown) return 0
      const before = known ? this.#totals[at + index]! : 0
      return now < before ? now : now - before
    }
    difference.uploaded = since(0, totals.uploaded)
    difference.downloaded = since(1, totals.downloaded)
    difference.left = known ? totals.left - this.#totals[at + 2]! : 0
    this.#totals[at] = totals.uploaded
    this.#totals[at + 1] = totals.downloaded
    this.#totals[at + 2] = totals.left
    this.#seen[slot] = ends ? 0 : second
    return difference
  }

  /** The client's slot; or one made free for it. */
  #find(owner: string, infoHash: Uint8Array, peerId: Uint8Array): number {
    const message = this.#message
    message.set(infoHash, 0)
    message.set(peerId, 20)
    const length = 40 + Math.min(owner.length, KEY_BYTES - 40)
    for (let i = 40; i < length; i++) message[i] = owner.charCodeAt(i - 40)
    this.#hash.write(message.subarray(0, length), this.#digest)
    const high = readU32BE(this.#digest, 0)
    const low = readU32BE(this.#digest, 4)
    const first = ((low & (this.#slots - 1)) >>> 0) & ~(WINDOW - 1)
    let free = first
    for (let slot = first; slot < first + WINDOW; slot++) {
      if (
        this.#seen[slot] !== 0 &&
        this.#tags[slot * 2] === high &&
        this.#tags[slot * 2 + 1] === low
      )
        return slot
      if (this.#seen[slot]! < this.#seen[free]!) free = slot
    }
    this.#seen[free] = 0
    this.#tags[free * 2] = high
    this.#tags[free * 2 + 1] = low
    return free
  }
}
