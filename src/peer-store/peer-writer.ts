/** Writes peers as compact bytes (BEP 23, BEP 7) into the buffer of a caller. Allocates nothing while that stays the same. */
import type { Core } from './core.ts'
import type { SwarmPeers } from './swarm-peers.ts'

const COMPACT6 = 18

export class PeerWriter {
  readonly #core: Core
  #target: Uint8Array = new Uint8Array(0)
  /** Over the buffer of the target, which begins at `#start`. */
  #view: DataView = new DataView(this.#target.buffer)
  #start = 0

  constructor(core: Core) {
    this.#core = core
  }

  aim(target: Uint8Array): void {
    if (this.#target === target) return
    this.#target = target
    this.#start = target.byteOffset
    const { buffer } = target
    if (this.#view.buffer !== buffer) this.#view = new DataView(buffer)
  }

  /** Writes the peers whose addresses are the first of `chosen`, compact. */
  write(peers: SwarmPeers, count: number, offset: number): void {
    const { words } = this.#core
    const view = this.#view
    const { chosen } = this.#core.sampler
    let to = (this.#start + offset) | 0
    if (peers === this.#core.peers4) {
      // Two peers are three words.
      const pairs = count & ~1
      for (let i = 0; i < pairs; i = (i + 2) | 0, to = (to + 12) | 0) {
        const one = chosen[i]!
        const other = chosen[(i + 1) | 0]!
        const address = words[other]!
        view.setInt32(to, words[one]!)
        view.setInt32((to + 4) | 0, (words[(one + 1) | 0]! & 0xffff0000) | (address >>> 16))
        view.setInt32((to + 8) | 0, (address << 16) | (words[(other + 1) | 0]! >>> 16))
      }
      if (pairs === count) return
      const at = chosen[pairs]!
      view.setInt32(to, words[at]!)
      view.setUint16(to + 4, words[at + 1]! >>> 16)
      return
    }
    for (let i = 0; i < count; i++, to = (to + COMPACT6) | 0) {
      const at = chosen[i]!
      view.setInt32(to, words[at]!)
      view.setInt32(to + 4, words[at + 1]!)
      view.setInt32(to + 8, words[at + 2]!)
      view.setInt32(to + 12, words[at + 3]!)
      view.setUint16(to + 16, words[at + 4]! >>> 16)
    }
  }
}
