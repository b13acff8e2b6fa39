/** A peer as the picker sees it, and what it may be asked for. */
import { Bitfield } from '../base/index.ts'

/** Made by `Picker.addPeer`, changed by the picker alone, but for `limit` and `suggested`. */
export interface PickerPeer {
  readonly id: number
  readonly has: Bitfield
  /** Counted as a seed in the rarity index. */
  seed: boolean
  /** It lost a piece once: it is not counted as a seed again, since each change between the two costs O(pieces). */
  unsteady: boolean
  /** While it chokes: the pieces of which it may be asked nevertheless (BEP 6). Undefined: all that it has. */
  limit: Bitfield | undefined
  /** Pieces that it would rather send than others (BEP 6), in its order. */
  suggested: number[]
  /** Pieces that it has and we lack. */
  wanted: number
  outstanding: number
  /** When chunks that it owed were given up with their extent; undefined once it was asked for others. */
  forsakenMs: number | undefined
}

/** Suggestions that are kept; the oldest give way. */
const MAX_SUGGESTED = 64

export function suggest(peer: PickerPeer, piece: number): void {
  if (peer.suggested.includes(piece)) return
  peer.suggested.push(piece)
  if (peer.suggested.length > MAX_SUGGESTED) peer.suggested.shift()
}

export function mayAsk({ has, limit }: PickerPeer, piece: number): boolean {
  return has.has(piece) && (limit === undefined || limit.has(piece))
}

export function askable({ has, limit }: PickerPeer): Bitfield {
  return limit === undefined ? has : Bitfield.intersection(has, limit)
}
