/**
 * The memory that downloads go through: buffers of one stripe each, shared by all torrents of the
 * engine, with a hard bound. Whoever finds none gets no data, because it makes no requests: this is
 * the back-pressure from the disk to the swarm.
 *
 * A torrent that begins a run of stripes has a lease on the buffers for all of it, half of the memory
 * at most, as long as it takes one every LEASE_MS; others begin runs in what is not leased. So where
 * memory is short a few torrents fill a run each, and then others do, where an even division would
 * leave every torrent with a stripe or two that are neighbours of nothing. A torrent whose peers are
 * slow loses its lease, and lives on its share.
 *
 * Invariants: at most `capacity` buffers exist; `free + sum of held` is how many exist; a buffer that
 * comes back is offered first to who needs least to finish its run, then in the order of refusal.
 */
import { assert, type Clock } from '../base/index.ts'
import { engineError } from './errors.ts'
import { RUN_STRIPES } from './geometry.ts'

/** A torrent in progress, as the pool sees it. */
export interface PoolMember {
  /** Buffers that it holds; the pool keeps this number. */
  held: number
  /** Buffers that it wants until the run that it has begun is in memory as a whole; Infinity: none. */
  readonly runLeft: number
  /** Bytes of its largest stripe that could be written out now, 0 if there is none. */
  reliefBytes(): number
  /** Writes that stripe out. */
  relieve(): void
  /** There may be a buffer now: called once after a refusal. */
  onRoom(): void
}

const LEASE_MS = 1_000
const SHORT_MS = 10_000

export class StripePool {
  readonly stripeBytes: number
  readonly capacity: number
  readonly #allocate: (bytes: number) => Uint8Array
  readonly #free: Uint8Array[] = []
  readonly #clock: Clock
  /** Until when each member has a lease on what its run lacks. */
  readonly #members = new Map<PoolMember, number>()
  /** In the order in which they were refused. */
  readonly #waiting = new Set<PoolMember>()
  #made = 0
  #shortUntilMs = 0

  /** Throws ENGINE_CACHE_SMALL when `cacheBytes` is less than one stripe. */
  constructor(
    stripeBytes: number,
    cacheBytes: number,
    allocate: (bytes: number) => Uint8Array,
    clock: Clock,
  ) {
    this.#clock = clock
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

  /** There is not a run for everybody, or somebody was refused of late: the disk does not keep up. */
  get isShort(): boolean {
    if (this.#members.size * RUN_STRIPES > this.capacity) return true
    return this.#clock.monotonicMs() < this.#shortUntilMs
  }

  /** What one member may count on when all want as much as they can get. */
  get share(): number {
    return Math.max(1, Math.floor(this.capacity / Math.max(1, this.#members.size)))
  }

  join(member: PoolMember): void {
    assert(member.held === 0, 'a member joins with buffers in its hands')
    this.#members.set(member, 0)
  }

  /** Its buffers may come back later. */
  leave(member: PoolMember): void {
    if (!this.#members.delete(member)) return
    this.#waiting.delete(member)
    this.#wake()
  }

  /** A buffer of `stripeBytes`, or undefined: then `onRoom` is called when it is worth asking again. */
  take(member: PoolMember, beginsRun = false): Uint8Array | undefined {
    const nowMs = this.#clock.monotonicMs()
    if (!this.#mayTake(member, beginsRun, nowMs)) {
      this.#waiting.add(member)
      this.#shortUntilMs = nowMs + SHORT_MS
      if (this.held >= this.capacity) this.#relieve()
      return undefined
    }
    let buffer = this.#free.pop()
    if (buffer === undefined) {
      buffer = this.#allocate(this.stripeBytes)
      this.#made++
    }
    member.held++
    if (this.#members.has(member)) this.#members.set(member, nowMs + LEASE_MS)
    return buffer
  }

  /** Once a second: leases may have ended. */
  tick(): void {
    this.#wake()
  }

  #mayTake(member: PoolMember, beginsRun: boolean, nowMs: number): boolean {
    const available = this.capacity - this.held
    if (available <= 0) return false
    const leasable = Math.floor(this.capacity / 2)
    const hasLease = (this.#members.get(member) ?? 0) > nowMs && Number.isFinite(member.runLeft)
    if (hasLease && !beginsRun && member.held < leasable) return true
    let free = available
    for (const [other, untilMs] of this.#members) {
      if (other === member || untilMs <= nowMs || !Number.isFinite(other.runLeft)) continue
      free -= Math.min(other.runLeft, Math.max(0, leasable - other.held))
    }
    // The last quarter is for turns: nobody has more than a share of it.
    if (free > Math.ceil(this.capacity / 4)) return true
    if (beginsRun && member.held > 0 && hasLease) return false
    return free > 0 && member.held < Math.max(1, (this.share * 3) / 4)
  }

  give(member: PoolMember, buffer: Uint8Array): void {
    assert(member.held > 0, 'a buffer is given back that was not taken')
    member.held--
    this.#free.push(buffer)
    this.#wake()
  }

  /** Offers what is free in turn; who wants more than there was is at the end of the line again. */
  #wake(): void {
    if (this.#waiting.size === 0) return
    const line = [...this.#waiting]
    const left = new Map(line.map((member) => [member, member.runLeft]))
    line.sort((a, b) => (left.get(a) === left.get(b) ? 0 : left.get(a)! - left.get(b)!))
    for (const member of line) {
      if (this.held >= this.capacity) return
      if (this.#waiting.delete(member)) member.onRoom()
    }
  }

  /** Memory pressure: the largest partial stripe of all goes to the disk. */
  #relieve(): void {
    let best: PoolMember | undefined
    let bestBytes = 0
    for (const member of this.#members.keys()) {
      const bytes = member.reliefBytes()
      if (bytes > bestBytes) {
        best = member
        bestBytes = bytes
      }
    }
    best?.relieve()
  }
}
