/** What a torrent is made of once its metadata is known: shared by its peers, owned by the torrent. */
import type { Bitfield } from '../base/index.ts'
import type { Geometry } from './geometry.ts'
import type { Picker } from './picker.ts'
import type { ReadSource } from './read-cache.ts'
import type { StripeCache } from './stripe-cache.ts'

export interface Content {
  readonly geometry: Geometry
  /** Pieces that were verified, in memory or on the volume: what we offer. */
  readonly verified: Bitfield
  readonly source: ReadSource
  /** Undefined when nothing is missing. */
  download: { readonly picker: Picker; readonly stripes: StripeCache } | undefined
}

/** Bytes of the pieces that were verified. */
export function verifiedBytes({ verified, geometry }: Content): number {
  const last = geometry.pieceCount - 1
  const bytes = verified.count * geometry.pieceBytes
  const short = last >= 0 && verified.has(last) ? geometry.pieceLength(last) : geometry.pieceBytes
  return bytes - (geometry.pieceBytes - short)
}
