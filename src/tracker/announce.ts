/**
 * What an announce does to the store and what is answered: the same for every protocol.
 *
 *     stopped          the peer is deleted, nobody is returned
 *     completed        leecher becomes seeder, a download is counted
 *     left = 0         seeder
 *     otherwise        leecher
 *     paused           as left says, but drawn for as a seeder: it wants nobody that has more than it (BEP 21)
 *
 * The peer is put first, then others are drawn, then the swarm is counted, by one call: so the announcer is never
 * returned to itself but is in the counts, which is what clients show and what most trackers answer. (The counts of chihaya
 * are those from before, so the first peer of a swarm reads that it is empty.)
 *
 * Who starts with nothing left may be a seeder, or may hold a magnet link and not know yet how much is left
 * (aria2 says 0 then). Such a peer needs a seeder for the info dictionary, so the first announce is filled up with a
 * few seeders; a real seeder drops them at once.
 *
 * A leecher that gets nobody is asked back soon: in a small swarm, whoever comes second is then found within a
 * minute and not a quarter of an hour later. All others get the usual interval.
 */
import {
  type AddressFamily,
  COMPACT_BYTES,
  PeerAnnounce,
  type PeerStore,
} from '../peer-store/index.ts'
import {
  type AnnounceAnswer,
  type AnnounceRequest,
  EVENT_COMPLETED,
  EVENT_STARTED,
  EVENT_STOPPED,
} from './announce-request.ts'
import type { Failure } from './failures.ts'
import { HookList } from './hooks/hook.ts'

export * from './announce-request.ts'

export interface AnnouncePolicy {
  readonly announceIntervalMs: number
  readonly minAnnounceIntervalMs: number
  /** For a leecher that got no peer. */
  readonly retryIntervalMs: number
  readonly defaultWanted: number
  readonly maxWanted: number
}

/** Enough to get an info dictionary from; more would make seeders connect to each other for nothing. */
const SEEDERS_FOR_STARTER = 8

export class Announcer {
  readonly #store: PeerStore
  readonly #policy: AnnouncePolicy
  readonly #hooks: HookList
  readonly #announce = new PeerAnnounce()

  constructor(store: PeerStore, policy: AnnouncePolicy, hooks: HookList = new HookList()) {
    this.#store = store
    this.#policy = policy
    this.#hooks = hooks
  }

  /** Why a scrape is refused, by the hooks that look at scrapes, or null. */
  refuseScrape(request: AnnounceRequest): Failure | null {
    return this.#hooks.approveScrape(request)
  }

  /**
   * Does the announce and writes at most `room` peers, compact, at `target[offset…]`; or changes nothing and returns
   * the reason of a hook that refuses. Allocates nothing.
   */
  announce(
    request: AnnounceRequest,
    answer: AnnounceAnswer,
    target: Uint8Array,
    offset: number,
    room: number,
  ): Failure | null {
    const refusal = this.#hooks.approve(request)
    if (refusal !== null) return refusal
    const store = this.#store
    const { infoHash, address, port, event } = request
    const { counts } = this.#announce
    const seeder = request.left === 0 || event === EVENT_COMPLETED
    answer.family = address.length === 4 ? 4 : 6
    answer.peers = 0
    if (event === EVENT_STOPPED) {
      if (!store.deleteLeecher(infoHash, address, port)) store.deleteSeeder(infoHash, address, port)
      store.scrapeSwarm(infoHash, answer.family, counts)
    } else {
      const announce = this.#announce
      announce.infoHash = infoHash
      announce.address = address
      announce.port = port
      announce.seeder = seeder
      announce.graduates = event === EVENT_COMPLETED
      announce.gives = seeder || request.paused
      announce.wanted = this.wanted(request.wanted, room)
      announce.target = target
      announce.offset = offset
      store.announce(announce)
      answer.peers = announce.drawn
      if (seeder && event === EVENT_STARTED) this.#fillUp(request, answer, target, offset, room)
    }
    answer.seeders = counts.seeders
    answer.leechers = counts.leechers
    const retries =
      !seeder &&
      !request.paused &&
      event !== EVENT_STOPPED &&
      answer.peers === 0 &&
      request.wanted !== 0
    const policy = this.#policy
    const intervalMs = retries
      ? Math.min(policy.retryIntervalMs, policy.announceIntervalMs)
      : policy.announceIntervalMs
    answer.intervalSeconds = Math.ceil(intervalMs / 1000)
    answer.minIntervalSeconds = Math.ceil(Math.min(policy.minAnnounceIntervalMs, intervalMs) / 1000)
    this.#hooks.finish(request, answer)
    return null
  }

  /** Adds seeders, and only seeders: drawn as for a leecher, and no more than there are besides itself. */
  #fillUp(
    request: AnnounceRequest,
    answer: AnnounceAnswer,
    target: Uint8Array,
    offset: number,
    room: number,
  ): void {
    const wanted = Math.min(
      this.wanted(request.wanted, room) - answer.peers,
      this.#announce.counts.seeders - 1,
      SEEDERS_FOR_STARTER,
    )
    if (wanted <= 0) return
    const at = offset + answer.peers * COMPACT_BYTES[answer.family]
    const { infoHash, address, port } = request
    answer.peers += this.#store.announcePeers(infoHash, false, wanted, address, port, target, at)
  }

  /** How many peers are returned at most to who asked for `wanted`. */
  wanted(wanted: number, room: number): number {
    const asked = wanted < 0 ? this.#policy.defaultWanted : wanted
    return Math.min(asked, this.#policy.maxWanted, room)
  }
}

/** Peers of a family that fit into `bytes`. */
export function peersThatFit(bytes: number, family: AddressFamily): number {
  return Math.floor(bytes / COMPACT_BYTES[family])
}
