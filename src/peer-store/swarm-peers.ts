/**
 * The peers of one family of one swarm: a window that is opened on a swarm record, works, and moves on.
 *
 *     IPv4 peer (2 words): address | port << 16 | age and role
 *     IPv6 peer (5 words): address, 4 words | port << 16 | age and role
 *
 *     one IPv4 peer:       inline in the record
 *     small, up to 128:    count | seeders << 8 | class << 16, completed, peers …
 *     large:               root of 12 words: LARGE << 16, completed, count, seeders, page directory, its
 *                          size, pages, -, index root (4 words)
 *                          pages of 256 peers; the index leads from a peer's hash to its position + 1
 *
 * Positions 0…seeders-1 are seeders, the others leechers, without holes: a random seeder is a random
 * number. Small swarms are scanned (a few cache lines), large ones looked up in their index, so put and
 * delete cost the same in a swarm of ten million.
 *
 * Invariants: inline if and only if one peer and no completed download; in a large swarm the index has exactly
 * one entry a peer; pages hold at most 1.5 pages of room beyond the peers.
 */
import { ageTicks, NO_AGE, SEEDER_BIT } from './age.ts'
import { type Arena, SLAB_MASK } from './arena.ts'
import type { KeyedHash } from './keyed-hash.ts'
import { META4, PEERS4, PEERS6, type SwarmRecords } from './swarm-records.ts'
import { type KeySource, ROOT_WORDS, TaggedIndex } from './tagged-index.ts'
import type { AddressFamily } from './types.ts'

const NONE = 0
const INLINE = 1
const SMALL = 2
const LARGE = 3
type Kind = typeof NONE | typeof INLINE | typeof SMALL | typeof LARGE

const LARGE_CLASS = 255
const CAPACITIES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128] as const
const LAST_CLASS = CAPACITIES.length - 1
/** A large swarm that shrinks to this becomes small again; far below the last capacity, so that it does not flutter. */
const SHRINK_TO_SMALL = 64
const SMALL_HEADER_WORDS = 2

const COMPLETED = 1
const COUNT = 2
const SEEDERS = 3
const DIRECTORY = 4
const DIRECTORY_WORDS = 5
const PAGES = 6
const INDEX = 8
const LARGE_ROOT_WORDS: number = INDEX + ROOT_WORDS

const PAGE_SHIFT = 8
const PAGE_PEERS = 1 << PAGE_SHIFT
const PAGE_MASK = PAGE_PEERS - 1
const FIRST_DIRECTORY_WORDS = 4
/** Positions have 26 bits in the index. */
const MAX_PEERS: number = (1 << 26) - 2

export class SwarmPeers implements KeySource {
  readonly family: AddressFamily
  /** The endpoint that `find` and `add` are about; IPv4 uses the first word only. */
  readonly address: Uint32Array = new Uint32Array(4)
  port = 0
  /** Of the open swarm. */
  count = 0
  seeders = 0

  readonly #arena: Arena
  readonly #records: SwarmRecords
  readonly #hash: KeyedHash
  readonly #index: TaggedIndex
  readonly #addressWords: number
  readonly #peerWords: number
  readonly #swap = new Uint32Array(5)
  #record: Uint32Array = new Uint32Array(0)
  #recordAt = 0
  #kind: Kind = NONE
  #block = 0
  /** Where the block's own words are; for an inline peer, the record. */
  #words: Uint32Array = this.#record
  #at = 0
  // Where `#locate` found a position.
  #peers: Uint32Array = this.#record
  #peerAt = 0

  constructor(family: AddressFamily, arena: Arena, records: SwarmRecords, hash: KeyedHash) {
    this.family = family
    this.#addressWords = family === 4 ? 1 : 4
    this.#peerWords = this.#addressWords + 1
    this.#arena = arena
    this.#records = records
    this.#hash = hash
    this.#index = new TaggedIndex(arena, this)
  }

  get high(): number {
    return this.#hash.high
  }

  get low(): number {
    return this.#hash.low
  }

  get full(): boolean {
    return this.count >= MAX_PEERS
  }

  get completed(): number {
    return this.#kind === SMALL || this.#kind === LARGE ? this.#words[this.#at + COMPLETED]! : 0
  }

  open(recordNumber: number): void {
    const record = this.#records.words(recordNumber)
    const recordAt = this.#records.offset(recordNumber)
    this.#record = record
    this.#recordAt = recordAt
    if (this.family === 4) {
      const meta = record[recordAt + META4]! & 0xffff
      if (meta !== NO_AGE) {
        this.#setKind(INLINE)
        this.count = 1
        this.seeders = meta >>> 15
        return
      }
      this.#block = record[recordAt + PEERS4]!
    } else {
      this.#block = record[recordAt + PEERS6]!
    }
    if (this.#block === 0) {
      this.#kind = NONE
      this.count = 0
      this.seeders = 0
      return
    }
    const words = this.#arena.slabs[this.#block >>> 18]!
    const at = this.#block & SLAB_MASK
    this.#words = words
    this.#at = at
    const head = words[at]!
    if (head >>> 16 === LARGE_CLASS) {
      this.#kind = LARGE
      this.count = words[at + COUNT]!
      this.seeders = words[at + SEEDERS]!
    } else {
      this.#kind = SMALL
      this.count = head & 0xff
      this.seeders = (head >>> 8) & 0xff
    }
  }

  /** The position of the endpoint in the open swarm, or -1. */
  find(): number {
    if (this.#kind === LARGE) {
      this.#hashEndpoint()
      const root = this.#block + INDEX
      for (let found = this.#index.first(root, this.high, this.low); found !== 0; ) {
        this.#locate(found - 1)
        if (this.#isEndpoint(this.#peers, this.#peerAt)) return found - 1
        found = this.#index.next()
      }
      return -1
    }
    if (this.count === 0) return -1
    this.#locate(0)
    const words = this.#peers
    let at = this.#peerAt
    for (let position = 0; position < this.count; position++, at += this.#peerWords) {
      if (this.#isEndpoint(words, at)) return position
    }
    return -1
  }

  /** Adds the endpoint, which is not there, with its age and role. */
  add(meta: number): void {
    this.#makeRoom()
    const seeder = (meta & SEEDER_BIT) !== 0
    let position = this.count
    this.count++
    if (seeder) {
      if (this.seeders !== position) this.#move(this.seeders, position)
      position = this.seeders++
    }
    this.#locate(position)
    for (let i = 0; i < this.#addressWords; i++) this.#peers[this.#peerAt + i] = this.address[i]!
    this.#peers[this.#peerAt + this.#addressWords] = ((this.port << 16) | meta) >>> 0
    this.#save()
    if (this.#kind === LARGE) {
      this.#hashEndpoint()
      this.#index.insert(this.#block + INDEX, this.high, this.low, position + 1)
    }
  }

  remove(position: number): void {
    if (this.#kind === LARGE) {
      this.rehash(position + 1)
      this.#index.remove(this.#block + INDEX, this.high, this.low, position + 1)
    }
    let hole = position
    if (hole < this.seeders) {
      const last = --this.seeders
      if (hole !== last) this.#move(last, hole)
      hole = last
    }
    const last = --this.count
    if (hole !== last) this.#move(last, hole)
    this.#save()
    this.#shrink()
  }

  /** Makes the peer at `position` a seeder or a leecher, as `meta` says; sets its age too. */
  put(position: number, meta: number): void {
    let at = position
    if (position >= this.seeders && (meta & SEEDER_BIT) !== 0) {
      at = this.seeders
      this.#exchange(position, at)
      this.seeders++
      this.#save()
    } else if (position < this.seeders && (meta & SEEDER_BIT) === 0) {
      at = this.seeders - 1
      this.#exchange(position, at)
      this.seeders--
      this.#save()
    }
    this.#locate(at)
    const word = this.#peerAt + this.#addressWords
    this.#peers[word] = ((this.#peers[word]! & 0xffff0000) | meta) >>> 0
  }

  age(position: number, nowTick: number): number {
    this.#locate(position)
    return ageTicks(nowTick, this.#peers[this.#peerAt + this.#addressWords]! & 0xffff)
  }

  /** Counts a completed download of the open swarm, which has a peer. */
  addCompleted(): void {
    if (this.#kind === INLINE) this.#inlineToSmall(0)
    this.#words[this.#at + COMPLETED]!++
  }

  /** Writes the peer at `position` as compact bytes. Allocates nothing. */
  writeCompact(position: number, target: Uint8Array, offset: number): void {
    this.#locate(position)
    const peers = this.#peers
    let at = this.#peerAt
    let to = offset
    for (let i = 0; i < this.#addressWords; i++, at++, to += 4) {
      const word = peers[at]!
      target[to] = word >>> 24
      target[to + 1] = word >>> 16
      target[to + 2] = word >>> 8
      target[to + 3] = word
    }
    const last = peers[at]!
    target[to] = last >>> 24
    target[to + 1] = last >>> 16
  }

  /** Frees what the open swarm holds outside its record. */
  release(): void {
    if (this.#kind === SMALL) {
      this.#arena.free(this.#block, this.#smallWords((this.#words[this.#at]! >>> 16) & 0xff))
    } else if (this.#kind === LARGE) {
      this.#releaseLarge()
    }
    this.#setBlock(0)
    this.#kind = NONE
    this.count = 0
    this.seeders = 0
  }

  /** KeySource: the hash of the peer whose position is `number - 1`. */
  rehash(number: number): void {
    this.#locate(number - 1)
    const words = this.#hash.words
    for (let i = 0; i < this.#addressWords; i++) words[i] = this.#peers[this.#peerAt + i]!
    words[this.#addressWords] = this.#peers[this.#peerAt + this.#addressWords]! >>> 16
    this.#hash.run(this.#peerWords)
  }

  #hashEndpoint(): void {
    const words = this.#hash.words
    for (let i = 0; i < this.#addressWords; i++) words[i] = this.address[i]!
    words[this.#addressWords] = this.port
    this.#hash.run(this.#peerWords)
  }

  #isEndpoint(words: Uint32Array, at: number): boolean {
    const address = this.address
    if (words[at] !== address[0]) return false
    if (this.#addressWords === 1) return words[at + 1]! >>> 16 === this.port
    return (
      words[at + 4]! >>> 16 === this.port &&
      words[at + 1] === address[1] &&
      words[at + 2] === address[2] &&
      words[at + 3] === address[3]
    )
  }

  #locate(position: number): void {
    if (this.#kind !== LARGE) {
      this.#peers = this.#words
      this.#peerAt =
        this.#kind === INLINE
          ? this.#at
          : this.#at + SMALL_HEADER_WORDS + position * this.#peerWords
      return
    }
    const entry = this.#words[this.#at + DIRECTORY]! + (position >>> PAGE_SHIFT)
    const page = this.#arena.slabs[entry >>> 18]![entry & SLAB_MASK]!
    this.#peers = this.#arena.slabs[page >>> 18]!
    this.#peerAt = (page & SLAB_MASK) + (position & PAGE_MASK) * this.#peerWords
  }

  #setKind(kind: Kind): void {
    this.#kind = kind
    if (kind === INLINE) {
      this.#words = this.#record
      this.#at = this.#recordAt + PEERS4
    } else if (kind !== NONE) {
      this.#words = this.#arena.slabs[this.#block >>> 18]!
      this.#at = this.#block & SLAB_MASK
    }
  }

  #setBlock(block: number): void {
    this.#block = block
    if (this.family === 4) {
      this.#record[this.#recordAt + PEERS4] = block
      this.#record[this.#recordAt + META4] = NO_AGE
    } else {
      this.#record[this.#recordAt + PEERS6] = block
    }
  }

  #save(): void {
    const words = this.#words
    const at = this.#at
    if (this.#kind === SMALL) {
      words[at] = (words[at]! & 0xffff0000) | (this.seeders << 8) | this.count
    } else if (this.#kind === LARGE) {
      words[at + COUNT] = this.count
      words[at + SEEDERS] = this.seeders
    }
  }

  #copyPeer(from: number, to: number): void {
    this.#locate(from)
    const source = this.#peers
    const sourceAt = this.#peerAt
    this.#locate(to)
    for (let i = 0; i < this.#peerWords; i++) this.#peers[this.#peerAt + i] = source[sourceAt + i]!
  }

  #move(from: number, to: number): void {
    if (this.#kind === LARGE) {
      this.rehash(from + 1)
      const root = this.#block + INDEX
      this.#index.renumber(this.#index.slotOf(root, this.high, this.low, from + 1), to + 1)
    }
    this.#copyPeer(from, to)
  }

  #exchange(a: number, b: number): void {
    if (a === b) return
    if (this.#kind === LARGE) {
      const root = this.#block + INDEX
      this.rehash(a + 1)
      const slotA = this.#index.slotOf(root, this.high, this.low, a + 1)
      this.rehash(b + 1)
      const slotB = this.#index.slotOf(root, this.high, this.low, b + 1)
      this.#index.renumber(slotA, b + 1)
      this.#index.renumber(slotB, a + 1)
    }
    this.#locate(a)
    for (let i = 0; i < this.#peerWords; i++) this.#swap[i] = this.#peers[this.#peerAt + i]!
    this.#copyPeer(b, a)
    this.#locate(b)
    for (let i = 0; i < this.#peerWords; i++) this.#peers[this.#peerAt + i] = this.#swap[i]!
  }

  #smallWords(klass: number): number {
    return SMALL_HEADER_WORDS + CAPACITIES[klass]! * this.#peerWords
  }

  #makeRoom(): void {
    if (this.#kind === NONE) {
      // The inline place has no header: `add` writes the peer, and its age says that it is there.
      if (this.family === 4) this.#setKind(INLINE)
      else this.#newSmall(0, 0)
    } else if (this.#kind === INLINE) {
      this.#inlineToSmall(1)
    } else if (this.#kind === LARGE) {
      if (this.count === this.#words[this.#at + PAGES]! << PAGE_SHIFT) this.#addPage()
    } else {
      const klass = (this.#words[this.#at]! >>> 16) & 0xff
      if (this.count < CAPACITIES[klass]!) return
      if (klass === LAST_CLASS) this.#smallToLarge(klass)
      else this.#resize(klass, klass + 1)
    }
  }

  #newSmall(klass: number, completed: number): void {
    this.#setBlock(this.#arena.allocate(this.#smallWords(klass)))
    this.#setKind(SMALL)
    this.#words[this.#at] = klass << 16
    this.#words[this.#at + COMPLETED] = completed
    this.#save()
  }

  #inlineToSmall(klass: number): void {
    const address = this.#words[this.#at]!
    const rest = this.#words[this.#at + 1]!
    this.#newSmall(klass, 0)
    this.#words[this.#at + SMALL_HEADER_WORDS] = address
    this.#words[this.#at + SMALL_HEADER_WORDS + 1] = rest
  }

  #resize(klass: number, to: number): void {
    const old = this.#block
    const words = this.#words
    const from = this.#at + SMALL_HEADER_WORDS
    this.#newSmall(to, words[this.#at + COMPLETED]!)
    const at = this.#at + SMALL_HEADER_WORDS
    const length = this.count * this.#peerWords
    for (let i = 0; i < length; i++) this.#words[at + i] = words[from + i]!
    this.#arena.free(old, this.#smallWords(klass))
  }

  #smallToLarge(klass: number): void {
    const old = this.#block
    const words = this.#words
    const from = this.#at + SMALL_HEADER_WORDS
    const completed = words[this.#at + COMPLETED]!
    const root = this.#arena.allocate(LARGE_ROOT_WORDS)
    this.#arena.clear(root, LARGE_ROOT_WORDS)
    this.#setBlock(root)
    this.#setKind(LARGE)
    this.#words[this.#at] = (LARGE_CLASS << 16) >>> 0
    this.#words[this.#at + COMPLETED] = completed
    this.#words[this.#at + DIRECTORY] = this.#arena.allocate(FIRST_DIRECTORY_WORDS)
    this.#words[this.#at + DIRECTORY_WORDS] = FIRST_DIRECTORY_WORDS
    this.#addPage()
    this.#save()
    this.#locate(0)
    const length = this.count * this.#peerWords
    for (let i = 0; i < length; i++) this.#peers[this.#peerAt + i] = words[from + i]!
    for (let position = 0; position < this.count; position++) {
      this.rehash(position + 1)
      this.#index.insert(root + INDEX, this.high, this.low, position + 1)
    }
    this.#arena.free(old, this.#smallWords(klass))
  }

  #addPage(): void {
    const words = this.#words
    const at = this.#at
    const pages = words[at + PAGES]!
    const size = words[at + DIRECTORY_WORDS]!
    if (pages === size) {
      const old = words[at + DIRECTORY]!
      const larger = this.#arena.allocate(size * 2)
      for (let i = 0; i < size; i++) this.#write(larger + i, this.#read(old + i))
      this.#arena.free(old, size)
      words[at + DIRECTORY] = larger
      words[at + DIRECTORY_WORDS] = size * 2
    }
    this.#write(words[at + DIRECTORY]! + pages, this.#arena.allocate(this.#peerWords << PAGE_SHIFT))
    words[at + PAGES] = pages + 1
  }

  #read(address: number): number {
    return this.#arena.slabs[address >>> 18]![address & SLAB_MASK]!
  }

  #write(address: number, value: number): void {
    this.#arena.slabs[address >>> 18]![address & SLAB_MASK] = value
  }

  /** After a removal: gives back what is no longer needed, with slack so that one peer does not flutter. */
  #shrink(): void {
    if (this.#kind === INLINE) {
      this.#setBlock(0)
      this.#kind = NONE
    } else if (this.#kind === LARGE) {
      const pages = this.#words[this.#at + PAGES]!
      if (this.count <= SHRINK_TO_SMALL) this.#largeToSmall()
      else if (this.count <= ((pages - 1) << PAGE_SHIFT) - PAGE_PEERS / 2) {
        this.#arena.free(
          this.#read(this.#words[this.#at + DIRECTORY]! + pages - 1),
          this.#peerWords << PAGE_SHIFT,
        )
        this.#words[this.#at + PAGES] = pages - 1
      }
    } else {
      this.#shrinkSmall()
    }
  }

  #shrinkSmall(): void {
    const klass = (this.#words[this.#at]! >>> 16) & 0xff
    if (this.completed === 0 && this.count === 0) {
      this.release()
    } else if (this.completed === 0 && this.count === 1 && this.family === 4) {
      const address = this.#words[this.#at + SMALL_HEADER_WORDS]!
      const rest = this.#words[this.#at + SMALL_HEADER_WORDS + 1]!
      this.#arena.free(this.#block, this.#smallWords(klass))
      this.#record[this.#recordAt + PEERS4] = address
      this.#record[this.#recordAt + META4] = rest
      this.#setKind(INLINE)
    } else if (klass >= 2 && this.count <= CAPACITIES[klass - 2]!) {
      this.#resize(klass, klass - 1)
    }
  }

  #largeToSmall(): void {
    const completed = this.completed
    this.#locate(0)
    const peers = this.#peers
    const from = this.#peerAt
    const root = this.#block
    const rootWords = this.#words
    const rootAt = this.#at
    let klass = 0
    while (CAPACITIES[klass]! < this.count) klass++
    this.#newSmall(klass + 1, completed)
    const at = this.#at + SMALL_HEADER_WORDS
    const length = this.count * this.#peerWords
    for (let i = 0; i < length; i++) this.#words[at + i] = peers[from + i]!
    this.#freeLarge(root, rootWords, rootAt)
  }

  #releaseLarge(): void {
    this.#freeLarge(this.#block, this.#words, this.#at)
  }

  #freeLarge(root: number, words: Uint32Array, at: number): void {
    this.#index.clear(root + INDEX)
    const directory = words[at + DIRECTORY]!
    for (let page = 0; page < words[at + PAGES]!; page++) {
      this.#arena.free(this.#read(directory + page), this.#peerWords << PAGE_SHIFT)
    }
    this.#arena.free(directory, words[at + DIRECTORY_WORDS]!)
    this.#arena.free(root, LARGE_ROOT_WORDS)
  }
}
