/**
 * The swarms of WebTorrent: who is connected, and in which swarms. A peer here is a live connection and not an address, so these
 * swarms are of their own kind, beside those of IPv4 and IPv6, and nobody of them is ever returned there.
 *
 *     swarm    info-hash --> seeders [member …], leechers [member …]
 *     member   one peer id of one connection in one swarm; knows its place in the swarm and in its connection
 *
 * A connection may speak for several peer ids, because clients of one process share a socket.
 *
 * Invariants: a peer id is in a swarm once; a member is in its swarm's list at `place` and in its connection's at `slot`; a swarm
 * that is empty is gone; there are never more members than `maxPeers`.
 */
import { below, type Random } from '../../base/index.ts'

/** Who has members: a connection. */
export interface Participant {
  readonly members: Member[]
}

export class Member {
  readonly swarm: Swarm
  readonly peerId: string
  participant: Participant
  isSeeder: boolean
  /** In the list of its role. */
  place = 0
  /** In `participant.members`. */
  slot = 0
  /** Second of its last announce. */
  seenSecond = 0

  constructor(swarm: Swarm, peerId: string, participant: Participant, isSeeder: boolean) {
    this.swarm = swarm
    this.peerId = peerId
    this.participant = participant
    this.isSeeder = isSeeder
  }
}

/** Beyond so many members a swarm finds them by a map; below, by looking at each. */
const INDEX_FROM = 16

export class Swarm {
  readonly infoHash: string
  readonly seeders: Member[] = []
  readonly leechers: Member[] = []
  /** Leechers that became seeders while the swarm was there. */
  completed = 0
  #index: Map<string, Member> | undefined

  constructor(infoHash: string) {
    this.infoHash = infoHash
  }

  get size(): number {
    return this.seeders.length + this.leechers.length
  }

  find(peerId: string): Member | undefined {
    if (this.#index !== undefined) return this.#index.get(peerId)
    return search(this.leechers, peerId) ?? search(this.seeders, peerId)
  }

  add(member: Member): void {
    const list = member.isSeeder ? this.seeders : this.leechers
    member.place = list.length
    list.push(member)
    if (this.#index !== undefined) this.#index.set(member.peerId, member)
    else if (this.size > INDEX_FROM) {
      this.#index = new Map([...this.seeders, ...this.leechers].map((one) => [one.peerId, one]))
    }
  }

  remove(member: Member): void {
    this.#leaveList(member)
    this.#index?.delete(member.peerId)
    if (this.size <= INDEX_FROM / 2) this.#index = undefined
  }

  /** To the list of the other role. */
  turn(member: Member): void {
    this.#leaveList(member)
    member.isSeeder = !member.isSeeder
    const list = member.isSeeder ? this.seeders : this.leechers
    member.place = list.length
    list.push(member)
  }

  #leaveList(member: Member): void {
    const list = member.isSeeder ? this.seeders : this.leechers
    const last = list.pop()!
    if (last === member) return
    list[member.place] = last
    last.place = member.place
  }
}

function search(list: readonly Member[], peerId: string): Member | undefined {
  for (let i = 0; i < list.length; i++) if (list[i]!.peerId === peerId) return list[i]
  return undefined
}

export class Swarms {
  seeders = 0
  leechers = 0
  readonly #random: Random
  readonly #swarms = new Map<string, Swarm>()

  constructor(random: Random) {
    this.#random = random
  }

  get size(): number {
    return this.#swarms.size
  }

  get peers(): number {
    return this.seeders + this.leechers
  }

  get(infoHash: string): Swarm | undefined {
    return this.#swarms.get(infoHash)
  }

  join(infoHash: string, peerId: string, participant: Participant, isSeeder: boolean): Member {
    let swarm = this.#swarms.get(infoHash)
    if (swarm === undefined) {
      swarm = new Swarm(infoHash)
      this.#swarms.set(infoHash, swarm)
    }
    const member = new Member(swarm, peerId, participant, isSeeder)
    swarm.add(member)
    member.slot = participant.members.length
    participant.members.push(member)
    if (isSeeder) this.seeders++
    else this.leechers++
    return member
  }

  leave(member: Member): void {
    const { swarm, participant, isSeeder } = member
    swarm.remove(member)
    if (swarm.size === 0) this.#swarms.delete(swarm.infoHash)
    const { members } = participant
    const last = members.pop()!
    if (last !== member) {
      members[member.slot] = last
      last.slot = member.slot
    }
    if (isSeeder) this.seeders--
    else this.leechers--
  }

  setRole(member: Member, isSeeder: boolean): void {
    if (member.isSeeder === isSeeder) return
    member.swarm.turn(member)
    this.seeders += isSeeder ? 1 : -1
    this.leechers += isSeeder ? -1 : 1
  }

  /**
   * Up to `wanted` other members into `target`, each at most once, all equally likely; only leechers where `leechersOnly`. Returns
   * how many. The lists are shuffled by it as far as they are drawn from; allocates nothing.
   */
  draw(member: Member, leechersOnly: boolean, wanted: number, target: Member[]): number {
    const { seeders, leechers } = member.swarm
    toEnd(member.isSeeder ? seeders : leechers, member)
    const fromSeeders = leechersOnly ? 0 : seeders.length - (member.isSeeder ? 1 : 0)
    const fromLeechers = leechers.length - (member.isSeeder ? 0 : 1)
    const count = Math.min(wanted, fromSeeders + fromLeechers)
    let seedersDrawn = 0
    for (let n = 0; n < count; n++) {
      const leechersDrawn = n - seedersDrawn
      const seedersLeft = fromSeeders - seedersDrawn
      const choice = below(this.#random, seedersLeft + fromLeechers - leechersDrawn)
      if (choice < seedersLeft) {
        target[n] = swap(seeders, seedersDrawn, seedersDrawn + choice)
        seedersDrawn++
      } else {
        target[n] = swap(leechers, leechersDrawn, leechersDrawn + choice - seedersLeft)
      }
    }
    return count
  }
}

/** Exchanges two members of a list; returns the one that is at `a` now. */
function swap(list: Member[], a: number, b: number): Member {
  const chosen = list[b]!
  const other = list[a]!
  list[a] = chosen
  chosen.place = a
  list[b] = other
  other.place = b
  return chosen
}

function toEnd(list: Member[], member: Member): void {
  swap(list, member.place, list.length - 1)
}
