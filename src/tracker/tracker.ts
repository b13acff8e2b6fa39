/**
 * The tracker: UDP and HTTP on one port of every address, over one store, with garbage collected beside.
 *
 * Defaults. Clients announce every 15 minutes and may every minute; a leecher that finds nobody comes back after one. Peers
 * live 31 minutes: one lost announce does not expel them. Garbage is looked for every two minutes, a few thousand swarms at a time.
 */
import { type Clock, errnoOf, type Logger, type Random, type SeedbedError } from '../base/index.ts'
import type { PeerStore } from '../peer-store/index.ts'
import { parseAddress } from './addresses.ts'
import { Announcer } from './announce.ts'
import { ConnectionIds } from './connection-id.ts'
import { Counters, type TrackerStats } from './counters.ts'
import { trackerError } from './errors.ts'
import { HttpHandler } from './http-handler.ts'
import { HttpServer } from './http-server.ts'
import { UdpHandler } from './udp-handler.ts'
import { UdpServer } from './udp-server.ts'

const MINUTE_MS = 60_000
/** Port 0: the system's choice for the first socket may be taken for the others. */
const PORT_ATTEMPTS = 20
const GC_STEP_SWARMS = 4096
const GC_STEP_PAUSE_MS = 5
/** As many peers as a request may be given in any protocol. */
const MAX_WANTED_LIMIT = 10_000

export interface TrackerOptions {
  /** Stays the caller's: `stop` does not stop it. */
  readonly store: PeerStore
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Addresses to listen on, such as `0.0.0.0` and `::` (which takes IPv6 only). Default: these two. */
  readonly bind?: readonly string[]
  /** 0: one that is free for both protocols on all addresses. */
  readonly port: number
  /** Default 15 min. */
  readonly announceIntervalMs?: number
  /** Default 1 min. */
  readonly minAnnounceIntervalMs?: number
  /** Interval for a leecher that got no peer. Default 1 min. */
  readonly retryIntervalMs?: number
  /** Peers not heard of for so long are dropped. Default 31 min. */
  readonly peerLifetimeMs?: number
  /** Pause between two passes of garbage collection. Default 2 min. */
  readonly gcIntervalMs?: number
  /** Peers for who does not say how many. Default 50. */
  readonly defaultWanted?: number
  /** Default 100. UDP over IPv6 returns at most 67, so that the datagram stays whole. */
  readonly maxWanted?: number
  /** Believe the address that an announce names. Default false: anybody could send peers to anybody. */
  readonly allowIpSpoofing?: boolean
  /** Default 4096. */
  readonly maxHttpConnections?: number
  /** Default 30 s. */
  readonly httpIdleTimeoutMs?: number
  /** Default 5 s. */
  readonly httpHeadTimeoutMs?: number
  /** Default 10 s. */
  readonly httpWriteTimeoutMs?: number
}

export interface Tracker {
  readonly port: number
  /** Those of `bind` that it listens on. */
  readonly addresses: readonly string[]
  stats(): TrackerStats
  /** Closes sockets and connections; nothing is answered after. */
  stop(): Promise<void>
}

/** Rejects with TRACKER_PORT_TAKEN, TRACKER_LISTEN_FAILED or TRACKER_INVALID_OPTION. */
export async function startTracker(options: TrackerOptions): Promise<Tracker> {
  const settings = settle(options)
  const { store, clock, random, logger } = options
  const counters = new Counters()
  const announcer = new Announcer(store, settings)
  const { allowIpSpoofing, maxWanted } = settings
  const connectionIds = new ConnectionIds(clock, random)
  const udp = new UdpHandler({ store, announcer, connectionIds, counters, allowIpSpoofing })
  const http = new HttpHandler({ store, announcer, counters, allowIpSpoofing, maxWanted })
  const makeServers = (): Servers => ({
    udp: new UdpServer(udp, counters),
    http: new HttpServer(clock, http, counters, settings),
  })
  const { servers, addresses, port } = await listen(makeServers, settings.bind, options)
  const stopCollecting = collectGarbage(store, clock, settings)
  logger.info({ port, addresses }, 'tracker listens')
  let stopped: Promise<unknown> | undefined
  return {
    port,
    addresses,
    stats: () => counters.snapshot(),
    async stop() {
      stopCollecting()
      stopped ??= Promise.all([servers.udp.close(), servers.http.close()])
      await stopped
    },
  }
}

interface Servers {
  readonly udp: UdpServer
  readonly http: HttpServer
}

type Settings = Required<Omit<TrackerOptions, 'store' | 'clock' | 'random' | 'logger' | 'port'>> & {
  readonly maxConnections: number
  readonly idleTimeoutMs: number
  readonly headTimeoutMs: number
  readonly writeTimeoutMs: number
}

function settle(options: TrackerOptions): Settings {
  const number = (name: keyof TrackerOptions, fallback: number, least: number, most: number) => {
    const value = options[name] ?? fallback
    if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most)
      return Number(value)
    throw trackerError(
      'TRACKER_INVALID_OPTION',
      `${name} is ${String(value)}: it must be a whole number from ${least} to ${most}`,
    )
  }
  const bind = options.bind ?? ['0.0.0.0', '::']
  for (const address of bind) {
    if (parseAddress(address) !== null) continue
    throw trackerError('TRACKER_INVALID_OPTION', `bind has ${address}, which is no IP address`)
  }
  if (bind.length === 0) throw trackerError('TRACKER_INVALID_OPTION', 'bind names no address')
  number('port', 0, 0, 65_535)
  const day = 24 * 60 * MINUTE_MS
  const maxHttpConnections = number('maxHttpConnections', 4096, 1, 1e6)
  const httpIdleTimeoutMs = number('httpIdleTimeoutMs', 30_000, 1, day)
  const httpHeadTimeoutMs = number('httpHeadTimeoutMs', 5000, 1, day)
  const httpWriteTimeoutMs = number('httpWriteTimeoutMs', 10_000, 1, day)
  return {
    bind,
    announceIntervalMs: number('announceIntervalMs', 15 * MINUTE_MS, 1000, day),
    minAnnounceIntervalMs: number('minAnnounceIntervalMs', MINUTE_MS, 0, day),
    retryIntervalMs: number('retryIntervalMs', MINUTE_MS, 1000, day),
    peerLifetimeMs: number('peerLifetimeMs', 31 * MINUTE_MS, 1000, day),
    gcIntervalMs: number('gcIntervalMs', 2 * MINUTE_MS, 1000, day),
    defaultWanted: number('defaultWanted', 50, 0, MAX_WANTED_LIMIT),
    maxWanted: number('maxWanted', 100, 0, MAX_WANTED_LIMIT),
    allowIpSpoofing: options.allowIpSpoofing ?? false,
    maxHttpConnections,
    httpIdleTimeoutMs,
    httpHeadTimeoutMs,
    httpWriteTimeoutMs,
    maxConnections: maxHttpConnections,
    idleTimeoutMs: httpIdleTimeoutMs,
    headTimeoutMs: httpHeadTimeoutMs,
    writeTimeoutMs: httpWriteTimeoutMs,
  }
}

async function listen(
  makeServers: () => Servers,
  bind: readonly string[],
  options: TrackerOptions,
): Promise<{ servers: Servers; addresses: readonly string[]; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const servers = makeServers()
    try {
      return { servers, ...(await listenOnAll(servers, bind, options)) }
    } catch (error) {
      await Promise.all([servers.udp.close(), servers.http.close()])
      const taken = (error as Partial<SeedbedError>).code === 'TRACKER_PORT_TAKEN'
      if (!taken || options.port !== 0 || attempt === PORT_ATTEMPTS) throw error
    }
  }
}

async function listenOnAll(
  servers: Servers,
  bind: readonly string[],
  options: TrackerOptions,
): Promise<{ addresses: readonly string[]; port: number }> {
  const addresses: string[] = []
  let port = options.port
  let missing: SeedbedError | undefined
  for (const address of bind) {
    try {
      port = await servers.http.listen(address, port)
    } catch (error) {
      // A host without IPv6 is no reason not to serve IPv4.
      if (address !== '::' || !isFamilyMissing(error))
        throw listenError('TCP', address, port, error)
      missing = listenError('TCP', address, port, error)
      continue
    }
    try {
      await servers.udp.listen(address, port)
    } catch (error) {
      throw listenError('UDP', address, port, error)
    }
    addresses.push(address)
  }
  if (addresses.length === 0) throw missing
  if (missing !== undefined)
    options.logger.warn({ address: '::' }, 'this host has no IPv6: not served')
  return { addresses, port }
}

function isFamilyMissing(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === 'EAFNOSUPPORT' || errno === 'EADDRNOTAVAIL'
}

function listenError(
  protocol: 'TCP' | 'UDP',
  address: string,
  port: number,
  cause: unknown,
): SeedbedError {
  const errno = errnoOf(cause) ?? String(cause)
  const where = `${protocol} ${address.includes(':') ? `[${address}]` : address}:${port}`
  if (errno === 'EADDRINUSE') {
    return trackerError('TRACKER_PORT_TAKEN', `${where} is taken by another process`, {
      mend: 'Stop that process, or choose another port with --tracker-port N.',
      cause,
    })
  }
  const mend =
    errno === 'EACCES'
      ? 'Ports below 1024 need privileges: choose another with --tracker-port N.'
      : 'Choose an address of this host.'
  return trackerError('TRACKER_LISTEN_FAILED', `cannot listen on ${where}: ${errno}`, {
    mend,
    cause,
  })
}

/** Passes over the store in steps, so that packets are answered in between; the result ends it. */
function collectGarbage(store: PeerStore, clock: Clock, settings: Settings): () => void {
  const { gcIntervalMs, peerLifetimeMs } = settings
  let cancel = clock.after(gcIntervalMs, step)
  function step(): void {
    const ended = store.collectGarbageStep(peerLifetimeMs, GC_STEP_SWARMS)
    cancel = clock.after(ended ? gcIntervalMs : GC_STEP_PAUSE_MS, step)
  }
  return () => cancel()
}
