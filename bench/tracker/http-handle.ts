/**
 * `node http-handle.js SWARMS PEERS WANTED REQUESTS`: ns to parse, handle and write one announce of HTTP without a socket, the store
 * alone for the same announces, and bytes of the heap that a request leaves behind. Prints one JSON object.
 */
import { seededRandom, systemClock } from '../../src/base/index.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import { AnnounceAnswer, AnnounceRequest, Announcer } from '../../src/tracker/announce.ts'
import { Counters } from '../../src/tracker/counters.ts'
import { HttpHead, parseHead } from '../../src/tracker/http-codec.ts'
import { HttpHandler } from '../../src/tracker/http-handler.ts'
import { announceRequests, infoHashes } from './http-requests.ts'

const [swarms, peers, wanted, requests] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
  number,
]
const ROUNDS = 9

const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
const hashes = infoHashes(swarms)
const address = new Uint8Array(4)
for (let n = 0; n < swarms; n++) {
  const hash = hashes.subarray(n * 20, n * 20 + 20)
  for (let i = 0; i < peers / swarms; i++) {
    address.set([10, i >>> 16, i >>> 8, i])
    if (i % 3 === 0) store.putSeeder(hash, address, 6881)
    else store.putLeecher(hash, address, 6881)
  }
}
// As a front end in a worker sees it.
store.handle()
const announcer = new Announcer(store, {
  announceIntervalMs: 900_000,
  minAnnounceIntervalMs: 60_000,
  retryIntervalMs: 60_000,
  defaultWanted: 50,
  maxWanted: 100,
})
const counters = new Counters()
const handler = new HttpHandler({
  store,
  announcer,
  counters,
  allowIpSpoofing: false,
  maxWanted: 100,
})
const remote = Uint8Array.of(127, 0, 0, 1)
// One buffer, as a server receives into.
const messages = announceRequests({ count: swarms, keepAlive: true, wanted })
const buffer = new Uint8Array(messages.reduce((sum, one) => sum + one.length, 0))
const bounds = new Uint32Array(swarms + 1)
for (const [n, one] of messages.entries()) {
  buffer.set(one, bounds[n])
  bounds[n + 1] = bounds[n]! + one.length
}
const head = new HttpHead()
let sink = 0

function whole(count: number): void {
  for (let i = 0; i < count; i++) {
    const n = i % swarms
    if (parseHead(buffer, bounds[n]!, bounds[n + 1]!, head) !== 'request') throw new Error('parse')
    handler.handle(buffer, head, remote)
    counters.responses.note('http', handler.action, handler.family, handler.reason, -1)
    sink += handler.end - handler.start
  }
}

const request = new AnnounceRequest()
const answer = new AnnounceAnswer()
const target = new Uint8Array(2000)
function alone(count: number): void {
  request.address = remote
  request.left = 1
  request.wanted = wanted
  for (let i = 0; i < count; i++) {
    const n = i % swarms
    request.port = 1024 + (n % 60_000)
    for (let j = 0; j < 20; j++) request.infoHash[j] = hashes[n * 20 + j]!
    announcer.announce(request, answer, target, 0, 100)
    sink += answer.peers
  }
}

function nsOf(run: (count: number) => void): number {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < ROUNDS; i++) {
    const before = process.cpuUsage()
    run(requests)
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, ((user + system) * 1000) / requests)
  }
  return best
}

const wholeNs = nsOf(whole)
const storeNs = nsOf(alone)
globalThis.gc?.()
const heap = process.memoryUsage().heapUsed
whole(100_000)
const heapBytes = Math.max(0, (process.memoryUsage().heapUsed - heap) / 100_000)
console.log(
  JSON.stringify({
    wholeNs: Math.round(wholeNs),
    storeNs: Math.round(storeNs),
    heapBytes: Number(heapBytes.toFixed(1)),
    answerBytes: sink > 0 ? handler.end - handler.start : 0,
  }),
)
store.stop()
