/**
 * One torrent's stripes in memory: where chunks land, are hashed, and wait until their stripe is whole
 * and goes to the disk in one write.
 *
 * ```
 * admit -> open -> chunks land -> a piece is whole -> SHA-1 -> its part is ready
 *            ^                                                     |
 *            |                      all parts claimed are ready: quiet
 *            |                                                     |
 *            |        whole: write now      else: wait for the neighbour, for pressure, or for idleness
 *            `-- released <- written <-----------------------------'
 * ```
 *
 * A piece that spans stripes is hashed in order, stripe by stripe. Its part of a stripe is ready as soon
 * as the hash has passed it, so that a stripe never waits for one that found no memory: a pool of one
 * buffer is enough for a piece of any size. What is written of a piece that then fails is garbage that no
 * have-bit names. A chunk that lies in two stripes needs only the first: the rest of it is carried until
 * the second finds a buffer.
 *
 * Invariants:
 * - A buffer is written to by peers only where chunks of pieces are that are not ready; what is on its
 *   way to the disk does not change.
 * - A piece is marked held on the volume only when it was verified and all its parts have been written.
 * - `pending` of a stripe is the number of claimed parts that are not ready; it is released only at 0.
 */
import { createHash, type Hash } from 'node:crypto'
import { assert, bytesEqual, type Clock } from '../base/index.ts'
import type { StoredTorrent } from '../filesystem/index.ts'
import { CHUNK_BYTES, type Geometry } from './geometry.ts'
import type { Picker } from './picker.ts'
import type { PoolMember, StripePool } from './stripe-pool.ts'
import type { WriteJob, WriteQueue } from './write-queue.ts'

/** State of a piece's part of a stripe: not there, there and to be written, there and written. */
const Part = { absent: 0, fresh: 1, written: 2 } as const

interface Stripe {
  readonly index: number
  readonly buffer: Uint8Array
  readonly firstPiece: number
  readonly parts: Uint8Array
  /** Extents that download into it. */
  claims: number[]
  pending: number
  freshBytes: number
  writing: boolean
  touchedMs: number
}

/** A piece that lies in several stripes. */
interface Span {
  readonly hash: Hash
  /** Chunks received without a gap from the first. */
  chunks: number
  /** Parts whose bytes have gone into the hash; the next one's stripe is `firstStripe + hashed`. */
  hashed: number
  unwritten: number
  verified: boolean
}

export interface StripeCacheEvents {
  verified(piece: number): void
  /** `senders` are the ids of the picker's peers that delivered the chunks; `chunk` reads what they sent. */
  hashFailed(piece: number, senders: Int32Array): void
  /** The volume has the piece; not durable before its next sync. */
  held(piece: number): void
  failed(error: Error): void
  onRoom(): void
}

export class StripeCache implements PoolMember {
  held = 0
  readonly #geometry: Geometry
  readonly #stored: StoredTorrent
  readonly #pieceHashes: Uint8Array
  readonly #picker: Picker
  readonly #pool: StripePool
  readonly #writes: WriteQueue
  readonly #clock: Clock
  readonly #events: StripeCacheEvents
  readonly #stripes = new Map<number, Stripe>()
  readonly #spans = new Map<number, Span>()
  /** The first bytes of stripes that have no buffer yet: the ends of chunks that lie in two. */
  readonly #carried = new Map<number, { readonly extent: number; readonly bytes: Uint8Array }>()
  /** Whole pieces whose last stripe has no buffer yet. */
  readonly #stuck = new Set<number>()
  #idleWaiters: (() => void)[] = []
  #writing = 0
  /** An admission was refused because of a write in flight. */
  #refused = false
  #closed = false

  constructor(options: {
    readonly geometry: Geometry
    readonly stored: StoredTorrent
    readonly pieceHashes: Uint8Array
    readonly picker: Picker
    readonly pool: StripePool
    readonly writes: WriteQueue
    readonly clock: Clock
    readonly events: StripeCacheEvents
  }) {
    this.#geometry = options.geometry
    this.#stored = options.stored
    this.#pieceHashes = options.pieceHashes
    this.#picker = options.picker
    this.#pool = options.pool
    this.#writes = options.writes
    this.#clock = options.clock
    this.#events = options.events
    this.#pool.join(this)
  }

  /** Stripes in memory. */
  get open(): number {
    return this.#stripes.size
  }

  /** The picker's `admit`: a buffer for the stripe, which `extent` is going to fill. */
  admit(index: number, extent: number): boolean {
    let stripe = this.#stripes.get(index)
    if (stripe === undefined) {
      if (this.#closed) return false
      const buffer = this.#pool.take(this)
      if (buffer === undefined) return false
      const firstPiece = this.#geometry.firstPieceIn(index)
      stripe = {
        index,
        buffer,
        firstPiece,
        parts: new Uint8Array(this.#geometry.lastPieceIn(index) - firstPiece + 1),
        claims: [],
        pending: 0,
        freshBytes: 0,
        writing: false,
        touchedMs: this.#clock.monotonicMs(),
      }
      this.#stripes.set(index, stripe)
    } else if (stripe.writing && stripe.pending === 0) {
      // It is about to be released; `onRoom` says when to ask again.
      this.#refused = true
      return false
    }
    if (!stripe.claims.includes(extent)) {
      stripe.claims.push(extent)
      this.#eachPart(stripe, extent, (at) => {
        if (stripe.parts[at] === Part.absent) stripe.pending++
      })
      const carried = this.#carried.get(index)
      if (carried?.extent === extent) {
        stripe.buffer.set(carried.bytes)
        this.#carried.delete(index)
      }
    }
    return true
  }

  /** Where the chunk's bytes go, or null when they lie in two stripes (then `put` them). */
  target(piece: number, begin: number, length: number): Uint8Array | null {
    const offset = this.#geometry.pieceOffset(piece) + begin
    const index = Math.floor(offset / this.#geometry.stripeBytes)
    const at = offset - index * this.#geometry.stripeBytes
    if (at + length > this.#geometry.stripeBytes) return null
    return this.#stripes.get(index)!.buffer.subarray(at, at + length)
  }

  /** Copies a chunk that lies in two stripes, the first of which has a buffer. */
  put(piece: number, begin: number, bytes: Uint8Array): void {
    const { stripeBytes } = this.#geometry
    const offset = this.#geometry.pieceOffset(piece) + begin
    const index = Math.floor(offset / stripeBytes)
    const at = offset - index * stripeBytes
    const head = stripeBytes - at
    this.#stripes.get(index)!.buffer.set(bytes.subarray(0, head), at)
    const extent = this.#geometry.extentOf(piece)
    const next = this.#stripes.get(index + 1)
    if (next?.claims.includes(extent)) next.buffer.set(bytes.subarray(head))
    else this.#carried.set(index + 1, { extent, bytes: bytes.slice(head) })
  }

  /** The picker has been told that a chunk of the piece was received: hashes what became whole. */
  landed(piece: number): void {
    const geometry = this.#geometry
    const first = geometry.firstStripe(piece)
    if (first !== geometry.lastStripe(piece)) {
      this.#advance(piece, first)
      return
    }
    if (!this.#picker.isWhole(piece)) return
    const stripe = this.#stripes.get(first)!
    const digest = createHash('sha1').update(this.#part(stripe, piece)).digest()
    if (!this.#matches(piece, digest)) this.#fail(piece)
    else {
      this.#picker.pieceVerified(piece)
      this.#ready(stripe, piece)
      this.#verified(piece)
    }
  }

  /**
   * Copies bytes of a verified piece as far as they are in memory. Returns how many from `begin` on: 0
   * means that the first of them is on the disk.
   */
  copy(piece: number, begin: number, target: Uint8Array): number {
    const { stripeBytes } = this.#geometry
    const offset = this.#geometry.pieceOffset(piece) + begin
    let done = 0
    while (done < target.length) {
      const index = Math.floor((offset + done) / stripeBytes)
      const stripe = this.#stripes.get(index)
      if (stripe === undefined || stripe.parts[piece - stripe.firstPiece] === Part.absent) break
      const at = offset + done - index * stripeBytes
      const count = Math.min(target.length - done, stripeBytes - at)
      target.set(stripe.buffer.subarray(at, at + count), done)
      done += count
    }
    return done
  }

  /** A chunk of a piece in progress as it lies in its stripe; undefined when it does not any more. */
  chunk(piece: number, chunk: number): Uint8Array | undefined {
    const { stripeBytes } = this.#geometry
    const offset = this.#geometry.pieceOffset(piece) + chunk * CHUNK_BYTES
    const index = Math.floor(offset / stripeBytes)
    const at = offset - index * stripeBytes
    const length = this.#geometry.chunkLength(piece, chunk)
    if (at + length > stripeBytes) return undefined
    return this.#stripes.get(index)?.buffer.subarray(at, at + length)
  }

  /** Gives up extents without progress for `stalledMs` when others wait for memory; writes idle stripes. */
  tick(nowMs: number, idleMs: number): void {
    for (const stripe of [...this.#stripes.values()]) {
      if (nowMs - stripe.touchedMs < idleMs) continue
      for (const extent of [...stripe.claims]) this.#abandonStalled(extent, nowMs, idleMs)
      this.#settle(stripe, true)
    }
  }

  #abandonStalled(extent: number, nowMs: number, idleMs: number): void {
    const active = this.#picker.active.find(({ index }) => index === extent)
    if (active === undefined || nowMs - active.lastProgressMs < idleMs) return
    // Chunks that have arrived are worth their memory as long as nobody else needs it.
    if (this.held < this.#pool.share && this.#pool.held < this.#pool.capacity) return
    if (!this.#picker.abandon(extent)) return
    for (let piece = active.firstPiece; piece < active.firstPiece + active.pieceCount; piece++) {
      if (!this.#picker.isHad(piece)) this.#forget(piece)
    }
    for (const stripe of [...this.#stripes.values()]) this.#unclaim(stripe, extent)
  }

  reliefBytes(): number {
    let most = 0
    for (const stripe of this.#stripes.values()) {
      if (stripe.pending === 0 && !stripe.writing) most = Math.max(most, stripe.freshBytes)
    }
    return most
  }

  relieve(): void {
    const bytes = this.reliefBytes()
    for (const stripe of this.#stripes.values()) {
      if (stripe.pending > 0 || stripe.writing || stripe.freshBytes !== bytes) continue
      this.#write(stripe, false)
      return
    }
  }

  onRoom(): void {
    const stuck = [...this.#stuck]
    this.#stuck.clear()
    for (const piece of stuck) this.landed(piece)
    this.#events.onRoom()
  }

  /** Every piece has been verified: writes what waited for a neighbour. */
  finish(): void {
    for (const stripe of [...this.#stripes.values()]) this.#settle(stripe, true)
  }

  /**
   * Writes the verified parts of all stripes and resolves when nothing is in flight any more. Nothing is
   * admitted after this; peers must have been cut off.
   */
  async close(): Promise<void> {
    this.#closed = true
    for (;;) {
      for (const stripe of [...this.#stripes.values()]) {
        if (!stripe.writing) this.#writeVerified(stripe)
      }
      if (this.#writing === 0) break
      await new Promise<void>((resolve) => this.#idleWaiters.push(resolve))
    }
    this.#pool.leave(this)
  }

  /** The last write of a stripe: nothing more comes. */
  #writeVerified(stripe: Stripe): void {
    for (const [at, part] of stripe.parts.entries()) {
      const piece = stripe.firstPiece + at
      if (part !== Part.fresh || this.#picker.isHad(piece)) continue
      stripe.parts[at] = Part.absent
      stripe.freshBytes -= this.#part(stripe, piece).length
    }
    stripe.pending = 0
    if (stripe.freshBytes === 0) this.#release(stripe)
    else this.#write(stripe, false)
  }

  /** Drops what is not being written; resolves when that is over too. Peers must have been cut off. */
  async drop(): Promise<void> {
    this.#closed = true
    for (const job of this.#writes.withdraw(this)) job.failed(ABANDONED)
    for (const stripe of [...this.#stripes.values()]) if (!stripe.writing) this.#release(stripe)
    this.#pool.leave(this)
    while (this.#writing > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve))
  }

  /** Hashes a spanning piece as far as its chunks have arrived without a gap. */
  #advance(piece: number, first: number): void {
    const geometry = this.#geometry
    let span = this.#spans.get(piece)
    if (span === undefined) {
      const parts = geometry.lastStripe(piece) - first + 1
      const hash = createHash('sha1')
      span = { hash, chunks: 0, hashed: 0, unwritten: parts, verified: false }
      this.#spans.set(piece, span)
    }
    const chunkCount = geometry.chunkCount(piece)
    while (span.chunks < chunkCount && this.#picker.hasChunk(piece, span.chunks)) span.chunks++
    const length = geometry.pieceLength(piece)
    const arrived = Math.min(span.chunks * CHUNK_BYTES, length)
    const offset = geometry.pieceOffset(piece)
    for (;;) {
      const index = first + span.hashed
      const end = Math.min((index + 1) * geometry.stripeBytes - offset, length)
      if (end > arrived || span.verified) return
      const stripe = this.#stripes.get(index)
      if (stripe === undefined || !stripe.claims.includes(geometry.extentOf(piece))) {
        // Only the end of its last chunk lies there.
        if (!this.admit(index, geometry.extentOf(piece))) {
          this.#stuck.add(piece)
          return
        }
        continue
      }
      span.hash.update(this.#part(stripe, piece))
      span.hashed++
      if (end === length) {
        if (!this.#matches(piece, span.hash.digest())) {
          this.#fail(piece)
          return
        }
        span.verified = true
        this.#picker.pieceVerified(piece)
      }
      this.#ready(stripe, piece)
      if (span.verified) {
        this.#verified(piece)
        return
      }
    }
  }

  #matches(piece: number, digest: Uint8Array): boolean {
    return bytesEqual(digest, this.#pieceHashes.subarray(piece * 20, piece * 20 + 20))
  }

  #verified(piece: number): void {
    this.#events.verified(piece)
  }

  #fail(piece: number): void {
    const senders = this.#picker.senders(piece)
    this.#events.hashFailed(piece, senders)
    this.#forget(piece)
    this.#picker.pieceFailed(piece)
  }

  /** What is in memory of the piece is not its content. */
  #forget(piece: number): void {
    this.#spans.delete(piece)
    this.#stuck.delete(piece)
    const extent = this.#geometry.extentOf(piece)
    const last = this.#geometry.lastStripe(piece)
    for (let index = this.#geometry.firstStripe(piece); index <= last; index++) {
      if (this.#carried.get(index)?.extent === extent) this.#carried.delete(index)
      const stripe = this.#stripes.get(index)
      // One on its way to the disk is released when it gets there, and opened again for the new try.
      if (stripe === undefined || stripe.writing) continue
      const at = piece - stripe.firstPiece
      if (stripe.parts[at] === Part.fresh) {
        stripe.parts[at] = Part.absent
        stripe.freshBytes -= this.#part(stripe, piece).length
        stripe.pending++
      }
      // The new try begins in its first stripe, which may need the memory of the others.
      if (index > this.#geometry.firstStripe(piece)) this.#unclaim(stripe, extent)
    }
  }

  /** The extent does not download into the stripe any more. */
  #unclaim(stripe: Stripe, extent: number): void {
    if (!stripe.claims.includes(extent)) return
    this.#eachPart(stripe, extent, (at) => {
      if (stripe.parts[at] === Part.absent) stripe.pending--
    })
    stripe.claims = stripe.claims.filter((other) => other !== extent)
    if (stripe.pending === 0 && stripe.freshBytes === 0 && !stripe.writing) this.#release(stripe)
  }

  #ready(stripe: Stripe, piece: number): void {
    const at = piece - stripe.firstPiece
    assert(stripe.parts[at] === Part.absent, `piece ${piece} is ready twice`)
    stripe.parts[at] = Part.fresh
    stripe.freshBytes += this.#part(stripe, piece).length
    stripe.pending--
    stripe.touchedMs = this.#clock.monotonicMs()
    this.#settle(stripe, false)
  }

  /** Writes a stripe that is whole; or, when `idle`, whatever of it is verified. */
  #settle(stripe: Stripe, idle: boolean): void {
    if (stripe.writing || !this.#stripes.has(stripe.index)) return
    if (stripe.freshBytes === 0) {
      if (stripe.pending === 0) this.#release(stripe)
      return
    }
    if (stripe.pending === 0 && (idle || this.#isWhole(stripe))) this.#write(stripe, false)
    else if (idle) this.#write(stripe, true)
  }

  #isWhole(stripe: Stripe): boolean {
    for (const [at, part] of stripe.parts.entries()) {
      if (part === Part.absent && !this.#picker.isHad(stripe.firstPiece + at)) return false
    }
    return true
  }

  /** The bytes of `piece` in the stripe's buffer. */
  #part(stripe: Stripe, piece: number): Uint8Array {
    const start = stripe.index * this.#geometry.stripeBytes
    const from = Math.max(0, this.#geometry.pieceOffset(piece) - start)
    const to = this.#geometry.pieceOffset(piece) + this.#geometry.pieceLength(piece) - start
    return stripe.buffer.subarray(from, Math.min(to, this.#geometry.stripeBytes))
  }

  /** Calls back for every missing piece of the extent that lies in the stripe. */
  #eachPart(stripe: Stripe, extent: number, call: (at: number) => void): void {
    const first = Math.max(stripe.firstPiece, this.#geometry.firstPiece(extent))
    const end = Math.min(stripe.firstPiece + stripe.parts.length, this.#geometry.endPiece(extent))
    for (let piece = first; piece < end; piece++) {
      if (!this.#picker.isHad(piece)) call(piece - stripe.firstPiece)
    }
  }

  /**
   * Sends the fresh parts to the disk. A stripe that is quiet is released afterwards; from one that is
   * not (`verifiedOnly`), parts of unverified pieces are left out, since they may yet change.
   */
  #write(stripe: Stripe, verifiedOnly: boolean): void {
    const written: { piece: number; span: Span | undefined }[] = []
    const runs: { from: number; to: number }[] = []
    const base = stripe.buffer.byteOffset
    for (const [at, part] of stripe.parts.entries()) {
      const piece = stripe.firstPiece + at
      if (part !== Part.fresh || (verifiedOnly && !this.#picker.isHad(piece))) continue
      const bytes = this.#part(stripe, piece)
      const from = bytes.byteOffset - base
      const run = runs.at(-1)
      if (run?.to === from) run.to += bytes.length
      else runs.push({ from, to: from + bytes.length })
      stripe.parts[at] = Part.written
      stripe.freshBytes -= bytes.length
      written.push({ piece, span: this.#spans.get(piece) })
    }
    if (runs.length === 0) return
    stripe.writing = true
    this.#writing++
    const start = stripe.index * this.#geometry.stripeBytes
    const finish = (): void => {
      stripe.writing = false
      if (stripe.pending === 0 && stripe.freshBytes === 0) this.#release(stripe)
      this.#writing--
      if (this.#refused) {
        this.#refused = false
        this.onRoom()
      }
      if (this.#writing > 0) return
      for (const resolve of this.#idleWaiters) resolve()
      this.#idleWaiters = []
    }
    const job: WriteJob = {
      owner: this,
      stripe: stripe.index,
      run: async () => {
        for (const { from, to } of runs) {
          await this.#stored.write(start + from, stripe.buffer.subarray(from, to))
        }
      },
      done: () => {
        for (const { piece, span } of written) this.#partWritten(piece, span)
        finish()
        if (stripe.freshBytes > 0) this.#settle(stripe, false)
      },
      failed: (error) => {
        finish()
        if (error !== ABANDONED) this.#events.failed(error)
      },
    }
    this.#writes.add(job)
  }

  #partWritten(piece: number, span: Span | undefined): void {
    if (span !== undefined) {
      span.unwritten--
      // One that failed meanwhile is never verified: its garbage counts for nothing, the next try has its own.
      if (span.unwritten > 0 || !span.verified) return
      this.#spans.delete(piece)
    }
    this.#stored.markHave(piece)
    this.#events.held(piece)
  }

  #release(stripe: Stripe): void {
    assert(!stripe.writing, 'a stripe is released on its way to the disk')
    if (!this.#stripes.delete(stripe.index)) return
    this.#pool.give(this, stripe.buffer)
  }
}

const ABANDONED = new Error('the torrent was stopped before the write began')
