/**
 * The picker: which chunks to ask which peer for. A pure state machine: no sockets, no clock (callers
 * pass the time), no memory of its own beyond the extents in progress.
 *
 * It takes the extent whose rarest missing piece is the rarest (rarity.ts), hands out its chunks in
 * order to whoever has them, and starts another only when a peer finds nothing free in those begun:
 * first its neighbours of the same run (geometry.ts), then the rarest of all. Stripes fill quickly, are
 * written whole and in runs, and the order between runs stays rarest-first.
 *
 * Invariants (`check`):
 * - A chunk of a piece that we have is never picked.
 * - At most `maxActive` extents are begun by picking, but for urgent ones (pick-order.ts), which come first;
 *   each is finished, or abandoned whole.
 * - A chunk is asked of a second peer only when it is late, or when the peer finds nothing else at all
 *   (end-game); never of a third. Whoever loses the race is reported, to be told to cancel.
 * - Chunks are handed out only in stripes that `admit` has found a buffer for, in ascending order
 *   within an extent.
 * - `outstanding` of a peer is the number of chunks that it owns and that have not been received.
 */
import { assert, type Bitfield, type Random } from '../base/index.ts'
import { ActiveExtent, ChunkState, NOBODY, SOLE_MS } from './active-extent.ts'
import { CHUNK_BYTES, type Geometry } from './geometry.ts'
import type { PickOrder } from './pick-order.ts'
import { askable, mayAsk, type PickerPeer } from './picker-peer.ts'
import { RarityIndex } from './rarity.ts'
import { Runs } from './runs.ts'

export interface PickerOptions {
  readonly geometry: Geometry
  /** What we have, or do not want: read, and changed through `pieceVerified` alone while the picker lives. */
  readonly have: Bitfield
  readonly random: Random
  /** Finds memory for a stripe of an extent, or refuses (and is asked again). True if it is open. */
  readonly admit: (stripe: number, extent: number, beginsRun: boolean) => boolean
  readonly maxActive: number
  /** The disk does not keep up: runs are to be long. Default: it does. */
  readonly isMemoryShort?: () => boolean
  /** A chunk not delivered after this time may be asked of another peer. */
  readonly lateMs?: number
  /** What goes before the rarest. */
  readonly order?: PickOrder
}

const LATE_MS = 4_000
const LATE_SCAN_MS = 250
/** Duplicates that one peer may have in the end-game. */
const ENDGAME_CHUNKS = 16
const NONE = -1

export class Picker {
  readonly geometry: Geometry
  maxActive: number
  readonly rarity: RarityIndex
  readonly #have: Bitfield
  readonly #admit: (stripe: number, extent: number, beginsRun: boolean) => boolean
  readonly #runs: Runs
  readonly #lateMs: number
  readonly #order: PickOrder | undefined
  readonly #peers = new Map<number, PickerPeer>()
  /** In the order of their beginning. */
  readonly #active: ActiveExtent[] = []
  readonly #byIndex = new Map<number, ActiveExtent>()
  #nextPeer = 1

  constructor(options: PickerOptions) {
    this.geometry = options.geometry
    this.maxActive = options.maxActive
    this.#have = options.have
    this.#admit = options.admit
    this.#lateMs = options.lateMs ?? LATE_MS
    this.#order = options.order
    this.rarity = new RarityIndex(options.geometry, options.have, options.random)
    this.#runs = new Runs(options.geometry, this.rarity, options.isMemoryShort ?? (() => false))
  }

  get active(): readonly ActiveExtent[] {
    return this.#active
  }

  addPeer(has: Bitfield): PickerPeer {
    const peer: PickerPeer = {
      id: this.#nextPeer++,
      has,
      seed: has.full,
      unsteady: false,
      limit: undefined,
      suggested: [],
      wanted: 0,
      outstanding: 0,
      forsakenMs: undefined,
    }
    for (let i = 0; i < has.bytes.length; i++) {
      peer.wanted += BITS[has.bytes[i]! & ~this.#have.bytes[i]!]!
    }
    if (peer.seed) this.rarity.addSeed()
    else this.rarity.addPeer(has)
    this.#peers.set(peer.id, peer)
    return peer
  }

  /** Its requests become free again. */
  removePeer(peer: PickerPeer): void {
    this.releaseAll(peer)
    for (const { soles } of this.#active) {
      for (const sole of soles?.values() ?? []) if (sole.peer === peer.id) sole.peer = NOBODY
    }
    if (peer.seed) this.rarity.removeSeed()
    else this.rarity.removePeer(peer.has)
    this.#peers.delete(peer.id)
  }

  /** False when the peer had it before. */
  peerHas(peer: PickerPeer, piece: number): boolean {
    if (!peer.has.set(piece)) return false
    if (!this.#have.has(piece)) peer.wanted++
    this.rarity.addHave(piece)
    if (peer.has.full && !peer.seed && !peer.unsteady) {
      this.rarity.removePeer(peer.has)
      this.rarity.addSeed()
      peer.seed = true
    }
    return true
  }

  /** The peer has lost the piece (BEP 54). True when chunks that it was asked for are free. */
  peerLost(peer: PickerPeer, piece: number): boolean {
    if (!peer.has.has(piece)) return false
    let released = false
    for (let chunk = this.geometry.chunkCount(piece) - 1; chunk >= 0; chunk--) {
      released = this.release(peer, piece, chunk) || released
    }
    peer.unsteady = true
    if (peer.seed) {
      peer.seed = false
      this.rarity.removeSeed()
      peer.has.clear(piece)
      this.rarity.addPeer(peer.has)
    } else {
      peer.has.clear(piece)
      this.rarity.removeHave(piece)
    }
    if (!this.#have.has(piece)) peer.wanted--
    return released
  }

  /**
   * Up to `max` chunks to ask the peer for, as pairs (piece, chunk) at `out[0…]`; they are its to
   * deliver from now on. Returns how many. Allocates only when an extent begins.
   */
  pick(peer: PickerPeer, max: number, nowMs: number, out: Int32Array): number {
    let count = 0
    if (peer.wanted === 0 || max <= 0) return 0
    if (this.#order?.hasWindows === true) this.#beginUrgent(this.#order, peer, nowMs)
    if (peer.suggested.length > 0 && this.#order?.isPlain !== false) {
      count = this.#takeSuggested(peer, max, nowMs, out)
      if (count === max) return count
    }
    for (const extent of this.#active) {
      if (extent.free > 0) count = this.#takeFree(extent, peer, count, max, nowMs, out)
      else if (extent.left > 0 && nowMs >= extent.nextLateScanMs) {
        count = this.#takeLate(extent, peer, count, max, nowMs, out)
      }
      if (count === max) return count
    }
    while (count < max && this.#active.length < this.maxActive) {
      const extent = this.#begin(peer, nowMs)
      if (extent === undefined) break
      count = this.#takeFree(extent, peer, count, max, nowMs, out)
    }
    if (count === 0 && peer.outstanding < ENDGAME_CHUNKS && this.#nothingFree(peer)) {
      count = this.#takeTail(peer, Math.min(max, ENDGAME_CHUNKS - peer.outstanding), nowMs, out)
    }
    return count
  }

  /** The chunk begins to arrive. False when it is not the peer's to deliver, or arrives from another. */
  beginReceive(peer: PickerPeer, piece: number, chunk: number, nowMs: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    if (extent === undefined) return false
    const at = this.#at(extent, piece, chunk)
    const state = extent.state[at]
    if (state === ChunkState.receiving) {
      if (extent.second[at] === peer.id) this.release(peer, piece, chunk)
      return false
    }
    if (state !== ChunkState.requested) return false
    if (extent.second[at] === peer.id) {
      extent.second[at] = extent.owner[at]!
      extent.owner[at] = peer.id
    } else if (extent.owner[at] !== peer.id) return false
    extent.state[at] = ChunkState.receiving
    extent.sinceMs[at] = nowMs
    return true
  }

  /**
   * The chunk has arrived whole, after `beginReceive`. Returns the id of another peer that was asked
   * for it and should be told to cancel, or NOBODY.
   */
  received(peer: PickerPeer, piece: number, chunk: number, nowMs: number): number {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))!
    const at = this.#at(extent, piece, chunk)
    assert(
      extent.state[at] === ChunkState.receiving && extent.owner[at] === peer.id,
      `chunk ${chunk} of piece ${piece} was received twice`,
    )
    const other = extent.second[at]!
    if (other !== NOBODY) this.#peers.get(other)!.outstanding--
    extent.second[at] = NOBODY
    extent.state[at] = ChunkState.received
    peer.outstanding--
    extent.left--
    extent.pieceLeft[piece - extent.firstPiece]!--
    extent.lastProgressMs = nowMs
    return other
  }

  /** True when every chunk of the piece has been received and it waits for its hash. */
  isWhole(piece: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    return extent?.pieceLeft[piece - extent.firstPiece] === 0 && !this.#have.has(piece)
  }

  /** True when chunk `chunk` of a piece in progress has been received. */
  hasChunk(piece: number, chunk: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    return extent?.state[this.#at(extent, piece, chunk)] === ChunkState.received
  }

  isHad(piece: number): boolean {
    return this.#have.has(piece)
  }

  isActive(extent: number): boolean {
    return this.#byIndex.has(extent)
  }

  isOwner(peer: PickerPeer, piece: number, chunk: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    if (extent === undefined) return false
    const at = this.#at(extent, piece, chunk)
    if (extent.state[at] === ChunkState.received) return false
    return extent.owner[at] === peer.id || extent.second[at] === peer.id
  }

  /** The peer will not deliver the chunk (reject, cancel). False when it was not its to deliver. */
  release(peer: PickerPeer, piece: number, chunk: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    if (extent === undefined || !extent.disown(this.#at(extent, piece, chunk), peer.id))
      return false
    peer.outstanding--
    return true
  }

  /** The peer will deliver nothing of what it was asked for (choke). */
  releaseAll(peer: PickerPeer): void {
    for (const extent of this.#active) {
      if (peer.outstanding === 0) return
      for (let at = 0; at < extent.state.length; at++) {
        if (extent.disown(at, peer.id)) peer.outstanding--
      }
    }
    assert(peer.outstanding === 0, 'a peer owes chunks that are in no extent')
  }

  /** The piece's hash is right: sets it in `have`. True when its extent is finished by it. */
  pieceVerified(piece: number): boolean {
    this.#have.set(piece)
    this.rarity.pieceHad(piece)
    for (const peer of this.#peers.values()) if (peer.has.has(piece)) peer.wanted--
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    if (extent === undefined || extent.left > 0) return false
    for (let i = 0; i < extent.pieceCount; i++) {
      if (!this.#have.has(extent.firstPiece + i)) return false
    }
    this.#runs.last = extent.index
    this.#end(extent)
    return true
  }

  /** Who delivered the chunks of a piece that is whole. */
  senders(piece: number): Int32Array {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))!
    const at = this.#at(extent, piece, 0)
    return extent.owner.slice(at, at + this.geometry.chunkCount(piece))
  }

  /**
   * The piece's hash is wrong: all of it is free again, and goes to one peer alone from now on, so that
   * a second failure has one culprit; for SOLE_MS, or a peer could withhold the piece by being slow.
   */
  pieceFailed(piece: number): void {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))!
    extent.freePiece(this.geometry, piece)
    extent.soles ??= new Map()
    extent.soles.set(piece, { peer: NOBODY, sinceMs: 0 })
  }

  /** Of a piece that is whole these chunks are wrong: they are free again, the others stay. */
  chunksFailed(piece: number, chunks: readonly number[]): void {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))!
    for (const chunk of chunks) extent.freeChunk(this.#at(extent, piece, chunk), piece)
  }

  /**
   * Gives an extent up: what of it was received and not verified is forgotten. Refused while a chunk of
   * it is arriving, because its bytes are being written into the stripe.
   */
  abandon(index: number, nowMs: number): boolean {
    const extent = this.#byIndex.get(index)
    if (extent === undefined || extent.state.includes(ChunkState.receiving)) return false
    for (let at = 0; at < extent.state.length; at++) {
      if (extent.state[at] !== ChunkState.requested) continue
      for (const id of [extent.owner[at]!, extent.second[at]!]) {
        if (id === NOBODY) continue
        const peer = this.#peers.get(id)!
        peer.outstanding--
        peer.forsakenMs = nowMs
      }
    }
    this.#end(extent)
    return true
  }

  #end(extent: ActiveExtent): void {
    this.#active.splice(this.#active.indexOf(extent), 1)
    this.#byIndex.delete(extent.index)
    this.rarity.setTaken(extent.index, false)
  }

  /** What is needed soon is begun beyond `maxActive`, as far as there is memory, and asked for first. */
  #beginUrgent(order: PickOrder, peer: PickerPeer, nowMs: number): void {
    for (;;) {
      const index = order.urgent(askable(peer), (extent) => this.#byIndex.has(extent))
      if (index < 0 || this.#begin(peer, nowMs, index) === undefined) return
      this.reorder()
    }
  }

  /** Urgent extents go first, in order: to be called when windows have moved. */
  reorder(): void {
    const order = this.#order
    if (order === undefined) return
    const rank = (extent: ActiveExtent): number =>
      order.isUrgent(extent.index) ? extent.index : this.geometry.extentCount
    this.#active.sort((a, b) => rank(a) - rank(b))
  }

  #choose(peer: PickerPeer): number {
    const rarest = (has: Bitfield): number => this.#rarestOf(has)
    const has = askable(peer)
    if (this.#order === undefined) return rarest(has)
    return this.#order.choose(has, rarest, (extent) => this.#byIndex.has(extent))
  }

  /** Of a run that was begun, else of all. */
  #rarestOf(has: Bitfield): number {
    const begun = this.#runs.choose(has)
    return begun === NONE ? this.rarity.choose(has, this.#runs.last) : begun
  }

  /**
   * What the peer suggests, of extents in progress, and of others that are as rare as what would be begun in their
   * place. A suggestion is kept until we have the piece.
   */
  #takeSuggested(peer: PickerPeer, max: number, nowMs: number, out: Int32Array): number {
    let count = 0
    let kept = 0
    const { suggested } = peer
    for (const piece of suggested) {
      if (this.#have.has(piece)) continue
      suggested[kept++] = piece
      if (count === max || !mayAsk(peer, piece)) continue
      const extent = this.#extentFor(piece, peer, nowMs)
      if (extent === undefined || !this.#mayTake(extent, piece, peer, nowMs)) continue
      count = this.#takePiece(extent, piece, peer, count, max, nowMs, out)
    }
    suggested.length = kept
    return count
  }

  /** The extent of a suggested piece, begun if need be; undefined where that may not be. */
  #extentFor(piece: number, peer: PickerPeer, nowMs: number): ActiveExtent | undefined {
    const index = this.geometry.extentOf(piece)
    const active = this.#byIndex.get(index)
    if (active !== undefined || this.#active.length >= this.maxActive) return active
    const best = this.#choose(peer)
    if (best === NONE || !this.rarity.isAsRare(index, best)) return undefined
    return this.#begin(peer, nowMs, index)
  }

  /** Takes the best extent for this peer; undefined when there is none or no memory for it. */
  #begin(peer: PickerPeer, nowMs: number, wanted = NONE): ActiveExtent | undefined {
    const index = wanted === NONE ? this.#choose(peer) : wanted
    if (index < 0) return undefined
    const extent = new ActiveExtent(this.geometry, this.#have, index, nowMs)
    const beginsRun = !this.#runs.isBegun(index)
    if (!this.#openUpTo(extent, extent.openStripe, beginsRun)) return undefined
    this.#runs.begin(index)
    this.rarity.setTaken(index, true)
    this.#active.push(extent)
    this.#byIndex.set(index, extent)
    this.#runs.last = index
    return extent
  }

  /** Extents to be begun until a run that was begun is in progress as a whole; Infinity when none was. */
  get runLeft(): number {
    return this.#runs.left
  }

  #openUpTo(extent: ActiveExtent, stripe: number, beginsRun = false): boolean {
    while (extent.openStripe <= stripe) {
      if (!this.#admit(extent.openStripe, extent.index, beginsRun)) return false
      extent.openStripe++
    }
    return true
  }

  #takeFree(
    extent: ActiveExtent,
    peer: PickerPeer,
    from: number,
    max: number,
    nowMs: number,
    out: Int32Array,
  ): number {
    const { state } = extent
    const { chunksPerPiece } = this.geometry
    let count = from
    let at = extent.cursor
    let passed = true
    while (count < max && extent.free > 0) {
      at = state.indexOf(ChunkState.free, at)
      if (at < 0) return count
      const index = Math.floor(at / chunksPerPiece)
      const end = (index + 1) * chunksPerPiece
      const piece = extent.firstPiece + index
      if (!this.#mayTake(extent, piece, peer, nowMs)) {
        passed = false
        at = end
        continue
      }
      count = this.#takePiece(extent, piece, peer, count, max, nowMs, out)
      const free = state.indexOf(ChunkState.free, at)
      // No buffer for the next stripe, or enough was taken.
      if (free >= 0 && free < end) return count
      if (passed) extent.cursor = end
      at = end
    }
    return count
  }

  #mayTake(extent: ActiveExtent, piece: number, peer: PickerPeer, nowMs: number): boolean {
    return mayAsk(peer, piece) && extent.claim(piece, peer.id, nowMs)
  }

  /** The free chunks of one piece, in order, as far as there are buffers for them. */
  #takePiece(
    extent: ActiveExtent,
    piece: number,
    peer: PickerPeer,
    from: number,
    max: number,
    nowMs: number,
    out: Int32Array,
  ): number {
    const { geometry } = this
    const { state } = extent
    let count = from
    const first = this.#at(extent, piece, 0)
    const end = first + geometry.chunksPerPiece
    for (let at = first; at < end && count < max; at++) {
      if (state[at] !== ChunkState.free) continue
      const offset = piece * geometry.pieceBytes + (at - first) * CHUNK_BYTES
      const stripe = Math.floor(offset / geometry.stripeBytes)
      if (stripe >= extent.openStripe && !this.#openUpTo(extent, stripe)) return count
      state[at] = ChunkState.requested
      extent.owner[at] = peer.id
      extent.sinceMs[at] = nowMs
      extent.free--
      peer.outstanding++
      count = this.#put(extent, at, count, out)
    }
    return count
  }

  /** Chunks of the extent that their owner should have delivered by now, the longest-awaited first. */
  #takeLate(
    extent: ActiveExtent,
    peer: PickerPeer,
    from: number,
    max: number,
    nowMs: number,
    out: Int32Array,
  ): number {
    let count = from
    let anyLate = false
    for (let at = 0; at < extent.state.length; at++) {
      if (extent.state[at] !== ChunkState.requested) continue
      if (nowMs - extent.sinceMs[at]! < this.#lateMs) continue
      anyLate = true
      if (count === max) break
      if (this.#share(extent, at, peer, nowMs)) count = this.#put(extent, at, count, out)
    }
    if (!anyLate) extent.nextLateScanMs = nowMs + LATE_SCAN_MS
    return count
  }

  /** Every chunk that the peer could send has been asked of somebody, and no extent is left to begin. */
  #nothingFree(peer: PickerPeer): boolean {
    for (const extent of this.#active) {
      if (extent.free === 0) continue
      const { chunksPerPiece } = this.geometry
      for (let at = extent.cursor; at < extent.state.length; at++) {
        if (extent.state[at] !== ChunkState.free) continue
        if (mayAsk(peer, extent.firstPiece + Math.floor(at / chunksPerPiece))) return false
      }
    }
    return this.rarity.choose(askable(peer), this.#runs.last) < 0
  }

  /** End-game: the youngest requests of others, which would be the last to arrive. */
  #takeTail(peer: PickerPeer, max: number, nowMs: number, out: Int32Array): number {
    let count = 0
    for (let i = this.#active.length - 1; i >= 0 && count < max; i--) {
      const extent = this.#active[i]!
      for (let at = extent.state.length - 1; at >= 0 && count < max; at--) {
        if (extent.state[at] !== ChunkState.requested || extent.second[at] !== NOBODY) continue
        if (this.#share(extent, at, peer, nowMs)) count = this.#put(extent, at, count, out)
      }
    }
    return count
  }

  /** Makes the peer the second owner of a requested chunk; of two late owners the first one loses it. */
  #share(extent: ActiveExtent, at: number, peer: PickerPeer, nowMs: number): boolean {
    const piece = extent.firstPiece + Math.floor(at / this.geometry.chunksPerPiece)
    if (!mayAsk(peer, piece)) return false
    const sole = extent.soles?.get(piece)
    if (sole !== undefined && nowMs - sole.sinceMs < SOLE_MS) return false
    if (extent.owner[at] === peer.id || extent.second[at] === peer.id) return false
    if (extent.second[at] !== NOBODY) {
      this.#peers.get(extent.owner[at]!)!.outstanding--
      extent.owner[at] = extent.second[at]!
    }
    extent.second[at] = peer.id
    extent.sinceMs[at] = nowMs
    peer.outstanding++
    return true
  }

  #put(extent: ActiveExtent, at: number, count: number, out: Int32Array): number {
    const { chunksPerPiece } = this.geometry
    out[2 * count] = extent.firstPiece + Math.floor(at / chunksPerPiece)
    out[2 * count + 1] = at % chunksPerPiece
    return count + 1
  }

  #at(extent: ActiveExtent, piece: number, chunk: number): number {
    return (piece - extent.firstPiece) * this.geometry.chunksPerPiece + chunk
  }

  /** Throws when an invariant does not hold. For tests: reads everything. */
  check(): void {
    this.rarity.check()
    const owed = new Map<number, number>()
    for (const extent of this.#active) {
      assert(this.#byIndex.get(extent.index) === extent, 'an active extent cannot be found')
      let free = 0
      let left = 0
      for (const [at, state] of extent.state.entries()) {
        const piece = extent.firstPiece + Math.floor(at / this.geometry.chunksPerPiece)
        const owner = extent.owner[at]!
        const second = extent.second[at]!
        if (state === ChunkState.free) {
          free++
          assert(owner === NOBODY && second === NOBODY, 'a free chunk has an owner')
          assert(at >= extent.cursor, 'a free chunk lies before the cursor')
        }
        if (state !== ChunkState.absent && state !== ChunkState.received) left++
        if (state === ChunkState.requested || state === ChunkState.receiving) {
          assert(!this.#have.has(piece), 'a chunk is asked for that we have')
          assert(owner !== NOBODY && owner !== second, 'a requested chunk has no proper owner')
          for (const id of [owner, second]) {
            if (id === NOBODY) continue
            assert(this.#peers.get(id)!.has.has(piece), 'a chunk is asked of a peer without it')
            owed.set(id, (owed.get(id) ?? 0) + 1)
          }
        }
      }
      assert(free === extent.free && left === extent.left, 'an extent counts its chunks wrong')
    }
    for (const peer of this.#peers.values()) {
      assert(peer.outstanding === (owed.get(peer.id) ?? 0), 'a peer owes another number of chunks')
      let wanted = 0
      for (let piece = 0; piece < this.#have.length; piece++) {
        if (peer.has.has(piece) && !this.#have.has(piece)) wanted++
      }
      assert(peer.wanted === wanted, 'a peer is wanted for another number of pieces')
    }
  }
}

/** Set bits of a byte. */
const BITS: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bits = 0
  for (let rest = byte; rest !== 0; rest &= rest - 1) bits++
  return bits
})
