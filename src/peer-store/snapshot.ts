/**
 * A store in a file, so that a tracker comes back from a restart with its swarms.
 *
 *     header, 64 bytes    "SEEDPEER" | version u32 | tick in ms u32 | wall clock in ms f64 | zeros
 *     entries …           a swarm's peers of one family; a large swarm has several entries
 *     end, 8 words        0 … 0 | entries u32 | peers as two u32
 *     SHA-256 of all before, 32 bytes
 *
 *     entry, words        0…4 info-hash | family << 24 | peers (24 bits) | completed | peers …
 *     peer                as in memory (endpoint.ts), with the age in ticks instead of the tick
 *
 * Words are little endian, the bits of the age as in age.ts with the age itself in the low 15. An info-hash of zeros is told from the end by
 * its family. A file is written beside its place, flushed to the disk and renamed, so there is always a whole one;
 * it is read twice: once to check it, once to load it.
 *
 * Ages. The time away is the difference of the wall clocks, the only ones that go on; a clock that went back counts as no
 * time away. Who is older than MAX_LIFETIME_MS is left out.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoOf } from '../base/index.ts'
import { AGE_MODULUS, ageTicks, MAX_LIFETIME_TICKS, SEEDER_BIT, TICK_MS } from './age.ts'
import type { Core } from './core.ts'
import { peerStoreError } from './errors.ts'
import { H_TICK, S_SWARMS } from './layout.ts'
import { SegmentWalk } from './segment-walk.ts'
import { SwarmCursor } from './swarm-list.ts'
import type { SwarmPeers } from './swarm-peers.ts'

const MAGIC = 'SEEDPEER'
const VERSION = 1
const HEADER_BYTES = 64
const DIGEST_BYTES = 32
const END_WORDS = 8
const ENTRY_WORDS = 7
/** Entries are written and read in pieces of about this size. */
const CHUNK_WORDS = 1 << 18
/** Most peers of one entry, so that an entry fits a chunk with room to spare. */
const ENTRY_PEERS = 8192
const WHOLE = 2 ** 32

/**
 * Returns the number of peers saved. Other threads may go on: each entry is of one moment. Rejects with PEER_STORE_SNAPSHOT_FOREIGN or
 * PEER_STORE_SNAPSHOT_NEWER, and leaves what is there, where it would destroy something else.
 */
export async function saveSnapshot(core: Core, path: string, wallMs: number): Promise<number> {
  await checkPlace(path)
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w')
  let peers = 0
  try {
    const writer = new Writer(file)
    await writer.header(wallMs)
    const encoder = new Encoder(core)
    for (let more = true; more; ) {
      more = encoder.fill()
      await writer.words(encoder.words, encoder.length)
    }
    peers = encoder.peers
    await writer.end(encoder.entries, peers)
    await file.sync()
  } catch (error) {
    await file.close()
    await rm(temporary, { force: true })
    throw error
  }
  await file.close()
  await rename(temporary, path)
  // The new name is durable only when its directory is.
  const directory = await open(dirname(path), 'r')
  await directory.sync().finally(() => directory.close())
  return peers
}

/** Returns the number of peers loaded. Rejects without having changed the store, unless memory runs out: then the rest is refused. */
export async function loadSnapshot(core: Core, path: string, wallMs: number): Promise<number> {
  if (core.sum(S_SWARMS) !== 0) {
    throw peerStoreError(
      'PEER_STORE_NOT_EMPTY',
      `${path} cannot be loaded: the store has swarms already`,
    )
  }
  const file = await open(path, 'r')
  try {
    const size = (await file.stat()).size
    const header = await check(file, size, path)
    const awayTicks = Math.min(
      AGE_MODULUS,
      Math.max(0, Math.round((wallMs - header.wallMs) / TICK_MS)),
    )
    const decoder = new Decoder(core, awayTicks, header.tickMs / TICK_MS)
    const end = size - DIGEST_BYTES - END_WORDS * 4
    const buffer = new Int32Array(CHUNK_WORDS)
    let kept = 0
    for (let at = HEADER_BYTES; at < end; ) {
      const bytes = Math.min(end - at, (CHUNK_WORDS - kept) * 4)
      await readAll(file, new Uint8Array(buffer.buffer, kept * 4, bytes), at)
      at += bytes
      const words = kept + bytes / 4
      const used = decoder.decode(buffer, words)
      buffer.copyWithin(0, used, words)
      kept = words - used
    }
    return decoder.peers
  } finally {
    await file.close()
  }
}

interface Header {
  readonly wallMs: number
  readonly tickMs: number
}

/** Reads all of the file once: nothing is believed before its digest is right. */
async function check(file: FileHandle, size: number, path: string): Promise<Header> {
  const head = await headOf(file, size, path)
  const torn = (what: string): Error =>
    peerStoreError('PEER_STORE_SNAPSHOT_TORN', `${path} ${what}`, {
      mend: 'Remove it: the store then starts empty.',
    })
  const body = size - DIGEST_BYTES
  if (body < HEADER_BYTES + END_WORDS * 4 || body % 4 !== 0) throw torn(`ends at ${size} bytes`)
  const hash = createHash('sha256')
  const buffer = Buffer.alloc(CHUNK_WORDS * 4)
  for (let at = 0; at < body; ) {
    const part = buffer.subarray(0, Math.min(buffer.length, body - at))
    await readAll(file, part, at)
    hash.update(part)
    at += part.length
  }
  const digest = Buffer.alloc(DIGEST_BYTES)
  await readAll(file, digest, body)
  if (!hash.digest().equals(digest)) throw torn('does not have the checksum that it says')
  const header = { tickMs: head.readUInt32LE(12), wallMs: head.readDoubleLE(16) }
  // Peers of no age would stay for ever.
  if (header.tickMs === 0 || !Number.isFinite(header.wallMs)) throw torn('has no time that can be')
  return header
}

/** The header of a snapshot that this program can read, as far as the header says. */
async function headOf(file: FileHandle, size: number, path: string): Promise<Buffer> {
  const head = Buffer.alloc(HEADER_BYTES)
  await readAll(file, head.subarray(0, Math.min(size, HEADER_BYTES)), 0)
  if (head.toString('latin1', 0, 8) !== MAGIC) throw foreign(path)
  const version = head.readUInt32LE(8)
  if (version > VERSION) {
    throw peerStoreError(
      'PEER_STORE_SNAPSHOT_NEWER',
      `${path} has version ${version} of the snapshot's format; this program knows up to ${VERSION}`,
      { mend: 'Use the program that wrote it, or remove it: the store then starts empty.' },
    )
  }
  return head
}

function foreign(path: string): Error {
  return peerStoreError(
    'PEER_STORE_SNAPSHOT_FOREIGN',
    `${path} is not a snapshot of a peer store`,
    { mend: 'Name another file, or remove this one: the store then starts empty.' },
  )
}

/** A snapshot takes the place of another, or of nothing: not of somebody's file, nor of what a newer program kept. */
async function checkPlace(path: string): Promise<void> {
  let size: number
  try {
    const facts = await stat(path)
    if (!facts.isFile()) throw foreign(path)
    size = facts.size
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  if (size === 0) return
  const file = await open(path, 'r')
  await headOf(file, size, path).finally(() => file.close())
}

async function readAll(file: FileHandle, target: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < target.length; ) {
    const { bytesRead } = await file.read(target, at, target.length - at, position + at)
    if (bytesRead === 0) throw peerStoreError('PEER_STORE_SNAPSHOT_TORN', 'the snapshot shrank')
    at += bytesRead
  }
}

class Writer {
  readonly #file: FileHandle
  readonly #hash = createHash('sha256')

  constructor(file: FileHandle) {
    this.#file = file
  }

  async header(wallMs: number): Promise<void> {
    const head = Buffer.alloc(HEADER_BYTES)
    head.write(MAGIC, 'latin1')
    head.writeUInt32LE(VERSION, 8)
    head.writeUInt32LE(TICK_MS, 12)
    head.writeDoubleLE(wallMs, 16)
    await this.#write(head)
  }

  async words(words: Int32Array, length: number): Promise<void> {
    await this.#write(new Uint8Array(words.buffer, words.byteOffset, length * 4))
  }

  async end(entries: number, peers: number): Promise<void> {
    const end = new Int32Array(END_WORDS)
    end[5] = entries | 0
    end[6] = peers | 0
    end[7] = Math.floor(peers / WHOLE)
    await this.words(end, END_WORDS)
    await this.#file.write(this.#hash.digest())
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes)
    for (let at = 0; at < bytes.length; ) {
      at += (await this.#file.write(bytes, at, bytes.length - at)).bytesWritten
    }
  }
}

/** Walks over the store, a segment a lock, and leaves entries in `words`. */
class Encoder {
  words: Int32Array = new Int32Array(CHUNK_WORDS)
  length = 0
  entries = 0
  peers = 0
  readonly #core: Core
  readonly #walk: SegmentWalk
  readonly #cursor = new SwarmCursor()

  constructor(core: Core) {
    this.#core = core
    this.#walk = new SegmentWalk(core)
  }

  /** Fills a chunk. False: it was the last. */
  fill(): boolean {
    const { peers4, peers6 } = this.#core
    const walk = this.#walk
    this.length = 0
    while (this.length < CHUNK_WORDS / 2) {
      if (!walk.begin(this.#cursor)) return false
      for (let i = 0; i < walk.count; i++) {
        this.#swarm(peers4, walk.records[i]!)
        this.#swarm(peers6, walk.records[i]!)
      }
      walk.end(this.#cursor, true)
    }
    return true
  }

  #swarm(peers: SwarmPeers, record: number): void {
    peers.open(record)
    const { completed } = peers
    if (peers.count === 0 && completed === 0) return
    const { sampler } = this.#core
    const seeders = peers.all(true, sampler)
    this.#role(peers, record, seeders, completed)
    if (peers.count === seeders) return
    this.#role(peers, record, peers.all(false, sampler), seeders === 0 ? completed : 0)
  }

  #role(peers: SwarmPeers, record: number, count: number, completed: number): void {
    for (let from = 0; from < count || (from === 0 && completed > 0); from += ENTRY_PEERS) {
      const part = Math.min(ENTRY_PEERS, count - from)
      this.#entry(peers, record, from, part, from === 0 ? completed : 0)
    }
  }

  #entry(peers: SwarmPeers, record: number, from: number, count: number, completed: number): void {
    const { words: memory, sampler } = this.#core
    const { endpoint } = peers
    const size = ENTRY_WORDS + count * endpoint.peerWords
    if (this.length + size > this.words.length) this.#enlarge(size)
    const { words } = this
    const now = memory[H_TICK]!
    let to = this.length
    for (let i = 0; i < 5; i++) words[to++] = memory[record + i]!
    words[to++] = (endpoint.family << 24) | count
    words[to++] = completed
    for (let i = from; i < from + count; i++) {
      const at = sampler.chosen[i]!
      for (let w = 0; w < endpoint.addressWords; w++) words[to++] = memory[at + w]!
      const last = memory[at + endpoint.addressWords]!
      words[to++] = (last & ~0x7fff) | ageTicks(now, last & 0xffff)
    }
    this.length = to
    this.entries++
    this.peers += count
  }

  /** A segment of large swarms, or one swarm of millions, may be more than a chunk. */
  #enlarge(size: number): void {
    const larger = new Int32Array(Math.max(this.words.length * 2, this.length + size))
    larger.set(this.words)
    this.words = larger
  }
}

class Decoder {
  peers = 0
  readonly #core: Core
  readonly #awayTicks: number
  /** Ticks of the file's length in ours. */
  readonly #tickRatio: number
  readonly #places = new Int32Array(64)
  /** Keeps the loads of `#touch` alive. */
  #sink = 0

  constructor(core: Core, awayTicks: number, tickRatio: number) {
    this.#core = core
    this.#awayTicks = awayTicks
    this.#tickRatio = tickRatio
  }

  /** Puts the whole entries among the first `length` words. Returns how many words they were. */
  decode(words: Int32Array, length: number): number {
    let at = 0
    for (let touched = 0; length - at >= ENTRY_WORDS; ) {
      if (at >= touched) touched = this.#touch(words, at, length)
      const size = entryWords(words, at)
      if (at + size > length) break
      const { peers4, peers6 } = this.#core
      const head = words[at + 5]!
      this.#entry(words, at, head >>> 24 === 4 ? peers4 : peers6, head & 0xffffff)
      at += size
    }
    return at
  }

  /** Touches where the next entries will be put, so that their cache misses overlap. Returns where they end. */
  #touch(words: Int32Array, from: number, length: number): number {
    const { table, words: memory } = this.#core
    const places = this.#places
    let at = from
    let count = 0
    while (count < places.length && length - at >= ENTRY_WORDS) {
      table.enterWords(words, at)
      places[count++] = table.touch()
      at += entryWords(words, at)
    }
    let sink = 0
    for (let i = 0; i < count; i++) sink ^= memory[places[i]!]!
    this.#sink ^= sink
    return at
  }

  #entry(words: Int32Array, at: number, peers: SwarmPeers, count: number): void {
    const core = this.#core
    const { table, words: memory } = core
    const { endpoint } = peers
    const now = memory[H_TICK]!
    table.enterWords(words, at)
    core.lock(table.shard)
    let record = 0
    let from = at + ENTRY_WORDS
    for (let i = 0; i < count; i++, from += endpoint.peerWords) {
      const last = words[from + endpoint.addressWords]!
      const age = Math.ceil((last & 0x7fff) * this.#tickRatio) + this.#awayTicks
      if (age > MAX_LIFETIME_TICKS) continue
      record = core.findOrInsert()
      if (record === 0) break
      endpoint.a = words[from]!
      if (endpoint.family === 6) {
        endpoint.b = words[from + 1]!
        endpoint.c = words[from + 2]!
        endpoint.d = words[from + 3]!
      }
      endpoint.port = last >>> 16
      const put = (((now - age) % AGE_MODULUS) + AGE_MODULUS) % AGE_MODULUS
      this.#put(peers, record, (last & SEEDER_BIT) | (put + 1))
    }
    const completed = words[at + 6]!
    record = completed > 0 ? table.find() : 0
    if (record !== 0) {
      peers.open(record)
      peers.addCompleted(completed)
    }
    core.unlock(table.shard)
  }

  #put(peers: SwarmPeers, record: number, meta: number): void {
    const core = this.#core
    const seeder = (meta & SEEDER_BIT) !== 0
    peers.open(record)
    if (!peers.find(seeder) && peers.add(meta)) {
      core.count(core.table.shard, peers, seeder ? 1 : 0, seeder ? 0 : 1)
      this.peers++
      return
    }
    core.dropIfEmpty(record)
  }
}

/** Words of the entry at `at`. */
function entryWords(words: Int32Array, at: number): number {
  const family = words[at + 5]! >>> 24
  const count = words[at + 5]! & 0xffffff
  const size = ENTRY_WORDS + count * (family === 4 ? 2 : 5)
  if ((family === 4 || family === 6) && size <= CHUNK_WORDS) return size
  // The checksum was right: what wrote this was not this program.
  throw peerStoreError('PEER_STORE_SNAPSHOT_TORN', 'the snapshot has an entry that cannot be')
}
