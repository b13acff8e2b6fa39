/**
 * One measurement in a process of its own: `node row.js '{"kind": …}'` prints one JSON object. Fresh memory, fresh
 * feedback for the compiler, and resident memory that nobody else has touched.
 */
import { Worker } from 'node:worker_threads'
import { ManualClock, seededRandom, systemClock } from '../../src/base/index.ts'
import { Core } from '../../src/peer-store/core.ts'
import { createPeerStore, type SharedPeerStore } from '../../src/peer-store/index.ts'
import { Memory } from '../../src/peer-store/memory.ts'
import { Sweeper } from '../../src/peer-store/sweeper.ts'
import { benchData, contractBenches, putPeers, timeBench } from './contract.ts'

export type RowRequest =
  | { readonly kind: 'contract'; readonly name: string; readonly operations: number }
  | { readonly kind: 'threads'; readonly name: string; readonly operations: number }
  | { readonly kind: 'growth'; readonly peers: number }
  | { readonly kind: 'swarms'; readonly family: 4 | 6; readonly swarms: number }
  | { readonly kind: 'peers'; readonly family: 4 | 6; readonly each: number }
  | { readonly kind: 'scale'; readonly swarms: number }
  | { readonly kind: 'gc'; readonly peers: number; readonly oneSwarm: boolean }
  | { readonly kind: 'snapshot'; readonly swarms: number; readonly path: string }
  | { readonly kind: 'hostile'; readonly swarms: number }

export type RowResult = Readonly<Record<string, number>>

const MIB = 2 ** 20
const hash = new Uint8Array(20)
const hashView = new DataView(hash.buffer)
const addresses = { 4: new Uint8Array(4), 6: new Uint8Array(16).fill(0x20) } as const
const addressViews = {
  4: new DataView(addresses[4].buffer),
  6: new DataView(addresses[6].buffer),
} as const

function setHash(view: DataView, at: number, n: number): void {
  view.setInt32(at, Math.imul(n, 0x9e3779b1))
  view.setInt32(at + 4, Math.imul(n, 0x85ebca6b))
  view.setInt32(at + 8, n)
  view.setInt32(at + 12, Math.imul(n, 0xc2b2ae35))
}

function setAddress(family: 4 | 6, n: number): Uint8Array {
  const view = addressViews[family]
  view.setUint32(view.byteLength - 4, n)
  return addresses[family]
}

function create(maxMemoryBytes = 3 * 2 ** 30): SharedPeerStore {
  return createPeerStore({ clock: systemClock, maxMemoryBytes })
}

function residentBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage.rss()
}

function contract(name: string, operations: number): RowResult {
  const bench = contractBenches.find((candidate) => candidate.name === name)!
  const data = benchData()
  const store = create(512 * MIB)
  if (bench.populated) putPeers(store, data)
  const part = operations / 8
  const least = (): number => {
    let ns = timeBench(bench, store, data, 0, 2 * part)
    for (let i = 0; i < 10; i++) ns = Math.min(ns, timeBench(bench, store, data, 0, part))
    return ns
  }
  const ns = least()
  const heapBytes = heapBytesOf((rounds) => timeBench(bench, store, data, 0, rounds))
  store.handle()
  const sharedNs = least()
  const sharedHeapBytes = heapBytesOf((rounds) => timeBench(bench, store, data, 0, rounds))
  return { ns, sharedNs, heapBytes: Math.max(heapBytes, sharedHeapBytes) }
}

/**
 * V8 heap that one more operation takes: what 200,000 take beyond 100,000, so that what the measurement itself allocates falls out; the
 * least of eight, because the compiler's own work lies on the same heap.
 */
function heapBytesOf(run: (operations: number) => void): number {
  const grownBy = (operations: number): number => {
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    run(operations)
    return process.memoryUsage().heapUsed - before
  }
  let once = Number.POSITIVE_INFINITY
  let twice = Number.POSITIVE_INFINITY
  for (let i = 0; i < 8; i++) {
    once = Math.min(once, grownBy(100_000))
    twice = Math.min(twice, grownBy(200_000))
  }
  return Math.max(0, Math.round((twice - once) / 10_000) / 10)
}

async function threads(name: string, operations: number): Promise<RowResult> {
  const bench = contractBenches.find((candidate) => candidate.name === name)!
  const data = benchData()
  const store = create(512 * MIB)
  if (bench.populated) putPeers(store, data)
  const control = new Int32Array(new SharedArrayBuffer(16))
  const workers = [0, 1].map(
    (number) =>
      new Worker(new URL('./contract-worker.js', import.meta.url), {
        workerData: { handle: store.handle(), control: control.buffer, name, number, operations },
      }),
  )
  const message = (worker: Worker): Promise<number> =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
  await Promise.all(workers.map(message))
  const ended = Promise.all(workers.map(message))
  const begun = performance.now()
  Atomics.store(control, 0, 1)
  Atomics.notify(control, 0)
  await ended
  // As Go's RunParallel counts: the time by the operations of both.
  const ns = ((performance.now() - begun) * 1e6) / (2 * operations)
  await Promise.all(workers.map((worker) => worker.terminate()))
  return { ns }
}

/** A swarm is filled from nothing, peer by peer: all growth is in it. */
function growth(peers: number): RowResult {
  const store = create(512 * MIB)
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 200; round++) {
    setHash(hashView, 0, round)
    const begun = performance.now()
    for (let n = 0; n < peers; n++) store.putSeeder(hash, setAddress(4, n), 6881)
    best = Math.min(best, (performance.now() - begun) * 1e6)
  }
  return { ns: best }
}

function memoryOf(fill: (store: SharedPeerStore) => void, things: number): RowResult {
  const store = create(4 * 2 ** 30)
  const before = residentBytes()
  const base = store.stats().bytesUsed
  fill(store)
  const resident = residentBytes() - before
  const { bytesUsed, bytesReserved } = store.stats()
  return { things, base, used: bytesUsed, reserved: bytesReserved, resident }
}

function swarms(family: 4 | 6, count: number): RowResult {
  return memoryOf((store) => {
    for (let n = 0; n < count; n++) {
      setHash(hashView, 0, n)
      store.putSeeder(hash, setAddress(family, n), 6881)
    }
  }, count)
}

function peers(family: 4 | 6, each: number): RowResult {
  return memoryOf((store) => {
    for (let n = 0; n < each; n++) {
      store.putSeeder(hash, setAddress(family, 2 * n), 6881)
      store.putLeecher(hash, setAddress(family, 2 * n + 1), 6881)
    }
  }, 2 * each)
}

function scale(count: number): RowResult {
  const store = create()
  for (let n = 0; n < count; n++) {
    setHash(hashView, 0, n)
    store.putSeeder(hash, setAddress(4, n), 6881)
  }
  const target = new Uint8Array(20 + 300)
  const counts = { seeders: 0, leechers: 0, completed: 0 }
  const operations = {
    put: () => store.putSeeder(hash, addresses[4], 6881),
    announce: () => {
      store.announcePeers(hash, false, 50, addresses[4], 6882, target, 20)
    },
    scrape: () => store.scrapeSwarm(hash, 4, counts),
  }
  const random = seededRandom(5)
  const rounds = 1 << 19
  const batch = new Uint8Array(64 * 20)
  const batchView = new DataView(batch.buffer)
  const chosen = new Int32Array(64)
  const result: Record<string, number> = {}
  for (const [name, operation] of Object.entries(operations)) {
    for (const batched of [false, true]) {
      let best = Number.POSITIVE_INFINITY
      for (let pass = 0; pass < 4; pass++) {
        const begun = performance.now()
        for (let done = 0; done < rounds; done += 64) {
          for (let i = 0; i < 64; i++) {
            const n = random.uint32() % count
            chosen[i] = n
            setHash(batchView, i * 20, n)
          }
          if (batched) store.prefetch(batch, 0, 20, 64)
          for (let i = 0; i < 64; i++) {
            for (let byte = 0; byte < 16; byte++) hash[byte] = batch[i * 20 + byte]!
            setAddress(4, chosen[i]!)
            operation()
          }
        }
        best = Math.min(best, ((performance.now() - begun) * 1e6) / rounds)
      }
      result[`${name}${batched ? 'Batched' : ''}`] = best
    }
  }
  return result
}

function gc(count: number, oneSwarm: boolean): RowResult {
  const clock = new ManualClock()
  const store = createPeerStore({ clock, maxMemoryBytes: 3 * 2 ** 30 })
  const fill = (): void => {
    for (let n = 0; n < count; n++) {
      // Swarms of ten peers, or one of all.
      setHash(hashView, 0, oneSwarm ? 0 : Math.floor(n / 10))
      const address = setAddress(4, n)
      if (n % 2 === 0) store.putSeeder(hash, address, 6881)
      else store.putLeecher(hash, address, 6881)
    }
  }
  fill()
  const { bytesReserved } = store.stats()
  const { buffer } = store.handle()
  clock.advance(10_000)
  // The same steps as collectGarbage's, with a clock around each hold.
  const core = new Core(new Memory(buffer, true, 2), seededRandom(1))
  const switchCount = (): number => process.resourceUsage().involuntaryContextSwitches
  const run = (
    ticks: number,
  ): { longest: number; unbroken: number; total: number; holds: number; long: number } => {
    const sweeper = new Sweeper(core)
    let since = 0
    let switches = 0
    let longest = 0
    let unbroken = 0
    let holds = 0
    let long = 0
    sweeper.onHold = (begins) => {
      if (begins) {
        switches = switchCount()
        since = performance.now()
      } else {
        const held = performance.now() - since
        longest = Math.max(longest, held)
        // A processor taken away in the middle says nothing of the hold.
        if (switchCount() === switches) unbroken = Math.max(unbroken, held)
        holds++
        if (held > 1) long++
      }
    }
    const begun = performance.now()
    sweeper.step(ticks, Number.POSITIVE_INFINITY)
    return { longest, unbroken, total: performance.now() - begun, holds, long }
  }
  run(1000)
  const stays = [run(1000), run(1000), run(1000)]
  const leaves = [run(1)]
  const left = store.numTotalPeers(4)
  for (let round = 1; round < 3; round++) {
    fill()
    clock.advance(10_000)
    leaves.push(run(1))
  }
  fill()
  const result: Record<string, number> = {
    holds: leaves[0]!.holds,
    left,
    reservedGrowth: store.stats().bytesReserved - bytesReserved,
  }
  for (const [n, stay] of stays.entries()) {
    result[`stayMs${n}`] = stay.total
    result[`stayHoldMs${n}`] = stay.longest
    result[`stayUnbrokenMs${n}`] = stay.unbroken
  }
  for (const [n, leave] of leaves.entries()) {
    result[`leaveMs${n}`] = leave.total
    result[`leaveHoldMs${n}`] = leave.longest
    result[`leaveUnbrokenMs${n}`] = leave.unbroken
    result[`longHolds${n}`] = leave.long
  }
  return result
}

async function snapshot(count: number, path: string): Promise<RowResult> {
  const store = create()
  for (let n = 0; n < count; n++) {
    setHash(hashView, 0, n)
    store.putSeeder(hash, setAddress(4, n), 6881)
  }
  const begun = performance.now()
  await store.save(path)
  const saved = performance.now()
  store.stop()
  const again = create()
  const loading = performance.now()
  const loaded = await again.load(path)
  return { saveMs: saved - begun, loadMs: performance.now() - loading, loaded }
}

/** Info-hashes as close to one another as an attacker can choose them, or random ones; the longest and the mean search. */
function hostile(count: number): RowResult {
  const longest = { chosen: 0, random: 0 }
  const mean = { chosen: 0, random: 0 }
  const random = seededRandom(7)
  for (const kind of ['chosen', 'random'] as const) {
    for (const stride of [1, 256, 65_536]) {
      const store = create(256 * MIB)
      const core = new Core(new Memory(store.handle().buffer, true, 2), seededRandom(1))
      const keys: Uint8Array[] = []
      for (let n = 0; n < count; n++) {
        const key = new Uint8Array(20)
        if (kind === 'random') random.fill(key)
        else new DataView(key.buffer).setInt32(stride === 65_536 ? 0 : 16, Math.imul(n, stride))
        keys.push(key)
        store.putSeeder(key, setAddress(4, n), 6881)
      }
      for (const key of keys) {
        core.table.enter(key)
        const probes = core.table.distance(core.table.find())
        longest[kind] = Math.max(longest[kind], probes)
        mean[kind] += probes / (3 * count)
      }
      store.stop()
    }
  }
  return {
    chosenLongest: longest.chosen,
    chosenMean: mean.chosen,
    randomLongest: longest.random,
    randomMean: mean.random,
  }
}

async function main(): Promise<RowResult> {
  const request = JSON.parse(process.argv[2]!) as RowRequest
  switch (request.kind) {
    case 'contract':
      return contract(request.name, request.operations)
    case 'threads':
      return threads(request.name, request.operations)
    case 'growth':
      return growth(request.peers)
    case 'swarms':
      return swarms(request.family, request.swarms)
    case 'peers':
      return peers(request.family, request.each)
    case 'scale':
      return scale(request.swarms)
    case 'gc':
      return gc(request.peers, request.oneSwarm)
    case 'snapshot':
      return snapshot(request.swarms, request.path)
    case 'hostile':
      return hostile(request.swarms)
  }
}

console.log(JSON.stringify(await main()))
process.exit(0)
