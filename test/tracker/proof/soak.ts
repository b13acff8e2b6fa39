/**
 * A tracker that runs for long, as a process: clients come and go over UDP, HTTP and WebSocket, garbage is collected, lists and
 * configuration are reloaded, some send nonsense. The pace and the number of peers are the same all the time, whatever the machine can
 * do, so memory has to stop growing: the largest of the last third of the run is at most a
 * tenth, or 8 MiB, above that of the third before.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { delay, type Random, systemClock } from '../../../src/base/index.ts'
import type { FrontEndName } from '../../interop/peers/tracker-process.ts'
import { residentBytes } from './hostile.ts'
import {
  announcePath,
  frameOf,
  openTcp,
  openWebSocket,
  sourceOf,
  timeOfRequest,
  udpClient,
  webSocketAnnounce,
} from './load.ts'
import { startTrackerProcess } from './process.ts'

const SAMPLE_MS = 2000
const RELOAD_MS = 5000
/** Swarms and addresses are few enough to come again and again. */
const SWARMS = 2000
const ADDRESSES = 256
/** For one turn of one client over UDP or HTTP. */
const TURN_MS = 25

export interface SoakReport {
  readonly samplesMiB: readonly number[]
  readonly requests: number
  readonly reloads: number
  readonly lost: number
}

export async function soak(
  scratch: string,
  frontEnd: FrontEndName,
  minutes: number,
  random: Random,
  log: (text: string) => void,
): Promise<SoakReport> {
  const list = join(scratch, `${frontEnd}-list`)
  const banned = (n: number): string => `${n.toString(16).padStart(40, 'b')}\n`
  writeFileSync(list, banned(0))
  const { child, ports } = await startTrackerProcess(
    scratch,
    frontEnd,
    `  announce_interval: 30s
  min_announce_interval: 10s
  http: {addr: ["127.0.0.1:0"], read_timeout: 2s, idle_timeout: 3s}
  udp: {addr: ["127.0.0.1:0"]}
  websocket: {ping_interval: 2s, max_connections_per_address: 10000}
  rate_limit: {requests_per_minute: 60000, memory: 1MiB}
  storage: {config: {max_memory: 64MiB, gc_interval: 2s, peer_lifetime: 40s}}
  prehooks: [{name: torrent approval, options: {blacklist_file: ${list}}}]
`,
  )
  const samplesMiB: number[] = []
  let requests = 0
  let lost = 0
  let reloads = 0
  let running = true
  const forever = async (work: () => Promise<void>): Promise<void> => {
    while (running) {
      const dueMs = systemClock.monotonicMs() + TURN_MS
      await work().catch(() => {})
      await delay(systemClock, Math.max(1, dueMs - systemClock.monotonicMs()))
    }
  }
  const overUdp = async (): Promise<void> => {
    const replies = await udpClient(
      ports,
      sourceOf(random.uint32() % ADDRESSES),
      20,
      random,
      SWARMS,
    )
    requests += replies
    lost += 21 - replies
  }
  const overHttp = async (): Promise<void> => {
    if ((await timeOfRequest(ports.http, announcePath(random, SWARMS))) < 0) lost++
    else requests++
  }
  const overWebSocket = async (): Promise<void> => {
    const socket = await openWebSocket(ports.http)
    socket.on('data', () => {})
    for (let n = 0; n < 10 && running; n++) {
      const peer = random.uint32() % 2000
      socket.write(webSocketAnnounce(peer, peer % 50, random.uint32() % 4))
      requests++
      await delay(systemClock, 10)
    }
    // Some go without a word.
    if (random.uint32() % 2 === 0) socket.destroy()
    else socket.end(Buffer.of(0x88, 0x80, 0, 0, 0, 0))
  }
  const nonsense = async (): Promise<void> => {
    const socket: Socket = await (random.uint32() % 2 === 0
      ? openTcp(ports.http)
      : openWebSocket(ports.http))
    const noise = Buffer.alloc(random.uint32() % 2000)
    random.fill(noise)
    socket.write(random.uint32() % 3 === 0 ? frameOf('{"action":') : noise)
    await delay(systemClock, 20)
    socket.destroy()
  }
  const reloading = async (): Promise<void> => {
    await delay(systemClock, RELOAD_MS)
    writeFileSync(list, Array.from({ length: 20_000 }, (_, n) => banned(n + reloads)).join(''))
    const seen = child.events.length
    child.signal('SIGHUP')
    await child.event('reloaded', 20_000, seen)
    reloads++
  }
  const workers = [overUdp, overUdp, overUdp, overHttp, overHttp, overWebSocket, overWebSocket]
  const all = [...workers, nonsense, reloading].map(forever)
  const endMs = systemClock.monotonicMs() + minutes * 60_000
  try {
    while (systemClock.monotonicMs() < endMs) {
      await delay(systemClock, Math.min(SAMPLE_MS, endMs - systemClock.monotonicMs()))
      assert.equal(child.ending, undefined, child.output)
      const mib = Math.round(residentBytes(child) / 2 ** 20)
      samplesMiB.push(mib)
      if (samplesMiB.length % 15 === 0)
        log(`${frontEnd}: ${mib} MiB, ${requests} requests, ${lost} lost, ${reloads} reloads`)
    }
  } finally {
    running = false
    await Promise.all(all)
    await child.stop()
  }
  return { samplesMiB, requests, reloads, lost }
}

/** Throws when memory grows. */
export function judge({ samplesMiB, requests }: SoakReport): void {
  assert.ok(requests > 0)
  const third = Math.floor(samplesMiB.length / 3)
  const middle = Math.max(...samplesMiB.slice(third, 2 * third))
  const last = Math.max(...samplesMiB.slice(2 * third))
  assert.ok(last <= Math.max(middle * 1.1, middle + 8), `${middle} MiB, then ${last} MiB`)
}
