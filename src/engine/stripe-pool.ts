/**
 * The memory that downloads go through: buffers of one stripe each, shared by all torrents of the
 * engine, with a hard bound. Whoever finds none gets no data, because it makes no requests: this is
 * the back-pressure from the disk to the swarm.
 *
 * Invariants: at most `capacity` buffers exist; `free + sum of held` is how many exist; one buffer is
 * kept back for each member that holds none, so that every torrent in progress moves on.
 */
import { assert } from '../base/index.ts'
import { engineError } from './errors.ts'

/** A torrent in progress, as the pool sees it. */
export interface PoolMember {
  /** Buffers that it holds; the pool keeps this number. */
  held: number
  /** Bytes of its largest stripe that could be written out now, 0 if there is none. */
  reliefBytes(): number
  /** Writes that stripe out. */
  relieve(): void
  /** There may be a buffer now: called once after a refusal. */
  onRoom(): void
}

export class StripePool {
  readonly stripeBytes: number
  readonly capacity: number
  readonly #allocate: (bytes: number) => Uint8Array
  readonly #free: Uint8Array[] = []
  readonly #members = new Set<PoolMember>()
  #waiting = new Set<PoolMember>()
  #made = 0
  /** Members that hold nothing. */
  #empty = 0

  /** Throws ENGINE_CACHE_SMALL when `cacheBytes` is less than one stripe. */
  constructor(stripeBytes: number, cacheBytes: number, allocate: (bytes: number) => Uint8Array) {
    this.stripeBytes = stripeBytes
    this.capacity = Math.floor(cacheBytes / stripeBytes)
    this.#allocate = allocate
    if (this.capacity < 1) {
      throw engineError(
        'ENGINE_CACHE_SMALL',
        `a cache of ${cacheBytes} bytes holds not one block of ${stripeBytes} bytes`,
        { mend: 'Give the cache at least the block size of the volume.' },
      )
    }
  }

  /** Buffers made so far, in use or free. */
  get made(): number {
    return this.#made
  }

  get held(): number {
    return this.#made - this.#free.length
  }

  /** What one member may count on when all want as much as they can get. */
  get share(): number {
    return Math.max(1, Math.floor(this.capacity / Math.max(1, this.#members.size)))
  }

  join(member: PoolMember): void {
    assert(member.held === 0, 'a member joins with buffers in its hands')
    this.#members.add(member)
    this.#empty++
  }

  /** Its buffers may come back later. */
  leave(member: PoolMember): void {
    if (!this.#members.delete(member)) return
    this.#waiting.delete(member)
    if (member.held === 0) this.#empty--
    this.#wake()
  }

  /** A buffer of `stripeBytes`, or undefined: then `onRoom` is called when it is worth asking again. */
  take(member: PoolMember): Uint8Array | undefined {
    const available = this.capacity - this.held
    const keptBack = member.held === 0 ? 0 : this.#empty
    if (available <= keptBack) {
      this.#waiting.add(member)
      this.#relieve()
      return undefined
    }
    let buffer = this.#free.pop()
    if (buffer === undefined) {
      buffer = this.#allocate(this.stripeBytes)
      this.#made++
    }
    if (member.held === 0 && this.#members.has(member)) this.#empty--
    member.held++
    return buffer
  }

  give(member: PoolMember, buffer: Uint8Array): void {
    assert(member.held > 0, 'a buffer is given back that was not taken')
    member.held--
    if (member.held === 0 && this.#members.has(member)) this.#empty++
    this.#free.push(buffer)
    this.#wake()
  }

  #wake(): void {
    if (this.#waiting.size === 0) return
    const woken = this.#waiting
    this.#waiting = new Set()
    for (const member of woken) member.onRoom()
  }

  /** Memory pressure: the largest partial stripe of all goes to the disk. */
  #relieve(): void {
    let best: PoolMember | undefined
    let bestBytes = 0
    for (const member of this.#members) {
      const bytes = member.reliefBytes()
      if (bytes > bestBytes) {
        best = member
        bestBytes = bytes
      }
    }
    best?.relieve()
  }
}
