/**
 * The peers of one family of one swarm: a window that is opened on a swarm record, works, and moves on.
 *
 *     one IPv4 peer:      inline in the record
 *     small, up to 64:    block: count | seeders << 8 | class << 16,  completed,  peers …
 *     large:              root of 8 words: LARGE << 16, completed, set of seeders, set of leechers (peer-set.ts),
 *                         seeders, leechers
 *
 * In a small swarm positions 0…seeders-1 are seeders, the others leechers, without holes; it is scanned (a few
 * cache lines). In a large one each role has a set of its own, so that one seeder among a million
 * leechers is as easily drawn as any.
 *
 * The completed downloads of an inline peer stand, negative, in the record's word for IPv6, while that is free: most
 * small swarms have a count, and no block.
 *
 * Invariants: one IPv4 peer is inline unless its count has no place; a root's counts are those of its sets; every call that returns false for want of memory
 * leaves the swarm as it was.
 */
import * as age from './age.ts'
import type { Arena } from './arena.ts'
import type { Endpoint } from './endpoint.ts'
import type { BlockVisitor } from './layout.ts'
import * as layout from './layout.ts'
import { PeerSet } from './peer-set.ts'
import type { Sampler } from './sampler.ts'
import type { SweepTerms } from './sweep-terms.ts'
import type { SwarmCounts } from './types.ts'

const { NO_AGE, SEEDER_BIT } = age
const { R_META4, R_PEERS4, R_PEERS6 } = layout

const NONE = 0
const INLINE = 1
const SMALL = 2
const LARGE = 3
type Kind = typeof NONE | typeof INLINE | typeof SMALL | typeof LARGE

const LARGE_CLASS = 255
const CAPACITIES: readonly number[] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
const LAST_CLASS: number = CAPACITIES.length - 1
const MAX_SMALL = 64
/** A large swarm that shrinks to this becomes small again; far below MAX_SMALL, so that it does not flutter. */
const SHRINK_TO_SMALL = 24
const HEADER_WORDS = 2
const COMPLETED = 1
const SEEDERS = 2
const LEECHERS = 3
const SEEDER_COUNT = 4
const LEECHER_COUNT = 5
/** Six in use; eight lie in one cache line. */
const ROOT_WORDS = 8

export class SwarmPeers {
  readonly endpoint: Endpoint
  readonly sets: PeerSet
  /** Of the open swarm. */
  count = 0
  seeders = 0
  /** Whether the peer that `find` found is a seeder. */
  foundSeeder = false
  readonly #words: Int32Array
  readonly #arena: Arena
  readonly #peerWords: number
  #record = 0
  #kind: Kind = NONE
  /** Block or root. */
  #block = 0
  /** Address of the first peer of an inline or small swarm. */
  #base = 0
  /** Address of the peer that `find` found. */
  #found = 0

  constructor(words: Int32Array, arena: Arena, endpoint: Endpoint) {
    this.#words = words
    this.#arena = arena
    this.endpoint = endpoint
    this.sets = new PeerSet(words, arena, endpoint)
    this.#peerWords = endpoint.peerWords
  }

  get completed(): number {
    if (this.#kind === NONE) return 0
    if (this.#kind !== INLINE) return this.#words[this.#block + COMPLETED]!
    const held = this.#words[this.#record + R_PEERS6]!
    return held < 0 ? -held : 0
  }

  get isLarge(): boolean {
    return this.#kind === LARGE
  }

  /** Of the open swarm, which is large. */
  isDense(seeder: boolean): boolean {
    const set = this.#words[this.#block + (seeder ? SEEDERS : LEECHERS)]!
    return set === 0 || this.sets.isDense(set)
  }

  open(record: number): void {
    const words = this.#words
    this.#record = record
    if (this.#peerWords === 2) {
      const meta = words[record + R_META4]! & 0xffff
      if (meta !== NO_AGE) {
        this.#kind = INLINE
        this.#base = record + R_PEERS4
        this.count = 1
        this.seeders = meta >>> 15
        return
      }
      this.#block = words[record + R_PEERS4]!
    } else {
      this.#block = Math.max(0, words[record + R_PEERS6]!)
    }
    const block = this.#block
    if (block === 0) {
      this.#kind = NONE
      this.count = 0
      this.seeders = 0
      return
    }
    const head = words[block]!
    if (head >>> 16 === LARGE_CLASS) {
      this.#kind = LARGE
      this.seeders = words[block + SEEDER_COUNT]!
      this.count = this.seeders + words[block + LEECHER_COUNT]!
    } else {
      this.#kind = SMALL
      this.#base = block + HEADER_WORDS
      this.count = head & 0xff
      this.seeders = (head >>> 8) & 0xff
    }
  }

  /** The counts of a swarm, without opening it. */
  readCounts(record: number, counts: SwarmCounts): void {
    const words = this.#words
    let block = words[record + R_PEERS6]!
    if (this.#peerWords === 2) {
      const meta = words[record + R_META4]! & 0xffff
      if (meta !== NO_AGE) {
        counts.seeders = meta >>> 15
        counts.leechers = 1 - (meta >>> 15)
        counts.completed = block < 0 ? -block : 0
        return
      }
      block = words[record + R_PEERS4]!
    }
    if (block <= 0) {
      counts.seeders = 0
      counts.leechers = 0
      counts.completed = 0
      return
    }
    const head = words[block]!
    counts.completed = words[block + COMPLETED]!
    if (head >>> 16 === LARGE_CLASS) {
      counts.seeders = words[block + SEEDER_COUNT]!
      counts.leechers = words[block + LEECHER_COUNT]!
    } else {
      counts.seeders = (head >>> 8) & 0xff
      counts.leechers = (head & 0xff) - ((head >>> 8) & 0xff)
    }
  }

  /** Whether the endpoint is in the open swarm; looks among the seeders first if so told. */
  find(seeder: boolean): boolean {
    if (this.#kind === LARGE) {
      const words = this.#words
      const first = this.#block + (seeder ? SEEDERS : LEECHERS)
      this.foundSeeder = seeder
      this.#found = this.sets.find(words[first]!)
      if (this.#found >= 0) return true
      this.foundSeeder = !seeder
      this.#found = this.sets.find(words[this.#block + SEEDERS + LEECHERS - (first - this.#block)]!)
      return this.#found >= 0
    }
    let at = this.#base
    const peerWords = this.#peerWords
    for (let position = 0; position < this.count; position++, at += peerWords) {
      if (!this.endpoint.isAt(at)) continue
      this.#found = at
      this.foundSeeder = position < this.seeders
      return true
    }
    return false
  }

  /** Sets age and role of the peer found. False: no memory, and only its age was set. */
  put(meta: number): boolean {
    const seeder = (meta & SEEDER_BIT) !== 0
    if (seeder === this.foundSeeder) {
      this.endpoint.setMetaAt(this.#found, meta)
      return true
    }
    if (this.#kind === LARGE) return this.#changeSet(meta, seeder)
    if (this.#kind === SMALL) {
      // The first leecher or the last seeder changes places, and the boundary moves over it.
      const boundary = seeder ? this.seeders++ : --this.seeders
      const at = this.#base + boundary * this.#peerWords
      if (at !== this.#found) this.endpoint.exchange(at, this.#found)
      this.#found = at
      this.#saveSmall()
    } else {
      this.seeders = seeder ? 1 : 0
    }
    this.endpoint.setMetaAt(this.#found, meta)
    this.foundSeeder = seeder
    return true
  }

  /** Adds the endpoint, which is not there, with its age and role. */
  add(meta: number): boolean {
    const seeder = (meta & SEEDER_BIT) !== 0
    if (!this.#makeRoom()) return false
    if (this.#kind === LARGE) {
      const at = this.#block + (seeder ? SEEDERS : LEECHERS)
      const set = this.sets.add(this.#words[at]!, meta)
      if (set === 0) return false
      this.#words[at] = set
      this.count++
      if (seeder) this.seeders++
      this.#saveLarge()
      return true
    }
    const peerWords = this.#peerWords
    let at = this.#base + this.count * peerWords
    if (seeder && this.seeders < this.count) {
      const boundary = this.#base + this.seeders * peerWords
      this.endpoint.copy(boundary, at)
      at = boundary
    }
    this.count++
    if (seeder) this.seeders++
    this.endpoint.writeAt(at, meta)
    if (this.#kind === SMALL) this.#saveSmall()
    return true
  }

  /** Removes the peer found. */
  remove(): void {
    if (this.#kind === LARGE) {
      const at = this.#block + (this.foundSeeder ? SEEDERS : LEECHERS)
      this.#words[at] = this.sets.remove(this.#words[at]!, this.#found)
      this.count--
      if (this.foundSeeder) this.seeders--
      this.#saveLarge()
    } else {
      this.#removeAt(this.#found, this.foundSeeder)
    }
    this.#shrink()
  }

  /** Counts a completed download of the open swarm, which has a peer; at the limit of memory it may stay uncounted. */
  addCompleted(by: number): void {
    if (by === 0) return
    if (this.#kind === INLINE) {
      const held = this.#words[this.#record + R_PEERS6]!
      if (held <= 0) {
        this.#words[this.#record + R_PEERS6] = held - by
        return
      }
      if (!this.#inlineToSmall(0)) return
    }
    this.#words[this.#block + COMPLETED] = (this.#words[this.#block + COMPLETED]! + by) | 0
  }

  /**
   * Draws up to `wanted` peers of a role, not the endpoint, and leaves their addresses in the sampler's `chosen`.
   * Returns how many.
   */
  sample(seeder: boolean, wanted: number, sampler: Sampler): number {
    if (wanted <= 0) return 0
    if (this.#kind === LARGE) {
      const set = this.#words[this.#block + (seeder ? SEEDERS : LEECHERS)]!
      return this.sets.sample(set, wanted, this.sets.find(set), sampler)
    }
    const from = seeder ? 0 : this.seeders
    const end = Math.min(seeder ? this.seeders : this.count, MAX_SMALL)
    const peerWords = this.#peerWords
    const base = this.#base + from * peerWords
    let self = -1
    for (let i = 0, at = base; i < end - from; i++, at += peerWords) {
      if (this.endpoint.isAt(at)) {
        self = i
        break
      }
    }
    const available = end - from - (self >= 0 ? 1 : 0)
    const count = Math.min(wanted, available)
    if (count <= 0) return 0
    const at = self < 0 ? -1 : base + self * peerWords
    sampler.choose(count, available, base, peerWords, at, base + available * peerWords)
    return count
  }

  /** Leaves the addresses of a role's peers in `chosen`, from where the sampler has room. Returns how many. */
  all(seeder: boolean, sampler: Sampler): number {
    const total = seeder ? this.seeders : this.count - this.seeders
    sampler.reserve(total)
    const { chosen } = sampler
    if (this.#kind === LARGE) {
      return this.sets.sample(
        this.#words[this.#block + (seeder ? SEEDERS : LEECHERS)]!,
        total,
        -1,
        sampler,
      )
    }
    const base = this.#base + (seeder ? 0 : this.seeders) * this.#peerWords
    for (let i = 0; i < total; i++) chosen[i] = base + i * this.#peerWords
    return total
  }

  /** Frees what the open swarm holds outside its record. */
  release(): void {
    if (this.#kind === INLINE) {
      const held = this.#words[this.#record + R_PEERS6]!
      if (held < 0) this.#words[this.#record + R_PEERS6] = 0
    } else if (this.#kind === SMALL) {
      this.#arena.free(this.#block, this.#blockWords(this.#class()))
    } else if (this.#kind === LARGE) {
      this.sets.release(this.#words[this.#block + SEEDERS]!)
      this.sets.release(this.#words[this.#block + LEECHERS]!)
      this.#arena.free(this.#block, ROOT_WORDS)
    }
    this.#setBlock(0)
    this.#kind = NONE
    this.count = 0
    this.seeders = 0
  }

  /** Blocks that the open swarm holds outside its record. */
  visitBlocks(visit: BlockVisitor): void {
    if (this.#kind === SMALL) visit(this.#block, this.#blockWords(this.#class()))
    if (this.#kind !== LARGE) return
    visit(this.#block, ROOT_WORDS)
    this.sets.visitBlocks(this.#words[this.#block + SEEDERS]!, visit)
    this.sets.visitBlocks(this.#words[this.#block + LEECHERS]!, visit)
  }

  /** Sweeps an inline or small swarm. */
  sweepSmall(terms: SweepTerms): void {
    const { endpoint } = this
    let removed = false
    // From the last down: what a removal moves was looked at already.
    for (let position = this.count - 1; position >= 0; position--) {
      const at = this.#base + position * this.#peerWords
      if (!terms.drops(endpoint.metaAt(at))) continue
      this.#removeAt(at, position < this.seeders)
      removed = true
    }
    if (removed) this.#shrink()
  }

  /** Sweeps on in one role of a large swarm; see PeerSet.sweep. */
  sweepLarge(seeder: boolean, cursor: number, budget: number, terms: SweepTerms): number {
    const at = this.#block + (seeder ? SEEDERS : LEECHERS)
    const set = this.#words[at]!
    if (set === 0) return -1
    const next = this.sets.sweep(set, cursor, budget, terms)
    if (next < 0) this.#words[at] = this.sets.settle(set, 64)
    this.seeders = this.sets.count(this.#words[this.#block + SEEDERS]!)
    this.count = this.seeders + this.sets.count(this.#words[this.#block + LEECHERS]!)
    this.#saveLarge()
    if (next < 0) this.#shrink()
    return next
  }

  #removeAt(found: number, seeder: boolean): void {
    const { endpoint } = this
    let hole = found
    if (seeder) {
      const last = this.#base + --this.seeders * this.#peerWords
      if (last !== hole) endpoint.copy(last, hole)
      hole = last
    }
    const last = this.#base + --this.count * this.#peerWords
    if (last !== hole) endpoint.copy(last, hole)
    if (this.#kind === SMALL) this.#saveSmall()
  }

  #changeSet(meta: number, seeder: boolean): boolean {
    const words = this.#words
    const to = this.#block + (seeder ? SEEDERS : LEECHERS)
    const from = this.#block + (seeder ? LEECHERS : SEEDERS)
    const set = this.sets.add(words[to]!, meta)
    if (set === 0) {
      this.endpoint.setMetaAt(this.#found, (meta & ~SEEDER_BIT) | (seeder ? 0 : SEEDER_BIT))
      return false
    }
    words[to] = set
    words[from] = this.sets.remove(words[from]!, this.#found)
    this.seeders += seeder ? 1 : -1
    this.foundSeeder = seeder
    this.#saveLarge()
    return true
  }

  #class(): number {
    return (this.#words[this.#block]! >>> 16) & 0xff
  }

  #blockWords(klass: number): number {
    return HEADER_WORDS + CAPACITIES[klass]! * this.#peerWords
  }

  #setBlock(block: number): void {
    this.#block = block
    if (this.#peerWords === 2) {
      this.#words[this.#record + R_PEERS4] = block
      this.#words[this.#record + R_META4] = NO_AGE
    } else {
      this.#words[this.#record + R_PEERS6] = block
    }
  }

  #saveSmall(): void {
    const words = this.#words
    const block = this.#block
    words[block] = (words[block]! & 0xffff0000) | (this.seeders << 8) | this.count
  }

  #saveLarge(): void {
    this.#words[this.#block + SEEDER_COUNT] = this.seeders
    this.#words[this.#block + LEECHER_COUNT] = this.count - this.seeders
  }

  #makeRoom(): boolean {
    if (this.#kind === NONE) {
      if (this.#peerWords !== 2) return this.#clearCount() && this.#newSmall(0, 0)
      // The inline place has no header: `add` writes the peer, and its age says that it is there.
      this.#kind = INLINE
      this.#base = this.#record + R_PEERS4
      return true
    }
    if (this.#kind === INLINE) return this.#inlineToSmall(1)
    if (this.#kind === LARGE) return true
    const klass = this.#class()
    if (this.count < CAPACITIES[klass]!) return true
    return klass === LAST_CLASS ? this.#smallToLarge() : this.#resize(klass, klass + 1)
  }

  /** Makes a block the open swarm's, and leaves `count` and `seeders` as they are. */
  #newSmall(klass: number, completed: number): boolean {
    const block = this.#arena.allocate(this.#blockWords(klass))
    if (block === 0) return false
    this.#setBlock(block)
    this.#kind = SMALL
    this.#base = block + HEADER_WORDS
    this.#words[block] = klass << 16
    this.#words[block + COMPLETED] = completed
    this.#saveSmall()
    return true
  }

  /** Moves the inline IPv4 peer's count, with the peer, out of the word that an IPv6 block needs. */
  #clearCount(): boolean {
    const words = this.#words
    const record = this.#record
    const held = words[record + R_PEERS6]!
    if (held >= 0) return true
    const block = this.#arena.allocate(HEADER_WORDS + 2)
    if (block === 0) return false
    const last = words[record + R_META4]!
    words[block] = ((last & SEEDER_BIT) >>> 7) | 1
    words[block + COMPLETED] = -held
    words[block + HEADER_WORDS] = words[record + R_PEERS4]!
    words[block + HEADER_WORDS + 1] = last
    words[record + R_PEERS4] = block
    words[record + R_META4] = NO_AGE
    words[record + R_PEERS6] = 0
    return true
  }

  #inlineToSmall(klass: number): boolean {
    const address = this.#words[this.#base]!
    const rest = this.#words[this.#base + 1]!
    const completed = this.completed
    if (!this.#newSmall(klass, completed)) return false
    if (completed > 0) this.#words[this.#record + R_PEERS6] = 0
    this.#words[this.#base] = address
    this.#words[this.#base + 1] = rest
    return true
  }

  #resize(klass: number, to: number): boolean {
    const words = this.#words
    const old = this.#block
    const from = this.#base
    if (!this.#newSmall(to, words[old + COMPLETED]!)) return false
    const length = this.count * this.#peerWords
    for (let i = 0; i < length; i++) words[this.#base + i] = words[from + i]!
    this.#arena.free(old, this.#blockWords(klass))
    return true
  }

  #smallToLarge(): boolean {
    const words = this.#words
    const old = this.#block
    const { dense } = this.sets
    const root = this.#arena.allocate(ROOT_WORDS)
    if (root === 0) return false
    const leechers = this.count - this.seeders
    const seedersSet = this.seeders === 0 ? 0 : dense.create(this.seeders + 8)
    const leechersSet = leechers === 0 ? 0 : dense.create(leechers + 8)
    if ((this.seeders > 0 && seedersSet === 0) || (leechers > 0 && leechersSet === 0)) {
      if (seedersSet !== 0) dense.release(seedersSet)
      if (leechersSet !== 0) dense.release(leechersSet)
      this.#arena.free(root, ROOT_WORDS)
      return false
    }
    for (let i = 0; i < this.count; i++) {
      dense.addCopy(i < this.seeders ? seedersSet : leechersSet, this.#base + i * this.#peerWords)
    }
    words[root] = LARGE_CLASS << 16
    words[root + COMPLETED] = words[old + COMPLETED]!
    words[root + SEEDERS] = seedersSet
    words[root + LEECHERS] = leechersSet
    this.#setBlock(root)
    this.#kind = LARGE
    this.#saveLarge()
    this.#arena.free(old, this.#blockWords(LAST_CLASS))
    return true
  }

  /** Gives back what the open swarm does not need any more; without memory it stays as it is. */
  #shrink(): void {
    if (this.count === 0) {
      // The counter of completed downloads lives while the swarm does, that is while the other family has peers.
      if (this.completed === 0 || this.#kind === INLINE) this.release()
      else if (this.#kind === LARGE) this.#largeToSmall()
      return
    }
    if (this.#kind === LARGE) {
      if (this.count <= SHRINK_TO_SMALL) this.#largeToSmall()
    } else if (this.#kind === SMALL) {
      const klass = this.#class()
      const counts = this.completed > 0
      const hasPlace = !counts || this.#words[this.#record + R_PEERS6] === 0
      if (this.count === 1 && this.#peerWords === 2 && hasPlace) this.#smallToInline()
      else if (klass > 1 && this.count <= CAPACITIES[klass - 2]!) this.#resize(klass, klass - 1)
    }
  }

  #smallToInline(): void {
    const words = this.#words
    const klass = this.#class()
    const block = this.#block
    const completed = words[block + COMPLETED]!
    if (completed > 0) words[this.#record + R_PEERS6] = -completed
    words[this.#record + R_PEERS4] = words[this.#base]!
    words[this.#record + R_META4] = words[this.#base + 1]!
    this.#arena.free(block, this.#blockWords(klass))
    this.#kind = INLINE
    this.#base = this.#record + R_PEERS4
  }

  #largeToSmall(): void {
    const words = this.#words
    const root = this.#block
    const sets = [words[root + SEEDERS]!, words[root + LEECHERS]!]
    let klass = 0
    while (CAPACITIES[klass]! < this.count + 2) klass++
    if (sets.some((set) => set !== 0 && !this.sets.isDense(set))) return
    if (!this.#newSmall(klass, words[root + COMPLETED]!)) return
    let at = this.#base
    for (const set of sets) {
      for (let i = 0; i < this.sets.count(set); i++, at += this.#peerWords) {
        this.endpoint.copy(this.sets.dense.peerAt(set, i), at)
      }
      this.sets.release(set)
    }
    this.#arena.free(root, ROOT_WORDS)
  }
}
