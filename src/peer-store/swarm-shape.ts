/**
 * Where the peers of one family of one swarm lie, and how that changes as they come and go: a window that is opened on a
 * swarm record, works, and moves on. What is done with the peers is swarm-peers.ts.
 *
 *     one IPv4 peer:      inline in the record
 *     small, up to 64:    block: count | seeders << 8 | class << 16,  completed,  peers …
 *     large:              root of 8 words: LARGE << 16, completed, set of seeders, set of leechers (peer-set.ts),
 *                         seeders, leechers
 *
 * The completed downloads of an inline peer stand, negative, in the record's word for IPv6, while that is free: most
 * small swarms have a count, and no block.
 *
 * Invariants: one IPv4 peer is inline unless its count has no place; a root's counts are those of its sets; every call
 * that returns false for want of memory leaves the swarm as it was.
 */
import * as age from './age.ts'
import type { Arena } from './arena.ts'
import type { Endpoint } from './endpoint.ts'
import type { BlockVisitor } from './layout.ts'
import * as layout from './layout.ts'
import { PeerSet } from './peer-set.ts'
import type { SwarmCounts } from './types.ts'

const { NO_AGE, SEEDER_BIT } = age
const { COMPLETED, MAX_SMALL, R_META4, R_PEERS4, R_PEERS6, SEEDERS, LEECHERS } = layout
const { INLINE, LARGE, NONE, SMALL } = layout

const LARGE_CLASS = 255
const CAPACITIES: readonly number[] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, MAX_SMALL]
const LAST_CLASS: number = CAPACITIES.length - 1
/** A large swarm that shrinks to this becomes small again; far below MAX_SMALL, so that it does not flutter. */
const SHRINK_TO_SMALL = 24
const HEADER_WORDS = 2
const SEEDER_COUNT = 4
const LEECHER_COUNT = 5
/** Six in use; eight lie in one cache line. */
const ROOT_WORDS = 8

export class SwarmShape {
  readonly endpoint: Endpoint
  readonly sets: PeerSet
  /** Of the open swarm. */
  count = 0
  seeders = 0
  protected readonly words: Int32Array
  protected readonly arena: Arena
  protected readonly peerWords: number
  protected record = 0
  /** NONE, INLINE, SMALL or LARGE. */
  protected kind: number = NONE
  /** Block or root. */
  protected block = 0
  /** Address of the first peer of an inline or small swarm. */
  protected base = 0

  constructor(words: Int32Array, arena: Arena, endpoint: Endpoint) {
    this.words = words
    this.arena = arena
    this.endpoint = endpoint
    this.sets = new PeerSet(words, arena, endpoint)
    this.peerWords = endpoint.peerWords
  }

  get completed(): number {
    if (this.kind === NONE) return 0
    if (this.kind !== INLINE) return this.words[this.block + COMPLETED]!
    const held = this.words[this.record + R_PEERS6]!
    return held < 0 ? -held : 0
  }

  get isLarge(): boolean {
    return this.kind === LARGE
  }

  /** Of the open swarm, which is large. */
  isDense(seeder: boolean): boolean {
    const set = this.words[this.block + (seeder ? SEEDERS : LEECHERS)]!
    return set === 0 || this.sets.isDense(set)
  }

  open(record: number): void {
    const words = this.words
    this.record = record
    if (this.peerWords === 2) {
      const meta = words[record + R_META4]! & 0xffff
      if (meta !== NO_AGE) {
        this.kind = INLINE
        this.base = record + R_PEERS4
        this.count = 1
        this.seeders = meta >>> 15
        return
      }
      this.block = words[record + R_PEERS4]!
    } else {
      this.block = Math.max(0, words[record + R_PEERS6]!)
    }
    const block = this.block
    if (block === 0) {
      this.kind = NONE
      this.count = 0
      this.seeders = 0
      return
    }
    const head = words[block]!
    if (head >>> 16 === LARGE_CLASS) {
      this.kind = LARGE
      this.seeders = words[block + SEEDER_COUNT]!
      this.count = this.seeders + words[block + LEECHER_COUNT]!
    } else {
      this.kind = SMALL
      this.base = block + HEADER_WORDS
      this.count = head & 0xff
      this.seeders = (head >>> 8) & 0xff
    }
  }

  /** The counts of a swarm, without opening it. */
  readCounts(record: number, counts: SwarmCounts): void {
    const words = this.words
    let block = 0
    if (this.peerWords === 2) {
      const meta = words[record + R_META4]! & 0xffff
      if (meta !== NO_AGE) {
        const held = words[record + R_PEERS6]!
        counts.seeders = meta >>> 15
        counts.leechers = 1 - (meta >>> 15)
        counts.completed = held < 0 ? -held : 0
        return
      }
      block = words[record + R_PEERS4]!
    } else {
      block = words[record + R_PEERS6]!
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

  /** Counts a completed download of the open swarm, which has a peer; at the limit of memory it may stay uncounted. */
  addCompleted(by: number): void {
    if (by === 0) return
    if (this.kind === INLINE) {
      const held = this.words[this.record + R_PEERS6]!
      if (held <= 0) {
        this.words[this.record + R_PEERS6] = held - by
        return
      }
      if (!this.#inlineToSmall(0)) return
    }
    this.words[this.block + COMPLETED] = (this.words[this.block + COMPLETED]! + by) | 0
  }

  /** Frees what the open swarm holds outside its record. */
  release(): void {
    if (this.kind === INLINE) {
      const held = this.words[this.record + R_PEERS6]!
      if (held < 0) this.words[this.record + R_PEERS6] = 0
    } else if (this.kind === SMALL) {
      this.arena.free(this.block, this.#blockWords(this.#class()))
    } else if (this.kind === LARGE) {
      this.sets.release(this.words[this.block + SEEDERS]!)
      this.sets.release(this.words[this.block + LEECHERS]!)
      this.arena.free(this.block, ROOT_WORDS)
    }
    this.#setBlock(0)
    this.kind = NONE
    this.count = 0
    this.seeders = 0
  }

  /** Blocks that the open swarm holds outside its record. */
  visitBlocks(visit: BlockVisitor): void {
    if (this.kind === SMALL) visit(this.block, this.#blockWords(this.#class()))
    if (this.kind !== LARGE) return
    visit(this.block, ROOT_WORDS)
    this.sets.visitBlocks(this.words[this.block + SEEDERS]!, visit)
    this.sets.visitBlocks(this.words[this.block + LEECHERS]!, visit)
  }

  #class(): number {
    return (this.words[this.block]! >>> 16) & 0xff
  }

  #blockWords(klass: number): number {
    return HEADER_WORDS + CAPACITIES[klass]! * this.peerWords
  }

  #setBlock(block: number): void {
    this.block = block
    if (this.peerWords === 2) {
      this.words[this.record + R_PEERS4] = block
      this.words[this.record + R_META4] = NO_AGE
    } else {
      this.words[this.record + R_PEERS6] = block
    }
  }

  protected saveSmall(): void {
    const words = this.words
    const block = this.block
    words[block] = (words[block]! & 0xffff0000) | (this.seeders << 8) | this.count
  }

  protected saveLarge(): void {
    this.words[this.block + SEEDER_COUNT] = this.seeders
    this.words[this.block + LEECHER_COUNT] = this.count - this.seeders
  }

  protected makeRoom(): boolean {
    if (this.kind === NONE) {
      if (this.peerWords !== 2) return this.#clearCount() && this.#newSmall(0, 0)
      // The inline place has no header: `add` writes the peer, and its age says that it is there.
      this.kind = INLINE
      this.base = this.record + R_PEERS4
      return true
    }
    if (this.kind === INLINE) return this.#inlineToSmall(1)
    if (this.kind === LARGE) return true
    const klass = this.#class()
    if (this.count < CAPACITIES[klass]!) return true
    return klass === LAST_CLASS ? this.#smallToLarge() : this.#resize(klass, klass + 1)
  }

  /** Makes a block the open swarm's, and leaves `count` and `seeders` as they are. */
  #newSmall(klass: number, completed: number): boolean {
    const block = this.arena.allocate(this.#blockWords(klass))
    if (block === 0) return false
    this.#setBlock(block)
    this.kind = SMALL
    this.base = block + HEADER_WORDS
    this.words[block] = klass << 16
    this.words[block + COMPLETED] = completed
    this.saveSmall()
    return true
  }

  /** Moves the inline IPv4 peer's count, with the peer, out of the word that an IPv6 block needs. */
  #clearCount(): boolean {
    const words = this.words
    const record = this.record
    const held = words[record + R_PEERS6]!
    if (held >= 0) return true
    const block = this.arena.allocate(HEADER_WORDS + 2)
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
    const address = this.words[this.base]!
    const rest = this.words[this.base + 1]!
    const completed = this.completed
    if (!this.#newSmall(klass, completed)) return false
    if (completed > 0) this.words[this.record + R_PEERS6] = 0
    this.words[this.base] = address
    this.words[this.base + 1] = rest
    return true
  }

  #resize(klass: number, to: number): boolean {
    const words = this.words
    const old = this.block
    const from = this.base
    if (!this.#newSmall(to, words[old + COMPLETED]!)) return false
    const length = this.count * this.peerWords
    for (let i = 0; i < length; i++) words[this.base + i] = words[from + i]!
    this.arena.free(old, this.#blockWords(klass))
    return true
  }

  #smallToLarge(): boolean {
    const words = this.words
    const old = this.block
    const { dense } = this.sets
    const root = this.arena.allocate(ROOT_WORDS)
    if (root === 0) return false
    const leechers = this.count - this.seeders
    const seedersSet = this.seeders === 0 ? 0 : dense.create(this.seeders + 8)
    const leechersSet = leechers === 0 ? 0 : dense.create(leechers + 8)
    if ((this.seeders > 0 && seedersSet === 0) || (leechers > 0 && leechersSet === 0)) {
      if (seedersSet !== 0) dense.release(seedersSet)
      if (leechersSet !== 0) dense.release(leechersSet)
      this.arena.free(root, ROOT_WORDS)
      return false
    }
    for (let i = 0; i < this.count; i++) {
      dense.addCopy(i < this.seeders ? seedersSet : leechersSet, this.base + i * this.peerWords)
    }
    words[root] = LARGE_CLASS << 16
    words[root + COMPLETED] = words[old + COMPLETED]!
    words[root + SEEDERS] = seedersSet
    words[root + LEECHERS] = leechersSet
    this.#setBlock(root)
    this.kind = LARGE
    this.saveLarge()
    this.arena.free(old, this.#blockWords(LAST_CLASS))
    return true
  }

  /** Gives back what the open swarm does not need any more; without memory it stays as it is. */
  protected shrink(): void {
    if (this.count === 0) {
      // The counter of completed downloads lives while the swarm does, that is while the other family has peers.
      if (this.completed === 0 || this.kind === INLINE) this.release()
      else if (this.kind === LARGE) this.#largeToSmall()
      return
    }
    if (this.kind === LARGE) {
      if (this.count <= SHRINK_TO_SMALL) this.#largeToSmall()
    } else if (this.kind === SMALL) {
      const klass = this.#class()
      const counts = this.completed > 0
      const hasPlace = !counts || this.words[this.record + R_PEERS6] === 0
      if (this.count === 1 && this.peerWords === 2 && hasPlace) this.#smallToInline()
      else if (klass > 1 && this.count <= CAPACITIES[klass - 2]!) this.#resize(klass, klass - 1)
    }
  }

  #smallToInline(): void {
    const words = this.words
    const klass = this.#class()
    const block = this.block
    const completed = words[block + COMPLETED]!
    if (completed > 0) words[this.record + R_PEERS6] = -completed
    words[this.record + R_PEERS4] = words[this.base]!
    words[this.record + R_META4] = words[this.base + 1]!
    this.arena.free(block, this.#blockWords(klass))
    this.kind = INLINE
    this.base = this.record + R_PEERS4
  }

  #largeToSmall(): void {
    const words = this.words
    const root = this.block
    const sets = [words[root + SEEDERS]!, words[root + LEECHERS]!]
    let klass = 0
    while (CAPACITIES[klass]! < this.count + 2) klass++
    if (sets.some((set) => set !== 0 && !this.sets.isDense(set))) return
    if (!this.#newSmall(klass, words[root + COMPLETED]!)) return
    let at = this.base
    for (const set of sets) {
      for (let i = 0; i < this.sets.count(set); i++, at += this.peerWords) {
        this.endpoint.copy(this.sets.dense.peerAt(set, i), at)
      }
      this.sets.release(set)
    }
    this.arena.free(root, ROOT_WORDS)
  }
}
