/**
 * The peers of one family of one swarm, in a window that is opened on its record (swarm-shape.ts): found, put, removed, drawn,
 * swept.
 *
 * In a small swarm positions 0…seeders-1 are seeders, the others leechers, without holes; it is scanned (a few
 * cache lines). In a large one each role has a set of its own, so that one seeder among a million
 * leechers is as easily drawn as any.
 */
import * as age from './age.ts'
import * as layout from './layout.ts'
import type { Sampler } from './sampler.ts'
import { SwarmShape } from './swarm-shape.ts'
import type { SweepTerms } from './sweep-terms.ts'

const { SEEDER_BIT } = age
const { LARGE, LEECHERS, MAX_SMALL, SEEDERS, SMALL } = layout

export class SwarmPeers extends SwarmShape {
  /** Whether the peer that `find` found is a seeder. */
  foundSeeder = false
  /** Address of the peer that `find` found. */
  #found = 0

  /** Whether the endpoint is in the open swarm; looks among the seeders first if so told. */
  find(seeder: boolean): boolean {
    if (this.kind === LARGE) {
      const words = this.words
      const first = this.block + (seeder ? SEEDERS : LEECHERS)
      this.foundSeeder = seeder
      this.#found = this.sets.find(words[first]!)
      if (this.#found >= 0) return true
      this.foundSeeder = !seeder
      this.#found = this.sets.find(words[this.block + SEEDERS + LEECHERS - (first - this.block)]!)
      return this.#found >= 0
    }
    let at = this.base
    const peerWords = this.peerWords
    for (let position = 0; position < this.count; position++, at += peerWords) {
      if (!this.endpoint.isAt(at)) continue
      this.#found = at
      this.foundSeeder = position < this.seeders
      return true
    }
    return false
  }

  /** Sets age and role of the peer found. False: no memory, and only its age was set. */
  put(meta: number): boolean {
    const seeder = (meta & SEEDER_BIT) !== 0
    if (seeder === this.foundSeeder) {
      this.endpoint.setMetaAt(this.#found, meta)
      return true
    }
    if (this.kind === LARGE) return this.#changeSet(meta, seeder)
    if (this.kind === SMALL) {
      // The first leecher or the last seeder changes places, and the boundary moves over it.
      const boundary = seeder ? this.seeders++ : --this.seeders
      const at = this.base + boundary * this.peerWords
      if (at !== this.#found) this.endpoint.exchange(at, this.#found)
      this.#found = at
      this.saveSmall()
    } else {
      this.seeders = seeder ? 1 : 0
    }
    this.endpoint.setMetaAt(this.#found, meta)
    this.foundSeeder = seeder
    return true
  }

  /** Adds the endpoint, which is not there, with its age and role. */
  add(meta: number): boolean {
    const seeder = (meta & SEEDER_BIT) !== 0
    if (!this.makeRoom()) return false
    if (this.kind === LARGE) {
      const at = this.block + (seeder ? SEEDERS : LEECHERS)
      const set = this.sets.add(this.words[at]!, meta)
      if (set === 0) return false
      this.words[at] = set
      this.count++
      if (seeder) this.seeders++
      this.saveLarge()
      return true
    }
    const peerWords = this.peerWords
    let at = this.base + this.count * peerWords
    if (seeder && this.seeders < this.count) {
      const boundary = this.base + this.seeders * peerWords
      this.endpoint.copy(boundary, at)
      at = boundary
    }
    this.count++
    if (seeder) this.seeders++
    this.endpoint.writeAt(at, meta)
    if (this.kind === SMALL) this.saveSmall()
    return true
  }

  /** Removes the peer found. */
  remove(): void {
    if (this.kind === LARGE) {
      const at = this.block + (this.foundSeeder ? SEEDERS : LEECHERS)
      this.words[at] = this.sets.remove(this.words[at]!, this.#found)
      this.count--
      if (this.foundSeeder) this.seeders--
      this.saveLarge()
    } else {
      this.#removeAt(this.#found, this.foundSeeder)
    }
    this.shrink()
  }

  /**
   * Draws up to `wanted` peers of a role, not the endpoint, and leaves their addresses in the sampler's `chosen`.
   * Returns how many.
   */
  sample(seeder: boolean, wanted: number, sampler: Sampler): number {
    if (wanted <= 0) return 0
    if (this.kind === LARGE) {
      const set = this.words[this.block + (seeder ? SEEDERS : LEECHERS)]!
      return this.sets.sample(set, wanted, this.sets.find(set), sampler)
    }
    const from = seeder ? 0 : this.seeders
    const end = Math.min(seeder ? this.seeders : this.count, MAX_SMALL)
    const peerWords = this.peerWords
    const base = this.base + from * peerWords
    const self = this.#placeIn(base, end - from)
    const available = end - from - (self >= 0 ? 1 : 0)
    const count = Math.min(wanted, available)
    if (count <= 0) return 0
    sampler.choose(count, available, base, peerWords, self, base + available * peerWords)
    return count
  }

  /** Address of the endpoint among `count` peers from `base` on; -1 when it is not there. */
  #placeIn(base: number, count: number): number {
    const peerWords = this.peerWords
    const end = base + count * peerWords
    // Who announces was just put: found is where it is, if the same swarm is open still.
    const found = this.#found
    const isPlace = found >= base && found < end && (found - base) % peerWords === 0
    if (isPlace && this.endpoint.isAt(found)) return found
    for (let at = base; at < end; at += peerWords) if (this.endpoint.isAt(at)) return at
    return -1
  }

  /** Leaves the addresses of a role's peers in `chosen`, from where the sampler has room. Returns how many. */
  all(seeder: boolean, sampler: Sampler): number {
    const total = seeder ? this.seeders : this.count - this.seeders
    sampler.reserve(total)
    const { chosen } = sampler
    if (this.kind === LARGE) {
      return this.sets.sample(
        this.words[this.block + (seeder ? SEEDERS : LEECHERS)]!,
        total,
        -1,
        sampler,
      )
    }
    const base = this.base + (seeder ? 0 : this.seeders) * this.peerWords
    for (let i = 0; i < total; i++) chosen[i] = base + i * this.peerWords
    return total
  }

  /** Sweeps an inline or small swarm. */
  sweepSmall(terms: SweepTerms): void {
    const { endpoint } = this
    let removed = false
    // From the last down: what a removal moves was looked at already.
    for (let position = this.count - 1; position >= 0; position--) {
      const at = this.base + position * this.peerWords
      if (!terms.drops(endpoint.metaAt(at))) continue
      this.#removeAt(at, position < this.seeders)
      removed = true
    }
    if (removed) this.shrink()
  }

  /** Sweeps on in one role of a large swarm; see PeerSet.sweep. */
  sweepLarge(seeder: boolean, cursor: number, budget: number, terms: SweepTerms): number {
    const at = this.block + (seeder ? SEEDERS : LEECHERS)
    const set = this.words[at]!
    if (set === 0) return -1
    const next = this.sets.sweep(set, cursor, budget, terms)
    if (next < 0) this.words[at] = this.sets.settle(set, 64)
    this.seeders = this.sets.count(this.words[this.block + SEEDERS]!)
    this.count = this.seeders + this.sets.count(this.words[this.block + LEECHERS]!)
    this.saveLarge()
    if (next < 0) this.shrink()
    return next
  }

  #removeAt(found: number, seeder: boolean): void {
    const { endpoint } = this
    let hole = found
    if (seeder) {
      const last = this.base + --this.seeders * this.peerWords
      if (last !== hole) endpoint.copy(last, hole)
      hole = last
    }
    const last = this.base + --this.count * this.peerWords
    if (last !== hole) endpoint.copy(last, hole)
    if (this.kind === SMALL) this.saveSmall()
  }

  #changeSet(meta: number, seeder: boolean): boolean {
    const words = this.words
    const to = this.block + (seeder ? SEEDERS : LEECHERS)
    const from = this.block + (seeder ? LEECHERS : SEEDERS)
    const set = this.sets.add(words[to]!, meta)
    if (set === 0) {
      this.endpoint.setMetaAt(this.#found, (meta & ~SEEDER_BIT) | (seeder ? 0 : SEEDER_BIT))
      return false
    }
    words[to] = set
    words[from] = this.sets.remove(words[from]!, this.#found)
    this.seeders += seeder ? 1 : -1
    this.foundSeeder = seeder
    this.saveLarge()
    return true
  }
}
