/**
 * Chunks that were asked of one peer and are asked of another: those that are late, and at the end, or wherever a peer has nothing that is
 * free, those that wait longest in the queues of others.
 *
 * ```
 * late         owner + the peer, and of two owners the first gives way
 * queue long   the peer in place of the owner that owes most, which is told to cancel
 * queue short  owner + the peer: it is about to come from there
 * ```
 *
 * Where everybody lacks the same pieces, whoever was asked first has a long queue, and others that have them too idle; so chunks move to
 * who owes less. What was on its way meanwhile is taken all the same (`former` in active-extent.ts).
 *
 * Invariants: never more than two owners; no chunk moves twice within SETTLE_MS, nor to a peer that would owe as much as the loser.
 */
import { type ActiveExtent, ChunkState, NOBODY, SOLE_MS } from './active-extent.ts'
import type { Asking } from './asking.ts'
import { mayAsk, type PickerPeer } from './picker-peer.ts'

const LATE_SCAN_MS = 250
/** What was asked for so lately is where it belongs. */
const SETTLE_MS = 300
/** Chunks that one peer may owe of what others were asked for first. */
const MOVED_CHUNKS = 16
/** What a peer owes that has no queue: it delivers before another could. */
const SHORT_QUEUE = 2

export class SecondRequests {
  readonly #peers: ReadonlyMap<number, PickerPeer>
  readonly #lateMs: number
  readonly #cancel: (peer: number, piece: number, chunk: number) => void

  /** `cancel`: the peer is not to deliver the chunk after all. */
  constructor(
    peers: ReadonlyMap<number, PickerPeer>,
    lateMs: number,
    cancel: (peer: number, piece: number, chunk: number) => void,
  ) {
    this.#peers = peers
    this.#lateMs = lateMs
    this.#cancel = cancel
  }

  /** Chunks of the extent that their owner should have delivered by now, from its beginning. */
  takeLate(extent: ActiveExtent, asking: Asking): void {
    const { nowMs } = asking
    if (nowMs < extent.nextLateScanMs) return
    let anyLate = false
    for (let at = 0; at < extent.state.length; at++) {
      if (extent.state[at] !== ChunkState.requested) continue
      if (nowMs - extent.sinceMs[at]! < this.#lateMs) continue
      anyLate = true
      if (asking.full) break
      if (this.#mayShare(extent, at, asking)) this.#share(extent, at, asking)
    }
    if (!anyLate) extent.nextLateScanMs = nowMs + LATE_SCAN_MS
  }

  /** The youngest requests of others, which would be the last to arrive. */
  takeOver(active: readonly ActiveExtent[], asking: Asking): void {
    const { peer, nowMs } = asking
    for (let i = active.length - 1; i >= 0; i--) {
      const extent = active[i]!
      for (let at = extent.state.length - 1; at >= 0; at--) {
        if (asking.full || peer.outstanding >= MOVED_CHUNKS) return
        if (extent.state[at] !== ChunkState.requested) continue
        if (nowMs - extent.sinceMs[at]! < SETTLE_MS || !this.#mayShare(extent, at, asking)) continue
        if (this.#unload(extent, at, peer.outstanding)) this.#share(extent, at, asking)
      }
    }
  }

  /** False when the peer does not have it, or has been asked, or when the piece is one peer's alone. */
  #mayShare(extent: ActiveExtent, at: number, { peer, nowMs }: Asking): boolean {
    const piece = extent.pieceAt(at)
    if (extent.owner[at] === peer.id || extent.second[at] === peer.id) return false
    const sole = extent.soles?.get(piece)
    return mayAsk(peer, piece) && (sole === undefined || nowMs - sole.sinceMs >= SOLE_MS)
  }

  /**
   * Takes the chunk from the owner that owes most, if that is much more than `owed`. False when the peer should not be
   * asked for it.
   */
  #unload(extent: ActiveExtent, at: number, owed: number): boolean {
    const owner = this.#peers.get(extent.owner[at]!)!
    const second = this.#peers.get(extent.second[at]!)
    const isSecond = second !== undefined && second.outstanding > owner.outstanding
    const loser = isSecond ? second : owner
    if (loser.outstanding <= owed + SHORT_QUEUE) {
      return second === undefined && loser.outstanding <= SHORT_QUEUE
    }
    loser.outstanding--
    extent.former[at] = loser.id
    if (!isSecond) extent.owner[at] = extent.second[at]!
    extent.second[at] = NOBODY
    this.#cancel(loser.id, extent.pieceAt(at), extent.chunkAt(at))
    return true
  }

  /** Makes the peer an owner; of two late ones the first loses the chunk. */
  #share(extent: ActiveExtent, at: number, asking: Asking): void {
    const { peer } = asking
    if (extent.second[at] !== NOBODY) {
      this.#peers.get(extent.owner[at]!)!.outstanding--
      extent.former[at] = extent.owner[at]!
      extent.owner[at] = extent.second[at]!
    }
    if (extent.owner[at] === NOBODY) extent.owner[at] = peer.id
    else extent.second[at] = peer.id
    extent.sinceMs[at] = asking.nowMs
    peer.outstanding++
    asking.put(extent.pieceAt(at), extent.chunkAt(at))
  }
}
