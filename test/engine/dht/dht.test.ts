/** Whole DHTs in virtual time: nodes find each other, what one announces another finds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, seededRandom, silentLogger } from '../../../src/base/index.ts'
import { openDatagrams } from '../../../src/engine/datagram-port.ts'
import { Dht, type DhtOptions } from '../../../src/engine/dht/dht.ts'
import { encodeQuery, parseKrpc } from '../../../src/engine/dht/krpc.ts'
import { FakeInternet, type FakeLink } from '../fake-network.ts'

const PORT = 6881
const INFO_HASH = new Uint8Array(20).fill(0xaa)
const FIRST = '10.0.0.1'
const bootstrap = [{ host: FIRST, port: PORT }]

class World {
  readonly clock: ManualClock = new ManualClock(1_000_000)
  readonly internet: FakeInternet
  readonly nodes: Dht[] = []
  readonly #random = seededRandom(78)

  constructor(link: Partial<FakeLink> = {}) {
    this.internet = new FakeInternet(this.clock, { latencyMs: 20, bytesPerMs: 1000, ...link })
  }

  async node(host: string, options: Partial<DhtOptions> = {}): Promise<Dht> {
    const { clock, internet } = this
    const random = seededRandom(this.#random.uint32())
    const tools = { network: internet.host(host), clock, random, logger: silentLogger }
    const sockets = await openDatagrams(tools.network, ['0.0.0.0'], PORT, silentLogger)
    const dht = Dht.open(tools, sockets, { bootstrap: [], ...options })
    this.nodes.push(dht)
    return dht
  }

  /** Lets time pass; promises between the steps settle. */
  async pass(ms: number, stepMs = 100): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(stepMs)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** What a search finds, `host port` each. */
  async found(by: Dht, port?: number): Promise<string[]> {
    const peers = new Set<string>()
    let over = false
    const end = by.search({
      infoHash: INFO_HASH,
      portFor: port === undefined ? undefined : () => port,
      onPeers: (found) => {
        for (const { host, port } of found) peers.add(`${host} ${port}`)
      },
    })
    end.then(() => {
      over = true
    })
    for (let i = 0; i < 600 && !over; i++) await this.pass(100)
    assert.ok(over, 'the search does not end')
    // The announces that follow it are still under way.
    await this.pass(200)
    return [...peers].sort()
  }

  stop(): void {
    for (const node of this.nodes) node.stop()
  }
}

async function worldOf(count: number, link: Partial<FakeLink> = {}): Promise<World> {
  const world = new World(link)
  await world.node(FIRST)
  for (let i = 2; i <= count; i++) await world.node(`10.0.0.${i}`, { bootstrap })
  await world.pass(30_000)
  return world
}

for (const [what, link] of [
  ['', {}],
  [', though every tenth datagram is lost', { datagramLoss: 0.1 }],
] as const) {
  test(`fifty nodes that know one find what any of them announces${what}`, async () => {
    const world = await worldOf(50, link)
    // Who heard of few because datagrams were lost asks again, later each time.
    const isAlone = (): boolean => world.nodes.some((node) => node.size < 8)
    for (let i = 0; i < 30 && isAlone(); i++) await world.pass(10_000)
    for (const node of world.nodes) assert.ok(node.size >= 8, `a node knows ${node.size} others`)
    await world.found(world.nodes[7]!, 7007)
    await world.found(world.nodes[31]!, 3131)
    for (const by of [0, 19, 49]) {
      assert.deepEqual(await world.found(world.nodes[by]!), ['10.0.0.32 3131', '10.0.0.8 7007'])
    }
    world.stop()
  })
}

test('a search asks a few dozen nodes, not all', async () => {
  const world = await worldOf(60)
  const { datagramsFrom } = world.internet
  const host = '10.0.0.6'
  const before = datagramsFrom.get(host)!
  await world.found(world.nodes[5]!, 5)
  const sent = datagramsFrom.get(host)! - before
  assert.ok(sent >= 16 && sent < 60, `${sent} datagrams`)
  world.stop()
})

test('a node comes back by what it knew, without anybody to begin with', async () => {
  const world = await worldOf(30)
  await world.found(world.nodes[3]!, 33)
  const old = world.nodes[9]!
  const state = old.state()
  old.stop()
  const back = await world.node('10.0.0.10', { state })
  await world.pass(10_000)
  assert.ok(back.size >= 8)
  assert.deepEqual(await world.found(back), ['10.0.0.4 33'])
  const fresh = await world.node('10.0.0.99', { state: Uint8Array.of(1, 2, 3) })
  assert.equal(fresh.size, 0, 'what is no state is none')
  world.stop()
})

test('a read-only node finds others, and answers nobody', async () => {
  const world = await worldOf(20)
  const quiet = await world.node('10.0.0.200', { bootstrap, readOnly: true })
  await world.pass(30_000)
  assert.ok(quiet.size >= 8)
  await world.found(world.nodes[3]!, 33)
  assert.deepEqual(await world.found(quiet), ['10.0.0.4 33'])
  const raw = await world.internet.host('10.9.9.9').openDatagram('0.0.0.0', PORT)
  const answerers: string[] = []
  raw.onMessage = (_bytes, host) => answerers.push(host)
  const ping = encodeQuery(Uint8Array.of(1, 2), 'ping', { id: new Uint8Array(20).fill(1) }, true)
  raw.send(ping, '10.0.0.200', PORT)
  raw.send(ping, FIRST, PORT)
  await world.pass(1000)
  assert.deepEqual(answerers, [FIRST])
  world.stop()
})

test('nodes that vanish are forgotten; those that are left find each other still', async () => {
  const world = await worldOf(30)
  for (const node of world.nodes.slice(10, 25)) node.stop()
  await world.pass(40 * 60_000, 1000)
  await world.found(world.nodes[3]!, 33)
  assert.deepEqual(await world.found(world.nodes[27]!), ['10.0.0.4 33'])
  world.stop()
})

test('nobody is announced without a token, and a flood is not answered for long', async () => {
  const world = await worldOf(2)
  const raw = await world.internet.host('10.9.9.9').openDatagram('0.0.0.0', PORT)
  const kinds: string[] = []
  raw.onMessage = (bytes) => kinds.push(parseKrpc(bytes)?.kind ?? 'nothing')
  const id = new Uint8Array(20).fill(1)
  const announce = { id, info_hash: INFO_HASH, port: 666, token: new Uint8Array(8) }
  raw.send(encodeQuery(Uint8Array.of(0, 0), 'announce_peer', announce, true), FIRST, PORT)
  await world.pass(1500)
  assert.deepEqual(kinds, ['failure'])
  assert.deepEqual(await world.found(world.nodes[1]!), [])
  kinds.length = 0
  for (let i = 0; i < 1000; i++) {
    raw.send(encodeQuery(Uint8Array.of(i >> 8, i), 'ping', { id }, true), FIRST, PORT)
  }
  await world.pass(900)
  assert.ok(kinds.length > 0 && kinds.length <= 50, `${kinds.length} answers`)
  world.stop()
})

test('searches wait for their turn; stopping ends them', async () => {
  const world = await worldOf(20)
  const node = world.nodes[5]!
  const search = { infoHash: INFO_HASH, portFor: undefined, onPeers: () => {} }
  const ends = Array.from({ length: 40 }, () => node.search({ ...search }))
  await world.pass(100)
  world.stop()
  await Promise.all(ends)
  await node.search(search)
})
