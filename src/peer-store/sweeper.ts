/**
 * Garbage collection: passes over all shards in holds, each a lock for one segment or for a slice of one large swarm.
 *
 * Where a pass is: shard, position in its hash space, and within a large swarm its info-hash, family, role and
 * cursor. Between two holds anything may happen: the position is found anew, so nobody is missed who was
 * there when the pass began.
 *
 * Under pressure. At the limit of memory new peers are refused. When any were since the last pass began, the next one
 * also evicts the stalest eighth of all peers, by the ages that the last pass saw: refused now, room at the next sweep.
 *
 * Invariants: a hold looks at no more than HOLD_PEERS peers and one segment's records; a pass begun with lifetime L leaves nobody
 * older than L as of its beginning.
 */
import type { Core } from './core.ts'
import { H_TICK, MAX_SEGMENT_RECORDS, S_EVICTED, S_EXPIRED, S_REFUSED } from './layout.ts'
import type { SwarmPeers } from './swarm-peers.ts'
import { SweepTerms } from './sweep-terms.ts'

const HOLD_PEERS = 2048
/** The first holds of a thread are smaller: its code is not compiled yet, and a hundred times slower. */
const FIRST_HOLD_PEERS = 32
const EVICTED_PART = 8
const WHOLE = 2 ** 32
const KEY_WORDS = 5
const PARTS = 4
/** What a slice of a large swarm counts for against a step's number of swarms. */
const SLICE_SWARMS = 32

export class Sweeper {
  /** Of the pass under way, and the last complete one. */
  passTick = 0
  /** Called around each hold, for measurements; undefined costs nothing. */
  onHold: ((begins: boolean) => void) | undefined
  readonly #core: Core
  readonly #terms = new SweepTerms()
  #begun = false
  #shard = 0
  #position = 0
  #refused = 0
  /** Info-hashes of the large swarms met in the last segment, and which is under way, in which part of it. */
  readonly #large = new Int32Array(MAX_SEGMENT_RECORDS * KEY_WORDS)
  #largeCount = 0
  #largeAt = 0
  #largeShard = 0
  /** 0, 1: IPv4 seeders, leechers; 2, 3: IPv6. */
  #part = 0
  #cursor = 0
  #cursorIsDense = false
  #holdPeers = FIRST_HOLD_PEERS

  constructor(core: Core) {
    this.#core = core
  }

  /** Begins a pass anew. */
  restart(): void {
    this.#begun = false
    this.#shard = 0
    this.#position = 0
    this.#largeCount = 0
  }

  /** Peers dropped in the last pass, or so far in the one under way. */
  get dropped(): number {
    return this.#terms.expired + this.#terms.evicted
  }

  /** Visits about `swarms` more. True: the pass is complete. */
  step(lifetimeTicks: number, swarms: number): boolean {
    const core = this.#core
    if (!this.#begun) this.#begin(lifetimeTicks)
    let visited = 0
    while (this.#shard < core.shardCount || this.#largeCount > 0) {
      if (visited >= swarms) return false
      const isLarge = this.#largeCount > 0
      const shard = core.shard(isLarge ? this.#largeShard : this.#shard)
      this.onHold?.(true)
      core.lock(shard)
      this.#terms.now = core.words[H_TICK]!
      const { expired, evicted } = this.#terms
      visited += isLarge ? this.#sweepLarge(shard) : this.#sweepSegment(shard)
      core.add(shard, S_EXPIRED, this.#terms.expired - expired)
      core.add(shard, S_EVICTED, this.#terms.evicted - evicted)
      core.unlock(shard)
      this.onHold?.(false)
    }
    this.restart()
    return true
  }

  #begin(lifetimeTicks: number): void {
    const terms = this.#terms
    const refused = this.#core.sum(S_REFUSED)
    const limit =
      refused === this.#refused
        ? lifetimeTicks
        : Math.min(lifetimeTicks, terms.limitFor(EVICTED_PART))
    this.#refused = refused
    this.#begun = true
    this.passTick = this.#core.words[H_TICK]!
    terms.lifetimeTicks = lifetimeTicks
    terms.limitTicks = limit
    terms.expired = 0
    terms.evicted = 0
    terms.ages.fill(0)
  }

  /** One hold over the segment at the position; leaves large swarms for the next holds. */
  #sweepSegment(shard: number): number {
    const { table, peers4, peers6 } = this.#core
    const entry = table.segmentOf(shard, this.#position)
    const capacity = table.capacityOf(entry)
    const next = table.after(shard, this.#position)
    let visited = 1
    this.#largeAt = 0
    this.#part = 0
    this.#cursor = 0
    for (let slot = 0; slot < capacity; slot++) {
      const record = table.recordOf(entry, slot)
      if (table.isFree(record)) continue
      visited++
      const sweeps4 = this.#sweepWindow(shard, peers4, record)
      const sweeps6 = this.#sweepWindow(shard, peers6, record)
      if (sweeps4 && sweeps6) {
        if (peers4.count > 0 || peers6.count > 0) continue
        table.enterRecord(record)
        this.#core.dropIfEmpty(record)
        if (table.segmentOf(shard, this.#position) !== entry) {
          // The segment shrank or united with another: the next hold begins it anew.
          this.#largeCount = 0
          return visited
        }
        // What came after may stand here now.
        slot--
      } else {
        for (let i = 0; i < KEY_WORDS; i++) {
          this.#large[this.#largeCount * KEY_WORDS + i] = this.#core.words[record + i]!
        }
        this.#largeCount++
      }
    }
    this.#largeShard = this.#shard
    if (next < WHOLE) {
      this.#position = next
    } else {
      this.#shard++
      this.#position = 0
    }
    return visited
  }

  /** Sweeps the peers of a family, and opens its window. False: they are too many for this hold. */
  #sweepWindow(shard: number, peers: SwarmPeers, record: number): boolean {
    peers.open(record)
    if (peers.isLarge) return false
    const { count, seeders } = peers
    if (count === 0) return true
    peers.sweepSmall(this.#terms)
    if (peers.count === count) return true
    const gone = seeders - peers.seeders
    this.#core.count(shard, peers, -gone, peers.count - count + gone)
    return true
  }

  /** One hold over a part of a large swarm. */
  #sweepLarge(shard: number): number {
    const { table, peers4, peers6 } = this.#core
    table.enterWords(this.#large, this.#largeAt * KEY_WORDS)
    const record = table.find()
    if (record === 0) {
      this.#nextLarge()
      return 1
    }
    const peers = this.#part < 2 ? peers4 : peers6
    const seeder = (this.#part & 1) === 0
    if (this.#sweepWindow(shard, peers, record)) {
      // It became small meanwhile, or is of the other family: done with both roles.
      this.#part |= 1
      this.#cursor = -1
    } else {
      const isDense = peers.isDense(seeder)
      if (isDense !== this.#cursorIsDense) this.#cursor = 0
      this.#cursorIsDense = isDense
      const { count, seeders } = peers
      this.#cursor = peers.sweepLarge(seeder, this.#cursor, this.#holdPeers, this.#terms)
      this.#holdPeers = Math.min(HOLD_PEERS, this.#holdPeers + FIRST_HOLD_PEERS)
      const gone = seeders - peers.seeders
      this.#core.count(shard, peers, -gone, peers.count - count + gone)
    }
    if (this.#cursor >= 0) return SLICE_SWARMS
    this.#cursor = 0
    this.#part++
    if (peers.count === 0 && this.#core.dropIfEmpty(record)) this.#part = PARTS
    if (this.#part >= PARTS) this.#nextLarge()
    return SLICE_SWARMS
  }

  #nextLarge(): void {
    this.#part = 0
    this.#cursor = 0
    this.#largeAt++
    if (this.#largeAt === this.#largeCount) this.#largeCount = 0
  }
}
