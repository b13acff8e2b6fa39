/**
 * Touches what calls about many info-hashes will read, so that their cache misses overlap. Changes nothing, allocates
 * nothing, and needs no lock: whatever it reads is thrown away.
 */
import * as age from './age.ts'
import type { Core } from './core.ts'
import * as layout from './layout.ts'

const { NO_AGE } = age
const { R_META4, R_PEERS4, R_PEERS6 } = layout
/** Info-hashes in flight at a time. */
const PREFETCH = 128

export class Prefetcher {
  readonly #core: Core
  readonly #places = new Int32Array(PREFETCH)
  /** Keeps the loads alive. */
  #sink = 0

  constructor(core: Core) {
    this.#core = core
  }

  /** As `prefetch` of types.ts. */
  touch(infoHashes: Uint8Array, offset: number, stride: number, count: number): void {
    for (let from = 0; from < count; from += PREFETCH) {
      this.#touch(infoHashes, offset + from * stride, stride, Math.min(PREFETCH, count - from))
    }
  }

  #touch(infoHashes: Uint8Array, offset: number, stride: number, count: number): void {
    const { table, words } = this.#core
    const places = this.#places
    let sink = 0
    // Each phase runs over all before the next, and the loops that miss the cache do nothing else: the processor looks
    // a few hundred instructions ahead, and one hash would fill that.
    for (let i = 0; i < count; i++) {
      table.enterAt(infoHashes, offset + i * stride)
      places[i] = table.touch()
    }
    for (let i = 0; i < count; i++) sink ^= words[places[i]!]!
    for (let i = 0; i < count; i++) {
      const place = places[i]!
      const isInline = (words[place + R_META4]! & 0xffff) !== NO_AGE
      // Negative for a count of completed downloads (swarm-peers.ts).
      places[i] = Math.max(0, words[place + (isInline ? R_PEERS6 : R_PEERS4)]!)
    }
    for (let i = 0; i < count; i++) sink ^= words[places[i]!]!
    this.#sink ^= sink
  }
}
