/**
 * A worker of the fast path: one thread, one epoll, its own handlers and counters over the store of all.
 *
 * It never returns to node's event loop: it sleeps in epoll_wait, and reads what the main thread posted when that wakes it. So it must not
 * need promises, and what is due later is done by its clock, once a second. It wakes every second anyhow, which is also the longest that the process waits for it when it ends without
 * telling it.
 *
 * Invariant: it is stopped between two rounds, never inside a call of the store, whose lock would stay.
 */
import { networkInterfaces } from 'node:os'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert, systemClock, systemRandom } from '../../base/index.ts'
import { openPeerStore } from '../../peer-store/index.ts'
import { ConnectionIds } from '../connection-id.ts'
import { Counters } from '../counters.ts'
import { type Handlers, makeHandlers } from '../handlers.ts'
import { HookList } from '../hooks/hook.ts'
import { openHook } from '../hooks/open-hook.ts'
import { BatchClock } from '../linux/batch-clock.ts'
import { DatagramBatch } from '../linux/datagram-batch.ts'
import { HttpFront, type TakeDescriptor } from '../linux/http-front.ts'
import { probeLibc } from '../linux/libc.ts'
import { LiveConnections } from '../linux/live-connections.ts'
import { MAX_EVENTS, Poller } from '../linux/poller.ts'
import { hasSeveralAddresses, noteDestinations } from '../linux/socket.ts'
import { type UdpFront, UdpListener } from '../linux/udp-front.ts'
import { type Settings, settle } from '../options.ts'
import { RateLimiter } from '../rate-limiter.ts'
import type { WebSocketContext } from '../websocket/server.ts'
import type { FromWorker, ToWorker, WorkerSettings, WorkerStart } from './messages.ts'

const ROUND_MS = 1000

interface Settled extends Settings {
  readonly handlers: Handlers
  readonly signalling: WebSocketContext
}

function run(start: WorkerStart): void {
  const { libc } = probeLibc()
  assert(libc !== undefined && parentPort !== null, 'a worker of the fast path, and no fast path')
  const port = parentPort
  const random = systemRandom()
  const clock = new BatchClock(systemClock, start.originMs)
  const store = openPeerStore(start.store, { random })
  const counters = new Counters(start.counters)
  const connectionIds = new ConnectionIds(clock, start.connectionIds)

  const settled = (by: WorkerSettings): Settled => {
    const hooks = new HookList(by.hooks.map((share) => openHook(share, clock, random)))
    const limiter = by.limiter === null ? null : new RateLimiter(clock, by.limiter)
    const settings = settle(by.policy)
    const parts = { store, counters, connectionIds, limiter, hooks }
    const signalling = { settings: settings.websocket, hooks, limiter }
    return { ...settings, handlers: makeHandlers(settings, parts), signalling }
  }
  const tell = (message: FromWorker): void => port.postMessage(message)

  const first = settled(start.settings)
  let stopped = false
  const poller = new Poller(libc, start.wakeFd, () => {
    for (;;) {
      const received = receiveMessageOnPort(port)
      if (received === undefined) return
      const message = received.message as ToWorker
      if (message.kind === 'stop') {
        stopped = true
        continue
      }
      if (message.kind === 'connection') {
        live?.take(message.fd, message.remote, message.bytes)
        continue
      }
      const next = settled(message.settings)
      udp.handler = next.handlers.udp
      udp.timed = next.udp.timed
      http.connections.reconfigure(next.handlers.http, next.http)
      live?.reconfigure(next.signalling)
      tell({ kind: 'settled', version: message.version })
    }
  })
  const udp: UdpFront = {
    libc,
    store,
    clock,
    counters,
    poller,
    handler: first.handlers.udp,
    timed: first.udp.timed,
  }
  // Those of a worker that died are gone.
  counters.noneOpen()
  const parts = { clock, exact: clock.exact, random, counters }
  const live =
    start.signalling === 'here'
      ? new LiveConnections(libc, poller, parts, first.signalling)
      : undefined
  const handOver: TakeDescriptor = (fd, remote, bytes) =>
    tell({ kind: 'connection', fd, remote, bytes })
  const takeOver = start.signalling === 'elsewhere' ? handOver : live?.take
  const http = new HttpFront({
    libc,
    poller,
    // Answers are timed one by one.
    clock: clock.exact,
    counters,
    handler: first.handlers.http,
    limits: first.http,
    ...(takeOver === undefined ? {} : { takeOver }),
  })
  const listeners: UdpListener[] = []
  const interfaces = networkInterfaces()
  try {
    for (const { protocol, fd, family } of start.sockets) {
      if (protocol === 'tcp') {
        http.listen(fd, family)
        continue
      }
      // It costs some, so only where it changes anything.
      const notes = hasSeveralAddresses(interfaces, family) && noteDestinations(libc, fd, family)
      const listener = new UdpListener(udp, fd, family, new DatagramBatch(libc, family, notes))
      listeners.push(listener)
      listener.listen()
    }
    tell({ kind: 'settled', version: start.version })
    const begin = (events: number): void => {
      clock.take()
      http.begin(events === MAX_EVENTS)
    }
    let lookMs = clock.exactMs() + ROUND_MS
    while (!stopped) {
      poller.wait(ROUND_MS, begin)
      live?.endRound()
      if (clock.monotonicMs() < lookMs) continue
      lookMs = clock.monotonicMs() + ROUND_MS
      for (const listener of listeners) listener.look()
      http.sweep()
      clock.runDue()
      live?.endRound()
    }
  } finally {
    // Descriptors are of the process: who dies takes its connections along.
    for (const listener of listeners) listener.look()
    live?.close()
    http.close()
    poller.close()
  }
}

run(workerData as WorkerStart)
