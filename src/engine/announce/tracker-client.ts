/**
 * One way to announce for all kinds of tracker, shared by all torrents of a process.
 *
 * Invariants: a host name is resolved once in five minutes, however many torrents it serves; no host
 * is asked more than a bounded number of things at a time, so a thousand torrents that start together
 * do not open a thousand connections to one tracker, and a dead tracker holds up nobody but itself.
 */
import type { Clock, Random } from '../../base/index.ts'
import type { Network, ResolvedAddress } from '../network.ts'
import { rawPath } from '../url.ts'
import { announceOverHttp } from './http-client.ts'
import { type AnnounceRequest, type AnnounceResult, TrackerError } from './types.ts'
import { UdpTrackerClient } from './udp-client.ts'

const ADDRESSES_LIFETIME_MS = 5 * 60_000
const MAX_CONCURRENT_PER_HOST = 16
/** First rounds of torrents, those included that wait to be one of the above. */
const MAX_BEGINNING_PER_HOST = 32
/** Where each torrent has trackers of its own, nothing is shared. */
const MAX_URLS = 4_096

/** An announce URL that we can announce to. */
export interface TrackerUrl {
  readonly url: string
  readonly kind: 'udp' | 'http'
  /** Name or address, without brackets. */
  readonly host: string
  /** UDP only; HTTP keeps it in the URL. */
  readonly port: number
}

/** Null for what is no URL, or of a kind that is not spoken here. */
export function parseTrackerUrl(text: string): TrackerUrl | null {
  const url = text.trim()
  if (!URL.canParse(url)) return null
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  if (host === '') return null
  if (protocol === 'http:' || protocol === 'https:') return { url, kind: 'http', host, port: 0 }
  // There is no port that UDP trackers have by default (BEP 15).
  if (protocol === 'udp:' && Number(port) > 0) {
    return { url, kind: 'udp', host, port: Number(port) }
  }
  return null
}

/** URLs that were parsed: thousands of torrents have the same trackers, and share what is known of them. */
export class TrackerUrls {
  readonly #known = new Map<string, TrackerUrl | null>()

  /** As `parseTrackerUrl`. */
  of(text: string): TrackerUrl | null {
    let url = this.#known.get(text)
    if (url === undefined) {
      if (this.#known.size === MAX_URLS) this.#known.clear()
      url = parseTrackerUrl(text)
      this.#known.set(text, url)
    }
    return url
  }
}

export interface TrackerClient {
  /** Address families of the tracker's host, at least one. Rejects with a TrackerError. */
  families(tracker: TrackerUrl): Promise<readonly (4 | 6)[]>
  /** Announces over one family. Rejects with a TrackerError. */
  announce(
    tracker: TrackerUrl,
    family: 4 | 6,
    request: AnnounceRequest,
    signal?: AbortSignal,
  ): Promise<AnnounceResult>
  /**
   * Runs a torrent's first round when few others are at theirs with the tracker's host; it never rejects. A round that waits
   * for its turn takes kilobytes, and the ten thousand that begin together none of them.
   */
  begin(tracker: TrackerUrl, round: () => Promise<void>): void
  /** Ends what is waiting; after the last announcer stopped. */
  close(): void
}

interface TrackerClientOptions {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
}

export function createTrackerClient(options: TrackerClientOptions): TrackerClient {
  return new Client(options)
}

class Client implements TrackerClient {
  readonly #network: Network
  readonly #clock: Clock
  readonly #udp: UdpTrackerClient
  readonly #hosts = new Map<string, Host>()

  constructor(options: TrackerClientOptions) {
    this.#network = options.network
    this.#clock = options.clock
    this.#udp = new UdpTrackerClient(options)
  }

  async families(tracker: TrackerUrl): Promise<readonly (4 | 6)[]> {
    const addresses = await this.#host(tracker).addresses()
    return ([4, 6] as const).filter((family) => addresses.some((a) => a.family === family))
  }

  async announce(
    tracker: TrackerUrl,
    family: 4 | 6,
    request: AnnounceRequest,
    signal?: AbortSignal,
  ): Promise<AnnounceResult> {
    const host = this.#host(tracker)
    const release = await host.enter(signal)
    try {
      if (tracker.kind === 'http') {
        return await announceOverHttp(this.#network, tracker.url, family, request, signal)
      }
      const resolved = (await host.addresses()).find((address) => address.family === family)
      if (resolved === undefined) throw new TrackerError(`${tracker.host} has no such address`)
      const path = rawPath(tracker.url)
      const target = { ...resolved, port: tracker.port, path: path === '/' ? '' : path }
      return await this.#udp.announce(target, request, signal)
    } finally {
      release()
    }
  }

  begin(tracker: TrackerUrl, round: () => Promise<void>): void {
    this.#host(tracker).begin(round)
  }

  close(): void {
    this.#udp.close()
  }

  #host(tracker: TrackerUrl): Host {
    let host = this.#hosts.get(tracker.host)
    if (host === undefined) {
      host = new Host(tracker.host, this.#network, this.#clock)
      this.#hosts.set(tracker.host, host)
    }
    return host
  }
}

/** What is known of a tracker's host: its addresses, and how many are talking to it. */
class Host {
  readonly #name: string
  readonly #network: Network
  readonly #clock: Clock
  #resolving: Promise<readonly ResolvedAddress[]> | undefined
  #resolvedMs = Number.NEGATIVE_INFINITY
  #inside = 0
  readonly #queue: (() => void)[] = []
  #beginning = 0
  readonly #beginnings: (() => Promise<void>)[] = []

  constructor(name: string, network: Network, clock: Clock) {
    this.#name = name
    this.#network = network
    this.#clock = clock
  }

  addresses(): Promise<readonly ResolvedAddress[]> {
    const nowMs = this.#clock.monotonicMs()
    if (this.#resolving === undefined || nowMs - this.#resolvedMs >= ADDRESSES_LIFETIME_MS) {
      this.#resolvedMs = nowMs
      this.#resolving = this.#network.resolve(this.#name).catch((cause: unknown) => {
        this.#resolving = undefined
        throw new TrackerError(`${this.#name} has no address`, { cause })
      })
    }
    return this.#resolving
  }

  begin(round: () => Promise<void>): void {
    if (this.#beginning === MAX_BEGINNING_PER_HOST) {
      this.#beginnings.push(round)
      return
    }
    this.#beginning++
    round().then(() => {
      this.#beginning--
      const next = this.#beginnings.shift()
      if (next !== undefined) this.begin(next)
    })
  }

  /** Waits for a place; the result gives it back. */
  async enter(signal: AbortSignal | undefined): Promise<() => void> {
    if (this.#inside < MAX_CONCURRENT_PER_HOST) this.#inside++
    else await this.#wait(signal)
    return () => {
      const next = this.#queue.shift()
      if (next === undefined) this.#inside--
      else next()
    }
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      const abort = (): void => {
        this.#queue.splice(this.#queue.indexOf(enter), 1)
        reject(new TrackerError('given up'))
      }
      if (signal?.aborted === true) {
        reject(new TrackerError('given up'))
        return
      }
      this.#queue.push(enter)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }
}
