/**
 * The picker: which chunks to ask which peer for. A pure state machine: no sockets, no clock (callers
 * pass the time), no memory of its own beyond the extents in progress.
 *
 * It takes the extent whose rarest missing piece is the rarest (rarity.ts), hands out its chunks in
 * order to whoever has them, and starts another only when a peer finds nothing free in those begun:
 * first its neighbours of the same run (geometry.ts), then the rarest of all. Stripes fill quickly, are
 * written whole and in runs, and the order between runs stays rarest-first. While the disk keeps up, pieces that next to
 * nobody has go before that order (scarce.ts), and extents with rarer ones are begun beside those in progress.
 *
 * Invariants (`check`):
 * - A chunk of a piece that we have is never picked.
 * - At most `maxActive` extents are begun by picking, but for urgent ones (pick-order.ts), which come first;
 *   each is finished, or abandoned whole.
 * - A chunk is asked of a second peer only when it is late, or when the peer finds nothing else at all
 *   (second-requests.ts); never of a third. Whoever loses it is told to cancel.
 * - Chunks are handed out only in stripes that `admit` has found a buffer for.
 * - `outstanding` of a peer is the number of chunks that it owns and that have not been received.
 */
import { assert, type Bitfield, type Random } from '../base/index.ts'
import { ActiveExtent, ChunkState, NOBODY } from './active-extent.ts'
import { Asking } from './asking.ts'
import { CHUNK_BYTES, type Geometry } from './geometry.ts'
import type { PickOrder } from './pick-order.ts'
import { askable, mayAsk, type PickerPeer } from './picker-peer.ts'
import { PickerPeers } from './picker-peers.ts'
import { RarityIndex } from './rarity.ts'
import { Runs } from './runs.ts'
import { SCARCE_COPIES, Scarce } from './scarce.ts'
import { SecondRequests } from './second-requests.ts'

export interface PickerOptions {
  readonly geometry: Geometry
  /** What we have, or do not want: read, and changed through `pieceVerified` alone while the picker lives. */
  readonly have: Bitfield
  readonly random: Random
  /** Finds memory for a stripe of an extent, or refuses (and is asked again). True if it is open. */
  readonly admit: (stripe: number, extent: number, beginsRun: boolean) => boolean
  readonly maxActive: number
  /** The peer (its id) is to be told to cancel the chunk. */
  readonly cancel?: (peer: number, piece: number, chunk: number) => void
  /** The disk does not keep up: runs are to be long. Default: it does. */
  readonly isMemoryShort?: () => boolean
  /** A chunk not delivered after this time may be asked of another peer. */
  readonly lateMs?: number
  /** What goes before the rarest. */
  readonly order?: PickOrder
}

const LATE_MS = 4_000
const NONE = -1

export class Picker {
  readonly geometry: Geometry
  maxActive: number
  readonly rarity: RarityIndex
  readonly #have: Bitfield
  readonly #admit: (stripe: number, extent: number, beginsRun: boolean) => boolean
  readonly #runs: Runs
  readonly #scarce: Scarce
  readonly #isMemoryShort: () => boolean
  readonly #cancel: (peer: number, piece: number, chunk: number) => void
  readonly #seconds: SecondRequests
  readonly #asking = new Asking()
  readonly #order: PickOrder | undefined
  readonly #peers: PickerPeers
  /** In the order of their beginning. */
  readonly #active: ActiveExtent[] = []
  readonly #byIndex = new Map<number, ActiveExtent>()

  constructor(options: PickerOptions) {
    this.geometry = options.geometry
    this.maxActive = options.maxActive
    this.#have = options.have
    this.#admit = options.admit
    this.#order = options.order
    this.rarity = new RarityIndex(options.geometry, options.have, options.random)
    this.#peers = new PickerPeers(options.have, this.rarity)
    this.#isMemoryShort = options.isMemoryShort ?? ((): boolean => false)
    this.#runs = new Runs(options.geometry, this.rarity, this.#isMemoryShort)
    this.#scarce = new Scarce(this.rarity, options.random)
    this.#cancel = options.cancel ?? ((): void => {})
    this.#seconds = new SecondRequests(this.#peers.byId, options.lateMs ?? LATE_MS, this.#cancel)
  }

  get active(): readonly ActiveExtent[] {
    return this.#active
  }

  addPeer(has: Bitfield): PickerPeer {
    return this.#peers.add(has)
  }

  /** Its requests become free again. */
  removePeer(peer: PickerPeer): void {
    this.releaseAll(peer)
    for (const { soles } of this.#active) {
      for (const sole of soles?.values() ?? []) if (sole.peer === peer.id) sole.peer = NOBODY
    }
    this.#peers.remove(peer)
  }

  /** False when the peer had it before. */
  peerHas(peer: PickerPeer, piece: number): boolean {
    return this.#peers.gained(peer, piece)
  }

  /** The peer has lost the piece (BEP 54). True when chunks that it was asked for are free. */
  peerLost(peer: PickerPeer, piece: number): boolean {
    if (!peer.has.has(piece)) return false
    let released = false
    for (let chunk = this.geometry.chunkCount(piece) - 1; chunk >= 0; chunk--) {
      released = this.release(peer, piece, chunk) || released
    }
    this.#peers.lost(peer, piece)
    return released
  }

  /**
   * Up to `max` chunks to ask the peer for, as pairs (piece, chunk) at `out[0…]`; they are its to
   * deliver from now on. Returns how many. Allocates only when an extent begins.
   */
  pick(peer: PickerPeer, max: number, nowMs: number, out: Int32Array): number {
    if (peer.wanted === 0 || max <= 0) return 0
    const asking = this.#asking
    asking.begin(peer, max, nowMs, out)
    if (this.#order?.hasWindows === true) this.#beginUrgent(this.#order, asking)
    if (this.#order?.isPlain !== false) {
      if (peer.suggested.length > 0) this.#takeSuggested(asking)
      if (!this.#isMemoryShort() && this.#scarce.isPossible(this.#peers.byId.size)) {
        this.#takeScarce(asking)
      }
    }
    for (const extent of this.#active) {
      if (asking.full) break
      if (extent.free > 0) this.#takeFree(extent, asking)
      else if (extent.left > 0) this.#seconds.takeLate(extent, asking)
    }
    while (!asking.full && this.#active.length < this.maxActive) {
      const extent = this.#begin(asking)
      if (extent === undefined) break
      this.#takeFree(extent, asking)
    }
    if (asking.count === 0 && this.#nothingFree(peer)) this.#seconds.takeOver(this.#active, asking)
    return asking.count
  }

  /** The chunk begins to arrive. False when it is not the peer's to deliver, or arrives from another. */
  beginReceive(peer: PickerPeer, piece: number, chunk: number, nowMs: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    if (extent === undefined) return false
    const at = extent.at(piece, chunk)
    const state = extent.state[at]
    if (state === ChunkState.requested) this.#takeBack(extent, at, peer)
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

  /** Whoever was told to cancel a chunk, and had sent it before it heard, delivers it after all. */
  #takeBack(extent: ActiveExtent, at: number, peer: PickerPeer): void {
    if (extent.former[at] !== peer.id || !peer.has.has(extent.pieceAt(at))) return
    extent.former[at] = NOBODY
    if (extent.owner[at] === peer.id || extent.second[at] === peer.id) return
    this.#dropSecond(extent, at)
    extent.second[at] = peer.id
    peer.outstanding++
  }

  /** Whoever was asked second is told to cancel. */
  #dropSecond(extent: ActiveExtent, at: number): void {
    const second = extent.second[at]!
    if (second === NOBODY) return
    this.#peers.byId.get(second)!.outstanding--
    extent.second[at] = NOBODY
    this.#cancel(second, extent.pieceAt(at), extent.chunkAt(at))
  }

  /** The chunk has arrived whole, after `beginReceive`. */
  received(peer: PickerPeer, piece: number, chunk: number, nowMs: number): void {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))!
    const at = extent.at(piece, chunk)
    assert(
      extent.state[at] === ChunkState.receiving && extent.owner[at] === peer.id,
      `chunk ${chunk} of piece ${piece} was received twice`,
    )
    this.#dropSecond(extent, at)
    extent.receive(at, nowMs)
    peer.outstanding--
  }

  /** True when every chunk of the piece has been received and it waits for its hash. */
  isWhole(piece: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    return extent?.pieceLeft[piece - extent.firstPiece] === 0 && !this.#have.has(piece)
  }

  /** True when chunk `chunk` of a piece in progress has been received. */
  hasChunk(piece: number, chunk: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    return extent?.state[extent.at(piece, chunk)] === ChunkState.received
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
    const at = extent.at(piece, chunk)
    if (extent.state[at] === ChunkState.received) return false
    return extent.owner[at] === peer.id || extent.second[at] === peer.id
  }

  /** The peer will not deliver the chunk (reject, cancel). False when it was not its to deliver. */
  release(peer: PickerPeer, piece: number, chunk: number): boolean {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))
    if (extent === undefined || !extent.disown(extent.at(piece, chunk), peer.id)) return false
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
    this.#peers.pieceHad(piece)
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
    const at = extent.at(piece, 0)
    return extent.owner.slice(at, at + this.geometry.chunkCount(piece))
  }

  /**
   * The piece's hash is wrong: all of it is free again, and goes to one peer alone from now on, so that
   * a second failure has one culprit; for SOLE_MS, or a peer could withhold the piece by being slow.
   */
  pieceFailed(piece: number): void {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))!
    extent.freePiece(piece)
    extent.soles ??= new Map()
    extent.soles.set(piece, { peer: NOBODY, sinceMs: 0 })
  }

  /** Of a piece that is whole these chunks are wrong: they are free again, the others stay. */
  chunksFailed(piece: number, chunks: readonly number[]): void {
    const extent = this.#byIndex.get(this.geometry.extentOf(piece))!
    for (const chunk of chunks) extent.freeChunk(extent.at(piece, chunk))
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
        const peer = this.#peers.byId.get(id)!
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
  #beginUrgent(order: PickOrder, asking: Asking): void {
    for (;;) {
      const index = order.urgent(askable(asking.peer), (extent) => this.#byIndex.has(extent))
      if (index < 0 || this.#begin(asking, index) === undefined) return
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
  #takeSuggested(asking: Asking): void {
    const { suggested } = asking.peer
    let kept = 0
    for (const piece of suggested) {
      if (this.#have.has(piece)) continue
      suggested[kept++] = piece
      if (asking.full || !mayAsk(asking.peer, piece)) continue
      const extent = this.#extentFor(piece, asking)
      if (extent !== undefined) this.#takePiece(extent, piece, asking)
    }
    suggested.length = kept
  }

  /** The extent of a suggested piece, begun if need be; undefined where that may not be. */
  #extentFor(piece: number, asking: Asking): ActiveExtent | undefined {
    const index = this.geometry.extentOf(piece)
    const active = this.#byIndex.get(index)
    if (active !== undefined || this.#active.length >= this.maxActive) return active
    const best = this.#choose(asking.peer)
    if (best === NONE || !this.rarity.isAsRare(index, best)) return undefined
    return this.#begin(asking, index)
  }

  /** Scarce pieces of extents in progress; and while there are rarer ones elsewhere, these are begun. */
  #takeScarce(asking: Asking): void {
    const { peer } = asking
    while (!asking.full) {
      const copies = this.#scarce.leastCopies(this.#active, peer)
      if (this.#beginRarer(copies, asking)) continue
      if (copies > SCARCE_COPIES) return
      const before = asking.count
      this.#scarce.take(this.#active, peer, copies, (extent, piece) => {
        this.#takePiece(extent, piece, asking)
        return !asking.full
      })
      if (asking.count === before) return
    }
  }

  /** Begins an extent with a scarce piece rarer than `copies`; false when there is none, or no room. */
  #beginRarer(copies: number, asking: Asking): boolean {
    if (copies === 0 || this.#active.length >= this.maxActive) return false
    const index = this.#choose(asking.peer)
    if (index === NONE) return false
    const least = this.rarity.leastCopies(index)
    return least <= SCARCE_COPIES && least < copies && this.#begin(asking, index) !== undefined
  }

  /** Takes the best extent for this peer; undefined when there is none or no memory for it. */
  #begin({ peer, nowMs }: Asking, wanted = NONE): ActiveExtent | undefined {
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

  /** Free chunks of the extent, in ascending order. */
  #takeFree(extent: ActiveExtent, asking: Asking): void {
    const { state } = extent
    let at = extent.cursor
    let passed = true
    while (!asking.full && extent.free > 0) {
      at = state.indexOf(ChunkState.free, at)
      if (at < 0) return
      const piece = extent.pieceAt(at)
      const end = extent.at(piece + 1, 0)
      if (!mayAsk(asking.peer, piece) || !this.#takePiece(extent, piece, asking)) passed = false
      // No buffer for the next stripe, or enough was taken.
      else if (extent.pieceFree[piece - extent.firstPiece]! > 0) return
      if (passed) extent.cursor = end
      at = end
    }
  }

  /**
   * The free chunks of one piece, in order, as far as there are buffers for them. False when it is another peer's alone.
   */
  #takePiece(extent: ActiveExtent, piece: number, asking: Asking): boolean {
    const { geometry } = this
    const { peer, nowMs } = asking
    if (!extent.claim(piece, peer.id, nowMs)) return false
    const first = extent.at(piece, 0)
    const end = first + geometry.chunkCount(piece)
    for (let at = first; at < end && !asking.full; at++) {
      if (extent.state[at] !== ChunkState.free) continue
      const offset = piece * geometry.pieceBytes + (at - first) * CHUNK_BYTES
      const stripe = Math.floor(offset / geometry.stripeBytes)
      if (stripe >= extent.openStripe && !this.#openUpTo(extent, stripe)) return true
      extent.request(at, peer.id, nowMs)
      peer.outstanding++
      asking.put(piece, at - first)
    }
    return true
  }

  /** Every chunk that the peer could send has been asked of somebody, and no extent is left to begin. */
  #nothingFree(peer: PickerPeer): boolean {
    for (const extent of this.#active) {
      if (extent.free === 0) continue
      for (let i = 0; i < extent.pieceCount; i++) {
        if (extent.pieceFree[i]! > 0 && mayAsk(peer, extent.firstPiece + i)) return false
      }
    }
    return this.rarity.choose(askable(peer), this.#runs.last) < 0
  }

  /** Throws when an invariant does not hold. For tests: reads everything. */
  check(): void {
    this.#peers.check()
    const owed = new Map<number, number>()
    for (const extent of this.#active) {
      assert(this.#byIndex.get(extent.index) === extent, 'an active extent cannot be found')
      extent.check()
      for (const [at, state] of extent.state.entries()) {
        if (state !== ChunkState.requested && state !== ChunkState.receiving) continue
        const piece = extent.pieceAt(at)
        assert(!this.#have.has(piece), 'a chunk is asked for that we have')
        for (const id of [extent.owner[at]!, extent.second[at]!]) {
          if (id === NOBODY) continue
          const { has } = this.#peers.byId.get(id)!
          assert(has.has(piece), 'a chunk is asked of a peer without it')
          owed.set(id, (owed.get(id) ?? 0) + 1)
        }
      }
    }
    for (const peer of this.#peers.byId.values()) {
      assert(peer.outstanding === (owed.get(peer.id) ?? 0), 'a peer owes another number of chunks')
    }
  }
}
