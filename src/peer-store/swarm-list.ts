/**
 * A page of a listing of all swarms, and where the listing is: both the caller's, filled by `listSwarms` again and
 * again.
 */
import { peerStoreError } from './errors.ts'

/** Of a list: what one hold of a store may bring at once fits in it. */
export const MINIMUM_LIST_SWARMS = 128

/** Where a listing is. The fields are the store's business. */
export class SwarmCursor {
  shard = 0
  position = 0

  /** Back to the beginning. */
  restart(): void {
    this.shard = 0
    this.position = 0
  }
}

/** Up to `capacity` swarms; swarm `i` of `count` has its info-hash at `infoHashes[20 * i]` and the counts at `[i]`. */
export class SwarmList {
  readonly capacity: number
  count = 0
  readonly infoHashes: Uint8Array
  readonly seeders4: Int32Array
  readonly leechers4: Int32Array
  readonly completed4: Int32Array
  readonly seeders6: Int32Array
  readonly leechers6: Int32Array
  readonly completed6: Int32Array

  /** Throws PEER_STORE_INVALID_OPTION for a capacity below MINIMUM_LIST_SWARMS. */
  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < MINIMUM_LIST_SWARMS) {
      throw peerStoreError(
        'PEER_STORE_INVALID_OPTION',
        `a list of ${capacity} swarms: it must have room for ${MINIMUM_LIST_SWARMS} at least`,
      )
    }
    this.capacity = capacity
    this.infoHashes = new Uint8Array(capacity * 20)
    this.seeders4 = new Int32Array(capacity)
    this.leechers4 = new Int32Array(capacity)
    this.completed4 = new Int32Array(capacity)
    this.seeders6 = new Int32Array(capacity)
    this.leechers6 = new Int32Array(capacity)
    this.completed6 = new Int32Array(capacity)
  }
}
