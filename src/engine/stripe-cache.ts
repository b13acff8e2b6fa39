/**
 * One torrent's stripes in memory: where chunks land, are hashed, and wait until their stripe is whole
 * and goes to the disk in one write.
 *
 * ```
 * admit -> open -> chunks land -> a piece is whole -> hashed -> its part is ready
 *            ^                                                      |
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
 * Hashing may take its time (hasher.ts): a piece that is whole waits for it as it would for a chunk, its part absent and the
 * memory held.
 *
 * Invariants:
 * - A buffer is written to by peers only where chunks of pieces are that are not ready; what is on its
 *   way to the disk does not change.
 * - A buffer goes back to the pool once; its stripe is forgotten by then, and may be open anew. What is still being hashed
 *   of it has been cancelled.
 * - A piece is marked held on the volume only when it was verified and all its parts have been written.
 */
import { assert, type Clock, copyBytes, SeedbedError } from '../base/index.ts'
import type { PieceHashes } from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import { engineError } from './errors.ts'
import { CHUNK_BYTES, type Geometry } from './geometry.ts'
import type { Hasher } from './hasher.ts'
import type { Picker } from './picker.ts'
import { type Finding, PieceChecks, type RunningCheck } from './piece-checks.ts'
import { Span } from './span.ts'
import { Stripe } from './stripe.ts'
import type { PoolMember, StripePool } from './stripe-pool.ts'
import { StripeWrites, WITHDRAWN } from './stripe-writes.ts'
import type { WriteQueue } from './write-queue.ts'

export interface StripeCacheEvents {
  verified(piece: number): void
  /**
   * `senders` are the ids of the picker's peers that delivered the chunks; `chunk` reads what they sent. Answers which
   * chunks are wrong; undefined: all may be; `wait`: `judge` will be told.
   */
  hashFailed(piece: number, senders: Int32Array): readonly number[] | 'wait' | undefined
  /** The volume has the piece; not durable before its next sync. */
  held(piece: number): void
  failed(error: Error): void
  onRoom(): void
}

export class StripeCache implements PoolMember {
  held = 0
  readonly #geometry: Geometry
  readonly #stored: StoredTorrent
  readonly #checks: PieceChecks
  readonly #picker: Picker
  readonly #pool: StripePool
  readonly #writes: StripeWrites
  readonly #clock: Clock
  readonly #events: StripeCacheEvents
  readonly #stripes = new Map<number, Stripe>()
  readonly #spans = new Map<number, Span>()
  /** Pieces of one stripe that are being hashed. */
  readonly #running = new Map<number, RunningCheck>()
  /** Pieces that failed, and of which the wrong chunks are about to be known. */
  readonly #questioned = new Set<number>()
  /** The first bytes of stripes that have no buffer yet: the ends of chunks that lie in two. */
  readonly #carried = new Map<number, { readonly extent: number; readonly bytes: Uint8Array }>()
  /** Whole pieces whose last stripe has no buffer yet. */
  readonly #stuck = new Set<number>()
  /** An admission was refused because of a write in flight. */
  #refused = false
  #closed = false
  #dropped = false

  constructor(options: {
    readonly geometry: Geometry
    readonly stored: StoredTorrent
    readonly hashes: PieceHashes
    readonly hasher: Hasher
    readonly picker: Picker
    readonly pool: StripePool
    readonly writes: WriteQueue
    readonly clock: Clock
    readonly events: StripeCacheEvents
  }) {
    this.#geometry = options.geometry
    this.#stored = options.stored
    this.#checks = new PieceChecks(options.hasher, options.hashes)
    this.#picker = options.picker
    this.#pool = options.pool
    this.#writes = new StripeWrites(options.stored, options.geometry.stripeBytes, options.writes)
    this.#clock = options.clock
    this.#events = options.events
    this.#pool.join(this)
  }

  get runLeft(): number {
    return this.#picker.runLeft * this.#geometry.stripesPerExtent
  }

  /** Stripes in memory. */
  get open(): number {
    return this.#stripes.size
  }

  /** The picker's `admit`: a buffer for the stripe, which `extent` is going to fill. */
  admit(index: number, extent: number, beginsRun = false): boolean {
    let stripe = this.#stripes.get(index)
    if (stripe === undefined) {
      if (this.#closed) return false
      const buffer = this.#pool.take(this, beginsRun)
      if (buffer === undefined) return false
      stripe = new Stripe(
        this.#geometry,
        index,
        buffer,
        (piece) => this.#picker.isHad(piece),
        this.#clock.monotonicMs(),
      )
      this.#stripes.set(index, stripe)
    } else if (stripe.writing && stripe.pending === 0) {
      // It is about to be released; `onRoom` says when to ask again.
      this.#refused = true
      return false
    }
    if (stripe.claim(extent)) {
      const carried = this.#carried.get(index)
      if (carried?.extent === extent) {
        copyBytes(stripe.buffer, 0, carried.bytes)
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
    copyBytes(this.#stripes.get(index)!.buffer, at, bytes.subarray(0, head))
    const extent = this.#geometry.extentOf(piece)
    const next = this.#stripes.get(index + 1)
    if (next?.isClaimedBy(extent)) copyBytes(next.buffer, 0, bytes.subarray(head))
    else this.#carried.set(index + 1, { extent, bytes: bytes.slice(head) })
  }

  /** The picker has been told that a chunk of the piece was received: hashes what became whole. */
  landed(piece: number): void {
    const geometry = this.#geometry
    const first = geometry.firstStripe(piece)
    if (first !== geometry.lastStripe(piece)) {
      this.#advance(piece)
      return
    }
    if (!this.#picker.isWhole(piece)) return
    const stripe = this.#stripes.get(first)!
    const check = this.#checks.begin(piece)
    this.#running.set(piece, check)
    let isLater = false
    check.update(stripe.bytesOf(piece), true, (finding) => {
      this.#running.delete(piece)
      const isRight = this.#isRight(piece, finding!)
      let hasRoom = !isRight
      if (isRight) {
        hasRoom = this.#picker.pieceVerified(piece)
        this.#ready(stripe, piece)
        this.#events.verified(piece)
      }
      // Whoever brought the last chunk is asked for more anyway, unless it is gone by now.
      if (isLater && hasRoom && !this.#closed) this.#events.onRoom()
    })
    isLater = true
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
      if (stripe === undefined || !stripe.isReady(piece)) break
      const at = offset + done - index * stripeBytes
      const count = Math.min(target.length - done, stripeBytes - at)
      copyBytes(target, done, stripe.buffer.subarray(at, at + count))
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

  /**
   * Gives up extents without progress for `idleMs` when others wait for memory; writes idle stripes, and of those that fill slowly
   * what was verified `lateMs` ago: it would be lost with a power cut.
   */
  tick(nowMs: number, idleMs: number, lateMs: number): void {
    for (const stripe of [...this.#stripes.values()]) {
      const isIdle = nowMs - stripe.touchedMs >= idleMs
      const isLate = stripe.freshBytes > 0 && nowMs - stripe.freshSinceMs >= lateMs
      if (isIdle) {
        for (const extent of [...stripe.claims]) this.#abandonStalled(extent, nowMs, idleMs)
      }
      if (isIdle || isLate) this.#settle(stripe, true)
    }
  }

  #abandonStalled(extent: number, nowMs: number, idleMs: number): void {
    const active = this.#picker.active.find(({ index }) => index === extent)
    if (active === undefined || nowMs - active.lastProgressMs < idleMs) return
    // Chunks that have arrived are worth their memory as long as nobody else needs it.
    if (this.held < this.#pool.share && this.#pool.held < this.#pool.capacity) return
    if (!this.#picker.abandon(extent, nowMs)) return
    const left: Stripe[] = []
    for (let piece = active.firstPiece; piece < active.firstPiece + active.pieceCount; piece++) {
      if (!this.#picker.isHad(piece)) left.push(...this.#forget(piece))
    }
    for (const stripe of this.#stripes.values()) if (stripe.unclaim(extent)) left.push(stripe)
    this.#releaseSpent(left)
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
    if (this.#closed) return
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
    // What was whole when the end came is held like all that is verified.
    if (this.#checks.underWay > 0) await this.#checks.idle()
    this.#cancelChecks()
    for (;;) {
      for (const stripe of [...this.#stripes.values()]) {
        if (!stripe.writing) this.#writeVerified(stripe)
      }
      if (this.#writes.underWay === 0) break
      await this.#writes.idle()
    }
    this.#pool.leave(this)
  }

  /** The last write of a stripe: nothing more comes. */
  #writeVerified(stripe: Stripe): void {
    stripe.keepVerified()
    if (stripe.freshBytes === 0) this.#release(stripe)
    else this.#write(stripe, false)
  }

  /** Drops what is not being written; resolves when that is over too. Peers must have been cut off. */
  async drop(): Promise<void> {
    this.#closed = true
    this.#dropped = true
    this.#cancelChecks()
    this.#writes.withdraw()
    for (const stripe of [...this.#stripes.values()]) if (!stripe.writing) this.#release(stripe)
    this.#pool.leave(this)
    await this.#writes.idle()
  }

  #cancelChecks(): void {
    for (const check of this.#running.values()) check.cancel()
    this.#running.clear()
    for (const span of this.#spans.values()) span.cancel()
  }

  /** Hashes a spanning piece as far as its chunks have arrived without a gap. */
  #advance(piece: number): void {
    const extent = this.#geometry.extentOf(piece)
    let span = this.#spans.get(piece)
    if (span === undefined) {
      span = new Span(this.#geometry, piece, this.#checks.begin(piece))
      this.#spans.set(piece, span)
    }
    const hasChunk = (chunk: number): boolean => this.#picker.hasChunk(piece, chunk)
    while (this.#spans.get(piece) === span) {
      if (span.busy || span.verified || !span.hasNext(hasChunk)) return
      const stripe = this.#stripes.get(span.nextStripe)
      if (stripe === undefined || !stripe.isClaimedBy(extent)) {
        // Only the end of its last chunk lies there.
        if (this.admit(span.nextStripe, extent)) continue
        this.#stuck.add(piece)
        return
      }
      this.#hashPart(piece, span, stripe)
    }
  }

  #hashPart(piece: number, span: Span, stripe: Stripe): void {
    let isLater = false
    span.take(stripe.bytesOf(piece), (finding) => {
      let hasRoom = false
      if (finding !== undefined && !this.#isRight(piece, finding)) hasRoom = true
      else {
        if (finding !== undefined) {
          span.verified = true
          hasRoom = this.#picker.pieceVerified(piece)
        }
        this.#ready(stripe, piece)
        if (span.verified) this.#events.verified(piece)
      }
      if (!isLater) return
      if (finding === undefined) this.#advance(piece)
      else if (hasRoom && !this.#closed) this.#events.onRoom()
    })
    isLater = true
  }

  /** False when it is not, after what follows from that. */
  #isRight(piece: number, finding: Finding): boolean {
    if (finding === 'right') return true
    assert(finding !== 'unknown', `piece ${piece} was downloaded before its hash was known`)
    if (finding === 'wrong') this.#fail(piece)
    else if (finding === 'lost') this.#free(piece, undefined)
    else {
      this.#events.failed(
        engineError(
          'ENGINE_TORN',
          `piece ${piece} is right by one of its hashes and wrong by the other`,
          {
            mend: 'Do not use the torrent: its v1 and v2 parts are of different content.',
          },
        ),
      )
    }
    return false
  }

  #fail(piece: number): void {
    const wrong = this.#events.hashFailed(piece, this.#picker.senders(piece))
    if (wrong === 'wait') this.#questioned.add(piece)
    else this.#free(piece, wrong)
  }

  /** A piece that failed lies there whole until it is known which of its chunks are wrong. */
  isQuestioned(piece: number): boolean {
    return this.#questioned.has(piece) && this.#picker.isWhole(piece)
  }

  /** These chunks of a piece that is questioned are wrong; undefined: all may be. */
  judge(piece: number, wrong: readonly number[] | undefined): void {
    if (this.isQuestioned(piece)) this.#free(piece, wrong)
    this.#questioned.delete(piece)
  }

  #free(piece: number, wrong: readonly number[] | undefined): void {
    if (wrong !== undefined && !this.#spans.has(piece)) {
      this.#picker.chunksFailed(piece, wrong)
      return
    }
    const left = this.#forget(piece)
    this.#picker.pieceFailed(piece)
    this.#releaseSpent(left)
  }

  /** What is in memory of the piece is not its content. Returns the stripes that it leaves. */
  #forget(piece: number): Stripe[] {
    this.#spans.get(piece)?.cancel()
    this.#spans.delete(piece)
    this.#running.get(piece)?.cancel()
    this.#running.delete(piece)
    this.#stuck.delete(piece)
    this.#questioned.delete(piece)
    const extent = this.#geometry.extentOf(piece)
    const first = this.#geometry.firstStripe(piece)
    const last = this.#geometry.lastStripe(piece)
    const left: Stripe[] = []
    for (let index = first; index <= last; index++) {
      if (this.#carried.get(index)?.extent === extent) this.#carried.delete(index)
      const stripe = this.#stripes.get(index)
      // One on its way to the disk is released when it gets there, and opened again for the new try.
      if (stripe === undefined || stripe.writing) continue
      stripe.forget(piece)
      // The new try begins in its first stripe, which may need the memory of the others.
      if (index > first && stripe.unclaim(extent)) left.push(stripe)
    }
    return left
  }

  /**
   * Gives the memory of stripes back that have nothing to wait for. To be called last: whoever waits for
   * memory takes it at once, perhaps for the very extent that was given up.
   */
  #releaseSpent(stripes: readonly Stripe[]): void {
    for (const stripe of stripes) if (stripe.isSpent && !stripe.writing) this.#release(stripe)
  }

  #ready(stripe: Stripe, piece: number): void {
    stripe.ready(piece, this.#clock.monotonicMs())
    this.#settle(stripe, false)
  }

  /** Writes a stripe that is whole; or, when `idle`, whatever of it is verified. */
  #settle(stripe: Stripe, idle: boolean): void {
    if (stripe.writing || this.#stripes.get(stripe.index) !== stripe) return
    if (stripe.freshBytes === 0) {
      if (stripe.pending === 0) this.#release(stripe)
      return
    }
    if (stripe.pending === 0 && (idle || stripe.isWhole)) this.#write(stripe, false)
    else if (idle) this.#write(stripe, true)
  }

  /**
   * Sends the fresh parts to the disk. A stripe that is quiet is released afterwards; from one that is
   * not (`verifiedOnly`), parts of unverified pieces are left out, since they may yet change.
   */
  #write(stripe: Stripe, verifiedOnly: boolean): void {
    const parts = stripe.takeFresh(verifiedOnly)
    if (parts.runs.length === 0) return
    const written = parts.pieces.map((piece) => ({ piece, span: this.#spans.get(piece) }))
    this.#writes.add(stripe, parts, (failure) => {
      let error = failure
      for (const { piece, span } of written) error ??= this.#partWritten(piece, span)
      if (stripe.isSpent || this.#dropped) this.#release(stripe)
      if (this.#refused) {
        this.#refused = false
        this.onRoom()
      }
      if (error === undefined) {
        if (stripe.freshBytes > 0) this.#settle(stripe, false)
      } else if (error !== WITHDRAWN) this.#events.failed(error)
    })
  }

  /** Why the store takes no have-bit, though it took the bytes: it failed, or was closed, while they were written. */
  #partWritten(piece: number, span: Span | undefined): SeedbedError | undefined {
    if (span !== undefined) {
      span.unwritten--
      // One that failed meanwhile is never verified: its garbage counts for nothing, the next try has its own.
      if (span.unwritten > 0 || !span.verified) return undefined
      this.#spans.delete(piece)
    }
    try {
      this.#stored.markHave(piece)
    } catch (error) {
      if (error instanceof SeedbedError) return error
      throw error
    }
    this.#events.held(piece)
    return undefined
  }

  #release(stripe: Stripe): void {
    assert(!stripe.writing, 'a stripe is released on its way to the disk')
    if (this.#stripes.get(stripe.index) !== stripe) return
    this.#stripes.delete(stripe.index)
    this.#pool.give(this, stripe.buffer)
  }
}
