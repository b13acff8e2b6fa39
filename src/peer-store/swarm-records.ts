/**
 * The records of the swarms: 32 bytes each, numbered from 1.
 *
 *     words 0…4  info-hash
 *     words 5, 6 IPv4 peers:  either one peer, inline:  address | port << 16 | age and role
 *                             or a block:               address of the block (0: none) | NO_AGE
 *     word 7     IPv6 peers:  address of the block (0: none)
 *
 *     a free record: word 0 next free number, word 6 all ones
 *
 * Record n lies in slab n >>> 15 at word (n & 32767) << 3, so a sweep reads memory in order. Most swarms
 * of a public tracker are one IPv4 peer: they are a record and an index entry, nothing else.
 */
import { NO_AGE } from './age.ts'
import { SLAB_BYTES, SLAB_WORDS } from './arena.ts'

export const KEY_WORDS = 5
export const PEERS4 = 5
export const META4 = 6
export const PEERS6 = 7
const RECORD_SHIFT = 3
const RECORDS_PER_SLAB_SHIFT = 15
const FREE = 0xffffffff
/** Numbers have 26 bits in the index. */
export const MAX_RECORDS: number = (1 << 26) - 1

export class SwarmRecords {
  readonly slabs: Uint32Array[] = []
  #last = 0
  #free = 0
  live = 0

  /** Records run from 1 to this; some are free. */
  get last(): number {
    return this.#last
  }

  get bytesReserved(): number {
    return this.slabs.length * SLAB_BYTES
  }

  get bytesUsed(): number {
    return this.live << (RECORD_SHIFT + 2)
  }

  get full(): boolean {
    return this.live >= MAX_RECORDS
  }

  /** Whether `allocate` would need another slab. */
  get needsSlab(): boolean {
    return this.#free === 0 && (this.#last + 1) >>> RECORDS_PER_SLAB_SHIFT >= this.slabs.length
  }

  words(number: number): Uint32Array {
    return this.slabs[number >>> RECORDS_PER_SLAB_SHIFT]!
  }

  offset(number: number): number {
    return (number & ((1 << RECORDS_PER_SLAB_SHIFT) - 1)) << RECORD_SHIFT
  }

  isFree(number: number): boolean {
    return this.words(number)[this.offset(number) + META4] === FREE
  }

  /** A record without peers; the caller writes the key. */
  allocate(): number {
    let number = this.#free
    if (number === 0) {
      number = ++this.#last
      if (number >>> RECORDS_PER_SLAB_SHIFT >= this.slabs.length) {
        this.slabs.push(new Uint32Array(new SharedArrayBuffer(SLAB_WORDS * 4)))
      }
    } else {
      this.#free = this.words(number)[this.offset(number)]!
    }
    const words = this.words(number)
    const at = this.offset(number)
    words[at + PEERS4] = 0
    words[at + META4] = NO_AGE
    words[at + PEERS6] = 0
    this.live++
    return number
  }

  release(number: number): void {
    const words = this.words(number)
    const at = this.offset(number)
    words[at] = this.#free
    words[at + META4] = FREE
    this.#free = number
    this.live--
  }
}
