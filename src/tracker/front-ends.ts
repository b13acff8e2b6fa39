/**
 * The two ways to serve: the fast path of Linux, in worker threads over the system's own calls, and the portable one, in this
 * thread over node's sockets. Both give the same packets and requests to the same handlers.
 *
 *     fast       UDP: workers/ (recvmmsg, sendmmsg)   HTTP: workers/ (epoll)           HTTPS: this thread (node:tls)
 *     portable   UDP: this thread (node:dgram)        HTTP: this thread (node:net)    HTTPS: this thread (node:tls)
 *
 * What goes on as WebSocket lives in one thread, because swarms are of connections: in the first worker, or in this thread.
 */
import { availableParallelism } from 'node:os'
import type { Clock, Logger, Random } from '../base/index.ts'
import type { SharedPeerStore } from '../peer-store/index.ts'
import { type ConnectionIdShare, ConnectionIds } from './connection-id.ts'
import { Counters } from './counters.ts'
import { trackerError } from './errors.ts'
import { type Handlers, makeHandlers } from './handlers.ts'
import type { HookList } from './hooks/hook.ts'
import { HttpServer, type TakeOver } from './http-server.ts'
import { type Libc, probeLibc } from './linux/libc.ts'
import { openTunnel } from './linux/tls-tunnel.ts'
import type { Listener, Servers } from './listen.ts'
import type { FrontEndChoice, FrontEndFacts, Settings, TrackerPolicy } from './options.ts'
import { RateLimiter, type RateLimiterShare } from './rate-limiter.ts'
import { UdpServer } from './udp-server.ts'
import { NodeSocket } from './websocket/node-socket.ts'
import { type WebSocketContext, WebSocketServer } from './websocket/server.ts'
import type { WorkerSettings } from './workers/messages.ts'
import { WorkerPool } from './workers/pool.ts'
import { WorkerSockets } from './workers/sockets.ts'

export interface FrontEndParts {
  readonly store: SharedPeerStore
  readonly connectionIds: ConnectionIdShare
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** What can be replaced while it serves. */
export interface Terms {
  readonly policy: TrackerPolicy
  /** The same, settled. */
  readonly settings: Settings
  readonly limiter: RateLimiterShare | null
}

export interface FrontEnds extends Servers {
  /** A block for each thread that counts. */
  readonly counters: readonly Counters[]
  /** How often a thread died and was replaced. */
  readonly restarts: number
  /** Serves on all sockets that were opened. */
  begin(): Promise<void>
  /** Resolves when every answer is by the new terms. */
  settle(terms: Terms): Promise<void>
  /** Closes sockets and connections; nothing is answered after. */
  close(): Promise<void>
}

/** Rejects what cannot be with TRACKER_FRONT_END. `workers` 0: one for each processor. */
export function chooseFrontEnd(
  choice: FrontEndChoice,
  workers: number,
  hooks: HookList,
): { readonly facts: FrontEndFacts; readonly libc?: Libc } {
  if (choice === 'portable') return { facts: portable('the configuration says so') }
  const { libc, reason = 'a hook is made for the main thread only' } = probeLibc()
  if (libc !== undefined && hooks.share(0) !== undefined) {
    return { libc, facts: { path: 'fast', workers: workers || availableParallelism() } }
  }
  if (choice === 'auto') return { facts: portable(reason) }
  throw trackerError('TRACKER_FRONT_END', `the fast front end cannot run: ${reason}`, {
    mend: 'It needs Linux on x64 or arm64 and the package koffi (npm install koffi). With front_end: auto the portable one serves instead.',
  })
}

function portable(reason: string): FrontEndFacts {
  return { path: 'portable', workers: 0, reason }
}

/** All in this thread. */
export class PortableFrontEnds implements FrontEnds {
  readonly udp: UdpServer
  readonly http: HttpServer
  readonly counters: readonly Counters[]
  readonly restarts = 0
  readonly #parts: FrontEndParts
  readonly #websocket: WebSocketServer

  constructor(parts: FrontEndParts, terms: Terms) {
    this.#parts = parts
    const { clock, random } = parts
    const { settings } = terms
    const counters = new Counters()
    this.counters = [counters]
    const { udp, http } = handlersOf(parts, terms, counters)
    const websocket = new WebSocketServer(
      { clock, exact: clock, random, counters, soon: (work) => void setImmediate(work) },
      signallingOf(parts, terms),
    )
    const takeOver: TakeOver = (socket, remote, bytes) =>
      websocket.takeOver(new NodeSocket(socket), remote, bytes)
    this.#websocket = websocket
    this.udp = new UdpServer(clock, udp, counters, settings.udp.timed)
    const upgrades = settings.websocket.enabled ? takeOver : undefined
    this.http = new HttpServer(clock, http, counters, settings.http, upgrades)
  }

  async begin(): Promise<void> {}

  async settle(terms: Terms): Promise<void> {
    const { udp, http } = handlersOf(this.#parts, terms, this.counters[0]!)
    this.udp.reconfigure(udp, terms.settings.udp.timed)
    this.http.reconfigure(http, terms.settings.http)
    this.#websocket.reconfigure(signallingOf(this.#parts, terms))
  }

  async close(): Promise<void> {
    this.#websocket.close()
    await Promise.all([this.udp.close(), this.http.close()])
  }
}

/** UDP and HTTP in workers; TLS in this thread. */
export class FastFrontEnds implements FrontEnds {
  readonly udp: WorkerSockets
  readonly http: Listener
  readonly #tcp: WorkerSockets
  readonly #https: HttpServer
  readonly #parts: FrontEndParts
  readonly #workers: number
  readonly #pool: WorkerPool
  readonly #own: Counters = new Counters()
  #terms: Terms
  #listensTls = false

  constructor(libc: Libc, workers: number, parts: FrontEndParts, terms: Terms) {
    this.#parts = parts
    this.#workers = workers
    this.#terms = terms
    const signals = terms.settings.websocket.enabled
    const pool = new WorkerPool({ libc, ...parts, signals })
    this.#pool = pool
    this.udp = new WorkerSockets(libc, workers, 'udp')
    const tcp = new WorkerSockets(libc, workers, 'tcp')
    const { http } = handlersOf(parts, terms, this.#own)
    const takeOver: TakeOver = (socket, remote, bytes) => {
      try {
        pool.adopt(openTunnel(libc, socket), remote, bytes)
      } catch {
        // There are no descriptors left.
        socket.destroy()
      }
    }
    const upgrades = signals ? takeOver : undefined
    const https = new HttpServer(parts.clock, http, this.#own, terms.settings.http, upgrades)
    this.#tcp = tcp
    this.#https = https
    this.http = {
      listen: (address, port, secure = false, fd) => {
        if (secure) this.#listensTls = true
        return (secure ? https : tcp).listen(address, port, secure, fd)
      },
    }
  }

  get counters(): readonly Counters[] {
    return [this.#own, ...this.#pool.counters]
  }

  get restarts(): number {
    return this.#pool.restarts
  }

  async begin(): Promise<void> {
    const sockets = Array.from({ length: this.#workers }, (_, worker) => [
      ...this.udp.take(worker),
      ...this.#tcp.take(worker),
    ])
    // Without sockets there is nothing to do for them, but for those who come by TLS and stay.
    const signals = this.#listensTls && this.#terms.settings.websocket.enabled
    const busy = signals || sockets.some((own) => own.length > 0)
    this.#watch()
    if (busy) await this.#pool.start(sockets, (worker) => this.#settingsOf(worker))
  }

  async settle(terms: Terms): Promise<void> {
    this.#terms = terms
    this.#watch()
    const { http } = handlersOf(this.#parts, terms, this.#own)
    this.#https.reconfigure(http, terms.settings.http)
    await this.#pool.settle((worker) => this.#settingsOf(worker))
  }

  async close(): Promise<void> {
    const sockets = [this.udp.close(), this.#tcp.close(), this.#https.close()]
    await Promise.all([...sockets, this.#pool.stop()])
  }

  #settingsOf(worker: number): WorkerSettings {
    return workerSettings(this.#terms, worker, this.#workers)
  }

  /** What hooks learn later is sent after them. */
  #watch(): void {
    const { hooks } = this.#terms.settings
    hooks.watch(() => {
      if (this.#terms.settings.hooks !== hooks) return
      void this.#pool.settle((worker) => this.#settingsOf(worker))
    })
  }
}

function handlersOf(
  { store, clock, connectionIds }: FrontEndParts,
  { settings, limiter }: Terms,
  counters: Counters,
): Handlers {
  return makeHandlers(settings, {
    store,
    counters,
    connectionIds: new ConnectionIds(clock, connectionIds),
    limiter: limiter === null ? null : new RateLimiter(clock, limiter),
    hooks: settings.hooks,
  })
}

function signallingOf({ clock }: FrontEndParts, { settings, limiter }: Terms): WebSocketContext {
  return {
    settings: settings.websocket,
    hooks: settings.hooks,
    limiter: limiter === null ? null : new RateLimiter(clock, limiter),
  }
}

/** What worker n of so many is told. Throws TRACKER_FRONT_END when a hook cannot be there. */
function workerSettings(
  { policy, settings, limiter }: Terms,
  worker: number,
  workers: number,
): WorkerSettings {
  const hooks = settings.hooks.share(worker)
  if (hooks === undefined) {
    throw trackerError('TRACKER_FRONT_END', 'a hook is made for the main thread only')
  }
  const { hooks: _hooks, http, ...rest } = policy
  // The kernel spreads connections evenly: each worker has its share of them.
  const maxHttpConnections = Math.ceil(settings.http.maxConnections / workers)
  const plain = { ...rest, maxHttpConnections }
  if (http === undefined) return { policy: plain, hooks, limiter }
  const { tls: _tls, ...plainHttp } = http
  return { policy: { ...plain, http: plainHttp }, hooks, limiter }
}
