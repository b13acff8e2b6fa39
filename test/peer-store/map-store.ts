/** A PeerStore of Maps, slow and plain: the model that the real one is compared with. */
import { type Clock, type Random, SeedbedError } from '../../src/base/index.ts'
import {
  type AddressFamily,
  COMPACT_BYTES,
  MAX_LIFETIME_MS,
  type PeerAnnounce,
  type PeerStore,
  type PeerStoreStats,
  type SwarmCounts,
  type SwarmCursor,
  type SwarmList,
  TICK_MS,
} from '../../src/peer-store/index.ts'

interface Peer {
  readonly compact: Uint8Array
  seeder: boolean
  tick: number
}

interface Family {
  readonly peers: Map<string, Peer>
  completed: number
}

export class MapStore implements PeerStore {
  readonly #clock: Clock
  readonly #random: Random
  readonly #baseMs: number
  readonly #swarms = new Map<string, Record<AddressFamily, Family>>()
  #expired = 0
  #stopped = false
  /** What a listing has still to list. */
  readonly #listings = new WeakMap<SwarmCursor, string[]>()
  #pending: [string, Record<AddressFamily, Family>][] | undefined

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
    this.#baseMs = clock.monotonicMs()
  }

  putSeeder(infoHash: Uint8Array, address: Uint8Array, port: number): void {
    this.#put(infoHash, address, port, true)
  }

  putLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void {
    this.#put(infoHash, address, port, false)
  }

  graduateLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void {
    const wasSeeder = this.#put(infoHash, address, port, true)
    const { family } = this.#endpoint(address, port)
    if (!wasSeeder) this.#swarms.get(hex(infoHash))![family].completed++
  }

  deleteSeeder(infoHash: Uint8Array, address: Uint8Array, port: number): boolean {
    return this.#delete(infoHash, address, port, true)
  }

  deleteLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): boolean {
    return this.#delete(infoHash, address, port, false)
  }

  announcePeers(
    infoHash: Uint8Array,
    seeder: boolean,
    wanted: number,
    address: Uint8Array,
    port: number,
    target: Uint8Array,
    offset: number,
  ): number {
    this.#check(infoHash)
    const { family, key } = this.#endpoint(address, port)
    const all = [...(this.#swarms.get(hex(infoHash))?.[family].peers ?? [])]
      .filter(([other]) => other !== key)
      .map(([, peer]) => peer)
    const seeders = seeder ? [] : this.#shuffle(all.filter((peer) => peer.seeder))
    const leechers = this.#shuffle(all.filter((peer) => !peer.seeder))
    const room = Math.floor((target.length - offset) / COMPACT_BYTES[family])
    const chosen = [...seeders, ...leechers].slice(0, Math.max(0, Math.min(wanted, room)))
    for (const [i, peer] of chosen.entries()) {
      target.set(peer.compact, offset + i * COMPACT_BYTES[family])
    }
    return chosen.length
  }

  announce(announce: PeerAnnounce): void {
    const { infoHash, address, port, seeder, graduates, gives, wanted, target, offset } = announce
    if (graduates) this.graduateLeecher(infoHash, address, port)
    else this.#put(infoHash, address, port, seeder)
    announce.drawn = this.announcePeers(infoHash, gives, wanted, address, port, target, offset)
    this.scrapeSwarm(infoHash, this.#endpoint(address, port).family, announce.counts)
  }

  scrapeSwarm(infoHash: Uint8Array, family: AddressFamily, counts: SwarmCounts): void {
    this.#check(infoHash)
    const swarm = this.#swarms.get(hex(infoHash))?.[family]
    const peers = [...(swarm?.peers.values() ?? [])]
    counts.seeders = peers.filter((peer) => peer.seeder).length
    counts.leechers = peers.length - counts.seeders
    counts.completed = swarm?.completed ?? 0
  }

  listSwarms(cursor: SwarmCursor, list: SwarmList): boolean {
    this.#mustRun()
    const pending = this.#listings.get(cursor) ?? [...this.#swarms.keys()]
    this.#listings.set(cursor, pending)
    list.count = 0
    for (const name of pending.splice(0, list.capacity)) {
      const swarm = this.#swarms.get(name)
      if (swarm === undefined) continue
      const at = list.count++
      list.infoHashes.set(Buffer.from(name, 'hex'), at * 20)
      for (const family of [4, 6] as const) {
        const peers = [...swarm[family].peers.values()]
        const seeders = peers.filter((peer) => peer.seeder).length
        list[`seeders${family}`][at] = seeders
        list[`leechers${family}`][at] = peers.length - seeders
        list[`completed${family}`][at] = swarm[family].completed
      }
    }
    if (pending.length > 0) return false
    this.#listings.delete(cursor)
    return true
  }

  collectGarbage(maximumAgeMs: number): number {
    this.#checkLifetime(maximumAgeMs)
    const before = this.#expired
    for (const [name, swarm] of this.#swarms) this.#collect(name, swarm, maximumAgeMs)
    return this.#expired - before
  }

  collectGarbageStep(maximumAgeMs: number, maximumSwarms: number): boolean {
    this.#checkLifetime(maximumAgeMs)
    this.#pending ??= [...this.#swarms]
    for (const [name, swarm] of this.#pending.splice(0, maximumSwarms)) {
      this.#collect(name, swarm, maximumAgeMs)
    }
    if (this.#pending.length > 0) return false
    this.#pending = undefined
    return true
  }

  stats(): PeerStoreStats {
    this.#mustRun()
    const totals = { seeders4: 0, leechers4: 0, seeders6: 0, leechers6: 0 }
    for (const swarm of this.#swarms.values()) {
      for (const family of [4, 6] as const) {
        for (const peer of swarm[family].peers.values()) {
          totals[`${peer.seeder ? 'seeders' : 'leechers'}${family}`]++
        }
      }
    }
    return {
      swarms: this.#swarms.size,
      ...totals,
      bytesUsed: 0,
      bytesReserved: 0,
      refused: 0,
      expired: this.#expired,
      evicted: 0,
    }
  }

  listPeers(infoHash: Uint8Array, family: AddressFamily, seeders: boolean): Uint8Array {
    this.#check(infoHash)
    const peers = [...(this.#swarms.get(hex(infoHash))?.[family].peers.values() ?? [])]
    return Buffer.concat(peers.filter((peer) => peer.seeder === seeders).map((p) => p.compact))
  }

  numSwarms(): number {
    return this.stats().swarms
  }

  numTotalPeers(family: AddressFamily): number {
    const { seeders4, leechers4, seeders6, leechers6 } = this.stats()
    return family === 4 ? seeders4 + leechers4 : seeders6 + leechers6
  }

  stop(): void {
    this.#mustRun()
    this.#stopped = true
  }

  #put(infoHash: Uint8Array, address: Uint8Array, port: number, seeder: boolean): boolean {
    this.#check(infoHash)
    const { family, key, compact } = this.#endpoint(address, port)
    const name = hex(infoHash)
    const swarm = this.#swarms.get(name) ?? {
      4: { peers: new Map(), completed: 0 },
      6: { peers: new Map(), completed: 0 },
    }
    this.#swarms.set(name, swarm)
    const wasSeeder = swarm[family].peers.get(key)?.seeder ?? false
    swarm[family].peers.set(key, { compact, seeder, tick: this.#tick() })
    return wasSeeder
  }

  #delete(infoHash: Uint8Array, address: Uint8Array, port: number, seeder: boolean): boolean {
    this.#check(infoHash)
    const { family, key } = this.#endpoint(address, port)
    const name = hex(infoHash)
    const swarm = this.#swarms.get(name)
    if (swarm === undefined || swarm[family].peers.get(key)?.seeder !== seeder) return false
    swarm[family].peers.delete(key)
    this.#dropIfEmpty(name, swarm)
    return true
  }

  #collect(name: string, swarm: Record<AddressFamily, Family>, maximumAgeMs: number): void {
    for (const family of [4, 6] as const) {
      for (const [key, peer] of swarm[family].peers) {
        if (this.#tick() - peer.tick <= Math.ceil(maximumAgeMs / TICK_MS)) continue
        swarm[family].peers.delete(key)
        this.#expired++
      }
    }
    this.#dropIfEmpty(name, swarm)
  }

  #dropIfEmpty(name: string, swarm: Record<AddressFamily, Family>): void {
    if (swarm[4].peers.size + swarm[6].peers.size === 0) this.#swarms.delete(name)
  }

  #tick(): number {
    return Math.floor((this.#clock.monotonicMs() - this.#baseMs) / TICK_MS)
  }

  #shuffle(peers: Peer[]): Peer[] {
    return peers
      .map((peer) => ({ peer, order: this.#random.uint32() }))
      .sort((a, b) => a.order - b.order)
      .map(({ peer }) => peer)
  }

  #endpoint(
    address: Uint8Array,
    port: number,
  ): { family: AddressFamily; key: string; compact: Uint8Array } {
    if (address.length !== 4 && address.length !== 16) {
      throw new SeedbedError('PEER_STORE_INVALID_ADDRESS', 'length')
    }
    const mapped = address.length === 16 && hex(address).startsWith('00000000000000000000ffff')
    const bytes = mapped ? address.subarray(12) : address
    const compact = Uint8Array.of(...bytes, port >>> 8, port & 255)
    return { family: bytes.length === 4 ? 4 : 6, key: hex(compact), compact }
  }

  #check(infoHash: Uint8Array): void {
    this.#mustRun()
    if (infoHash.length !== 20) throw new SeedbedError('PEER_STORE_INVALID_INFO_HASH', 'length')
  }

  #checkLifetime(lifetimeMs: number): void {
    this.#mustRun()
    if (lifetimeMs >= 0 && lifetimeMs <= MAX_LIFETIME_MS) return
    throw new SeedbedError('PEER_STORE_LIFETIME_TOO_LONG', 'lifetime')
  }

  #mustRun(): void {
    if (this.#stopped) throw new SeedbedError('PEER_STORE_STOPPED', 'stopped')
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
