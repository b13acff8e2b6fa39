/** What a torrent is made of once its metadata is known: shared by its peers, owned by the torrent. */
import type { Bitfield } from '../base/index.ts'
import type { PieceHashes } from '../metainfo/index.ts'
import type { Geometry } from './geometry.ts'
import type { HashServer } from './hash-server.ts'
import type { Picker } from './picker.ts'
import type { ReadSource } from './read-cache.ts'
import type { StripeCache } from './stripe-cache.ts'

export interface Content {
  readonly geometry: Geometry
  /** Pieces that were verified, in memory or on the volume: what we offer. */
  readonly verified: Bitfield
  /** What peers have that have nothing, or everything: one for all of them, never changed. */
  readonly nothing: Bitfield
  readonly everything: Bitfield
  readonly source: ReadSource
  readonly hashes: PieceHashes
  /** Undefined for v1. */
  readonly hashServer: HashServer | undefined
  /** Undefined when nothing is missing. */
  download: { readonly picker: Picker; readonly stripes: StripeCache } | undefined
  /** Of a download that has ended: verified pieces on their way to the store. */
  leaving: StripeCache | undefined
}
