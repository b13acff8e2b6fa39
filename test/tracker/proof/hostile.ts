/**
 * A tracker among clients that mean it ill, as a process, on either front end: who sends a head or a message byte by byte, ten
 * thousand who connect and say nothing, a flood from ten thousand addresses. While each lasts others are served; after it the
 * process is as small as it was told to be.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { delay, type Random, systemClock } from '../../../src/base/index.ts'
import type { Child } from '../../interop/peers/child.ts'
import {
  inParallel,
  openTcp,
  openWebSocket,
  type Ports,
  sourceOf,
  timeOfRequest,
  udpClient,
} from './load.ts'

export const STORE_LIMIT_BYTES: number = 64 * 2 ** 20
/** What node itself takes, with two workers, and the buffers of the front ends. */
const PROCESS_BYTES: number = 192 * 2 ** 20

/** Below `tracker:`. */
export const HOSTILE_CONFIG = `  announce_interval: 1m
  http: {addr: ["127.0.0.1:0"], read_timeout: 2s, idle_timeout: 5m, max_connections: 30000}
  udp: {addr: ["127.0.0.1:0"]}
  websocket: {ping_interval: 1s, max_connections: 30000, max_connections_per_address: 30000}
  storage: {config: {max_memory: 64MiB, gc_interval: 1s, peer_lifetime: 2m}}
`

export function residentBytes(child: Child): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

export interface Finding {
  readonly what: string
  readonly residentBytes: number
}

const within = (child: Child, extraBytes: number): number => {
  const bytes = residentBytes(child)
  assert.ok(
    bytes < PROCESS_BYTES + STORE_LIMIT_BYTES + extraBytes,
    `${Math.round(bytes / 2 ** 20)} MiB are resident`,
  )
  return bytes
}

/** Each of `count` sends a head, and half as many a message of WebSocket, a byte every 100 ms: all are cut off. */
export async function slowLoris(child: Child, ports: Ports, count: number): Promise<Finding> {
  const sockets: Socket[] = []
  const open = async (kind: 'http' | 'ws'): Promise<void> => {
    const socket = await (kind === 'http' ? openTcp(ports.http) : openWebSocket(ports.http))
    socket.on('data', () => {})
    sockets.push(socket)
  }
  await inParallel(count, 100, () => open('http'))
  await inParallel(Math.ceil(count / 2), 100, () => open('ws'))
  let at = 0
  const text = 'GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1'
  const deadlineMs = systemClock.monotonicMs() + 90_000
  let slowest = 0
  while (sockets.some((socket) => !socket.destroyed)) {
    assert.ok(systemClock.monotonicMs() < deadlineMs, 'they are cut off')
    for (const [n, socket] of sockets.entries()) {
      if (socket.destroyed) continue
      // A message of 60,000 bytes that never becomes whole.
      const head = Buffer.of(0x81, 0xfe, 0xea, 0x60)
      socket.write(n < count ? text[at % text.length]! : Buffer.of(head[at] ?? 0x20))
    }
    at++
    const took = await timeOfRequest(ports.http)
    assert.ok(took >= 0, 'others are served meanwhile')
    slowest = Math.max(slowest, took)
    await delay(systemClock, 100)
  }
  return {
    what: `${sockets.length} slow clients cut off; slowest other request ${slowest.toFixed(0)} ms`,
    residentBytes: within(child, 0),
  }
}

/** `count` connections that say nothing, a tenth of them upgraded. */
export async function idle(child: Child, ports: Ports, count: number): Promise<Finding> {
  const sockets: Socket[] = []
  try {
    await inParallel(count, 100, async (n) => {
      sockets.push(await (n % 10 === 0 ? openWebSocket(ports.http) : openTcp(ports.http)))
    })
    const took = await timeOfRequest(ports.http)
    assert.ok(took >= 0, 'others are served')
    // As a connection of HTTP costs in node, on the portable path.
    const bytes = within(child, count * 12_000)
    return {
      what: `${count} idle connections; a request ${took.toFixed(0)} ms`,
      residentBytes: bytes,
    }
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

/** `count` addresses, each of which proves itself and announces to swarms of its own. */
export async function flood(
  child: Child,
  ports: Ports,
  count: number,
  announces: number,
  random: Random,
): Promise<Finding> {
  let heard = 0
  let lost = 0
  await inParallel(count, 256, async (n) => {
    const replies = await udpClient(ports, sourceOf(n), announces, random, 2 ** 24)
    heard += replies
    lost += announces + 1 - replies
  })
  const took = await timeOfRequest(ports.http)
  assert.ok(took >= 0, 'others are served')
  assert.ok(heard > 0)
  return {
    what: `a flood from ${count} addresses: ${heard} answers, ${lost} lost`,
    residentBytes: within(child, 0),
  }
}
