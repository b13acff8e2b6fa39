/** Both front ends of HTTP in this thread, by the clock of the test, for tests that hold for either. */
import { connect, Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { type Clock, seededRandom } from '../../src/base/index.ts'
import { createPeerStore, type PeerStore } from '../../src/peer-store/index.ts'
import { Announcer } from '../../src/tracker/announce.ts'
import { Counters } from '../../src/tracker/counters.ts'
import { SWEEP_MS } from '../../src/tracker/http-connections.ts'
import { HttpHandler } from '../../src/tracker/http-handler.ts'
import { HttpServer, type TakeOver } from '../../src/tracker/http-server.ts'
import { HttpFront } from '../../src/tracker/linux/http-front.ts'
import { type Libc, probeLibc } from '../../src/tracker/linux/libc.ts'
import { openWake, Poller } from '../../src/tracker/linux/poller.ts'
import { openTcpListener } from '../../src/tracker/linux/socket.ts'
import { settle, type TrackerPolicy } from '../../src/tracker/options.ts'

const { libc, reason = '' } = probeLibc()

export const FRONT_ENDS = ['portable', 'epoll'] as const
export type FrontEnd = (typeof FRONT_ENDS)[number]

/** Why a front end cannot be tested here, or false. */
export function skipped(frontEnd: FrontEnd): string | false {
  return frontEnd === 'epoll' && libc === undefined && `no epoll: ${reason}`
}

export interface SetUp {
  readonly clock: Clock
  readonly policy?: TrackerPolicy
  readonly takeOver?: TakeOver
  readonly shedAgeMs?: number
  /** Stands between the fast path and the C library. */
  readonly between?: (libc: Libc) => Libc
}

/** A front end that listens on a port of 127.0.0.1, until the test ends. */
export async function startFrontEnd(
  t: TestContext,
  frontEnd: FrontEnd,
  setUp: SetUp,
): Promise<{ readonly counters: Counters; readonly store: PeerStore; readonly port: number }> {
  const { clock, takeOver, policy = {} } = setUp
  const counters = new Counters()
  const store = createPeerStore({ clock, random: seededRandom(1) })
  t.after(() => store.stop())
  const { http } = settle(policy)
  const announcer = new Announcer(store, http.policy)
  const handler = new HttpHandler({
    ...http,
    store,
    counters,
    announcer,
    maxWanted: http.policy.maxWanted,
  })
  if (frontEnd === 'portable') {
    const server = new HttpServer(clock, handler, counters, http, takeOver)
    t.after(() => server.close())
    return { counters, store, port: await server.listen('127.0.0.1', 0) }
  }
  const own = setUp.between === undefined ? libc! : setUp.between(libc!)
  const wakeFd = openWake(own)
  const poller = new Poller(own, wakeFd)
  const front = new HttpFront({
    libc: own,
    poller,
    clock,
    counters,
    handler,
    limits: http,
    ...(setUp.shedAgeMs === undefined ? {} : { shedAgeMs: setUp.shedAgeMs }),
    ...(takeOver === undefined
      ? {}
      : {
          takeOver: (fd, remote, bytes) =>
            takeOver(new Socket({ fd, readable: true, writable: true }), remote, bytes),
        }),
  })
  const { fd, port } = openTcpListener(own, '127.0.0.1', 0, false)
  front.listen(fd, 4)
  let closed = false
  const round = (): void => {
    if (closed) return
    front.begin(true)
    poller.wait(0)
    setImmediate(round)
  }
  round()
  let cancel: () => void
  const sweepLater = (): void => {
    cancel = clock.after(SWEEP_MS, () => {
      front.sweep()
      sweepLater()
    })
  }
  sweepLater()
  t.after(() => {
    closed = true
    cancel()
    front.close()
    own.close(fd)
    poller.close()
    own.close(wakeFd)
  })
  return { counters, store, port }
}

/** A TCP client that collects what it gets. */
export class Client {
  text = ''
  /** The other end has sent all that it will. */
  ended = false
  closed = false
  readonly socket: Socket
  #waiting: (() => void) | undefined

  constructor(t: TestContext, port: number, host = '127.0.0.1') {
    this.socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
    this.socket.on('data', (chunk) => {
      this.text += chunk.toString('latin1')
      this.#waiting?.()
    })
    this.socket.on('end', () => {
      this.ended = true
      this.socket.end()
      this.#waiting?.()
    })
    this.socket.on('close', () => {
      this.closed = true
      this.#waiting?.()
    })
    this.socket.on('error', () => {})
    t.after(() => this.socket.destroy())
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    }
  }

  answers(): number {
    return this.text.split('HTTP/1.1 ').length - 1
  }
}

export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

export async function until(done: () => boolean): Promise<void> {
  while (!done()) await turns(1)
}
