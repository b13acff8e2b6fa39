/** Several workers are one tracker: one swarm, one key, one limit, one sum; and it outlives any of them. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { delay, seededRandom, silentLogger, systemClock } from '../../src/base/index.ts'
import { Core } from '../../src/peer-store/core.ts'
import {
  createPeerStore,
  type PeerStoreHandle,
  type SharedPeerStore,
} from '../../src/peer-store/index.ts'
import { Memory } from '../../src/peer-store/memory.ts'
import { makeConnectionIds } from '../../src/tracker/connection-id.ts'
import { sumOf } from '../../src/tracker/counters.ts'
import {
  loadConfig,
  startTrackerService,
  type TrackerConfig,
  type TrackerService,
} from '../../src/tracker/index.ts'
import type { Pointer } from '../../src/tracker/linux/libc.ts'
import type { WorkerSettings } from '../../src/tracker/workers/messages.ts'
import { WorkerPool } from '../../src/tracker/workers/pool.ts'
import { WorkerSockets } from '../../src/tracker/workers/sockets.ts'
import { libc, onLinux } from './linux/linux.ts'
import { announcePacket, HASH, UdpClient, withUrl } from './udp-client.ts'
import { offers, peerId, HASH as SIGNAL_HASH, SignalClient } from './websocket/client.ts'

const CLIENTS = 24

const configOf = (more: string): TrackerConfig =>
  loadConfig({
    text: `tracker: {front_end: fast, workers: 2, http: {addr: ""}, udp: {addr: "127.0.0.1:0"}, ${more}}`,
  }).config

async function start(t: TestContext, more = ''): Promise<TrackerService> {
  const service = await startTrackerService({
    config: configOf(more),
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
  })
  t.after(() => service.stop())
  return service
}

/** Many clients, so that the system gives some to each worker. */
const clientsOf = (t: TestContext, port: number): UdpClient[] =>
  Array.from({ length: CLIENTS }, () => new UdpClient(t, '127.0.0.1', port))

async function directoryFor(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'seedbed-workers-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

const errorOf = (reply: Buffer): string =>
  reply.readUInt32BE(0) === 3 ? reply.toString('latin1', 8) : ''

test(
  'clients of different workers are one swarm, and their requests one sum',
  onLinux,
  async (t) => {
    const service = await start(t)
    assert.deepEqual(service.frontEnd, { path: 'fast', workers: 2 })
    let port = 1000
    for (const client of clientsOf(t, service.udp[0]!.port)) {
      const reply = await client.announce(await client.connect(), ++port, 1)
      assert.equal(reply.readUInt32BE(12), port - 1000)
      assert.equal((reply.length - 20) / 6, port - 1001)
    }
    const { transports, responses, store } = service.stats()
    assert.equal(store.leechers4, CLIENTS)
    assert.equal(transports.udp4.connects, CLIENTS)
    assert.equal(transports.udp4.announces, CLIENTS)
    assert.deepEqual(
      responses.map(({ action, count, reason }) => [action, count, reason]),
      [
        ['connect', CLIENTS, ''],
        ['announce', CLIENTS, ''],
      ],
    )
  },
)

test(
  'a connection id of one worker is good at the others, a limit is one for all',
  onLinux,
  async (t) => {
    const service = await start(t, 'rate_limit: {requests_per_minute: 1, burst: 30}')
    const clients = clientsOf(t, service.udp[0]!.port)
    const id = await clients[0]!.connect()
    for (const client of clients) assert.equal(errorOf(await client.announce(id, 5, 1)), '')
    for (const client of clients.slice(0, 30 - CLIENTS)) await client.announce(id, 5, 1)
    for (const client of clients) client.send(id, 5, 1)
    // It is silent; what is not limited is answered behind it.
    for (const client of clients) assert.equal((await client.connect()).length, 8)
    assert.equal(service.stats().transports.udp4.limited, CLIENTS)
  },
)

test('times of answers are those of all workers', onLinux, async (t) => {
  const service = await startTrackerService({
    config: loadConfig({
      text: 'tracker: {front_end: fast, workers: 2, http: {addr: ""}, udp: {addr: "127.0.0.1:0", enable_request_timing: true}}',
    }).config,
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
  })
  t.after(() => service.stop())
  for (const client of clientsOf(t, service.udp[0]!.port)) await client.connect()
  const [row] = service.stats().responses
  assert.equal(
    row!.buckets.reduce((sum, one) => sum + one, 0),
    CLIENTS,
  )
  assert.ok(row!.sumMs > 0)
})

test('a reload under way loses no request, and reaches every worker', onLinux, async (t) => {
  const service = await start(t)
  const clients = clientsOf(t, service.udp[0]!.port)
  const id = await clients[0]!.connect()
  let answered = 0
  let stop = false
  const asking = clients.map(async (client) => {
    while (!stop) {
      await client.announce(id, 7, 1)
      answered++
    }
  })
  for (let seconds = 901; seconds < 921; seconds++) {
    const { restart } = await service.reload(configOf(`announce_interval: ${seconds}s`))
    assert.deepEqual(restart, [])
    const before = answered
    while (answered < before + CLIENTS) await delay(systemClock, 1)
  }
  stop = true
  await Promise.all(asking)
  for (const client of clients) {
    const reply = await client.announce(id, 8, 0)
    assert.equal(reply.readUInt32BE(8), 920)
  }
})

test('lists reach the workers when they change, whole', onLinux, async (t) => {
  const file = join(await directoryFor(t), 'list')
  const line = (character: string): string =>
    `${Buffer.from(character.repeat(20)).toString('hex')}\n`
  await writeFile(file, line('a'))
  const more = `prehooks: [{name: torrent approval, options: {whitelist_file: ${file}}}]`
  const service = await start(t, more)
  const clients = clientsOf(t, service.udp[0]!.port)
  const id = await clients[0]!.connect()
  const ask = (hash: string): Promise<string[]> =>
    Promise.all(
      clients.map(async (client) => errorOf(await client.announce(id, 9, 1, 0, hash.repeat(20)))),
    )
  const refused = 'unapproved torrent'
  assert.deepEqual(new Set(await ask('a')), new Set(['']))
  assert.deepEqual(new Set(await ask('b')), new Set([refused]))
  await writeFile(`${file}.new`, line('b') + line('c'))
  await rename(`${file}.new`, file)
  await service.reload(configOf(more))
  assert.deepEqual(new Set(await ask('a')), new Set([refused]))
  assert.deepEqual(new Set(await ask('b')), new Set(['']))
})

test('who moved how much is told by one log, whichever worker heard of it', onLinux, async (t) => {
  const directory = await directoryFor(t)
  const log = join(directory, 'log')
  const service = await start(t, `posthooks: [{name: accounting, options: {file: ${log}}}]`)
  const clients = clientsOf(t, service.udp[0]!.port)
  const id = await clients[0]!.connect()
  // One client of BitTorrent that has many addresses of UDP.
  for (const [n, client] of clients.entries()) {
    await client.announce(id, 10, 1000 - n, n === 0 ? 2 : 0)
    // Which of two moments of one millisecond was first, nobody knows.
    await delay(systemClock, 2)
  }
  await service.stop()
  const lines = (await readFile(log, 'utf8')).trim().split('\n')
  const parsed = lines.map((line) => JSON.parse(line) as { left: number; leftChange: number })
  assert.deepEqual(
    parsed.map(({ left }) => left),
    clients.map((_, n) => 1000 - n),
  )
  assert.deepEqual(
    parsed.slice(1).map(({ leftChange }) => leftChange),
    new Array(CLIENTS - 1).fill(-1),
  )
})

test('tokens are checked by keys that come and go', onLinux, async (t) => {
  const pairs = [0, 1].map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }))
  const jwkSet = (n: number): string =>
    JSON.stringify({ keys: [{ ...pairs[n]!.publicKey.export({ format: 'jwk' }), kid: 'k' }] })
  const tokenOf = (n: number): string => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const infohash = Buffer.from(HASH).toString('hex')
    const text = `${part({ alg: 'ES256', kid: 'k' })}.${part({ iss: 'me', aud: 'them', infohash })}`
    const key = { key: pairs[n]!.privateKey, dsaEncoding: 'ieee-p1363' } as const
    return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`
  }
  let set = jwkSet(0)
  const more =
    'prehooks: [{name: jwt, options: {issuer: me, audience: them, jwk_set_url: "http://127.0.0.1:1/keys"}}]'
  const service = await startTrackerService({
    config: configOf(more),
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    fetchText: () => Promise.resolve(set),
  })
  t.after(() => service.stop())
  const clients = clientsOf(t, service.udp[0]!.port)
  const id = await clients[0]!.connect()
  const ask = async (n: number): Promise<Set<string>> => {
    const packet = withUrl(announcePacket(id, 5, 1, 0, HASH), `/announce?jwt=${tokenOf(n)}`)
    return new Set(await Promise.all(clients.map(async (one) => errorOf(await one.ask(packet)))))
  }
  const invalid = 'unapproved request: invalid jwt'
  assert.deepEqual([await ask(0), await ask(1)], [new Set(['']), new Set([invalid])])
  set = jwkSet(1)
  await service.reload(configOf(more))
  assert.deepEqual([await ask(0), await ask(1)], [new Set([invalid]), new Set([''])])
})

test('every worker knows the clients of a list, and those of the next', onLinux, async (t) => {
  const approving = (list: string): string =>
    `prehooks: [{name: client approval, options: {${list}}}]`
  const service = await start(t, approving('whitelist: [SE0100, TR4060]'))
  const clients = clientsOf(t, service.udp[0]!.port)
  const id = await clients[0]!.connect()
  const ask = async (peerId: string): Promise<Set<string>> => {
    const packet = announcePacket(id, 5, 1, 0, HASH)
    packet.write(peerId, 36, 'latin1')
    return new Set(await Promise.all(clients.map(async (one) => errorOf(await one.ask(packet)))))
  }
  const approved = new Set([''])
  const refused = new Set(['unapproved client'])
  assert.deepEqual(await ask('-SE0100-000000000000'), approved)
  assert.deepEqual(await ask('-TR4060-000000000000'), approved)
  assert.deepEqual(await ask('-UT3550-000000000000'), refused)
  assert.equal(service.stats().store.leechers4, 1)
  await service.reload(configOf(approving('blacklist: [SE0100]')))
  assert.deepEqual(await ask('-SE0100-000000000000'), refused)
  assert.deepEqual(await ask('-UT3550-000000000000'), approved)
})

test('every worker spreads its clients by itself', onLinux, async (t) => {
  const interval = 'announce_interval: 30m'
  const varying =
    'prehooks: [{name: interval variation, options: {modify_response_probability: 1, max_increase_delta: 1000}}]'
  const service = await start(t, `${interval}, ${varying}`)
  const clients = clientsOf(t, service.udp[0]!.port)
  const id = await clients[0]!.connect()
  const ask = async (): Promise<number[]> => {
    const packet = announcePacket(id, 5, 0, 0, HASH)
    return Promise.all(clients.map(async (one) => (await one.ask(packet)).readUInt32BE(8)))
  }
  const intervals = await ask()
  for (const seconds of intervals) assert.ok(seconds > 1800 && seconds <= 2800, `${seconds} s`)
  assert.ok(new Set(intervals).size > 1)
  await service.reload(configOf(interval))
  assert.deepEqual(new Set(await ask()), new Set([1800]))
})

test('keys in the path are those of the file, and name who is accounted', onLinux, async (t) => {
  const directory = await directoryFor(t)
  const [keys, log] = [join(directory, 'keys'), join(directory, 'log')]
  await writeFile(keys, 'first-key alice\nsecond-key bob\n')
  const hooks = `prehooks: [{name: passkey, options: {file: ${keys}}}], posthooks: [{name: accounting, options: {file: ${log}}}]`
  const yaml = `tracker: {front_end: fast, workers: 2, http: {addr: "", announce_routes: ["/:key/announce"]}, udp: {addr: "127.0.0.1:0"}, ${hooks}}`
  const { config } = loadConfig({ text: yaml })
  const service = await startTrackerService({
    config,
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
  })
  t.after(() => service.stop())
  const clients = clientsOf(t, service.udp[0]!.port)
  const id = await clients[0]!.connect()
  const ask = async (key: string): Promise<Set<string>> => {
    const packet = withUrl(announcePacket(id, 5, 1, 0, HASH), `/${key}/announce`)
    return new Set(await Promise.all(clients.map(async (one) => errorOf(await one.ask(packet)))))
  }
  const invalid = new Set(['unapproved request: invalid passkey'])
  assert.deepEqual([await ask('first-key'), await ask('third-key')], [new Set(['']), invalid])
  await writeFile(keys, 'second-key bob\nthird-key carol\n')
  await service.reload(config)
  assert.deepEqual([await ask('first-key'), await ask('third-key')], [invalid, new Set([''])])
  await service.stop()
  const owners = (await readFile(log, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { owner: string }).owner)
  assert.deepEqual(owners, [...clients.map(() => 'alice'), ...clients.map(() => 'carol')])
})

test(
  'a worker that dies is replaced, and goes on with its sockets and its counts',
  onLinux,
  async (t) => {
    const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
    const logged: string[] = []
    const logger = { ...silentLogger, error: (_: object, message: string) => logged.push(message) }
    const connectionIds = makeConnectionIds(systemClock, seededRandom(2))
    const pool = new WorkerPool({
      signals: false,
      libc,
      store,
      connectionIds,
      clock: systemClock,
      logger,
    })
    const sockets = new WorkerSockets(libc, 2, 'udp')
    const port = await sockets.listen('127.0.0.1', 0)
    const settings: WorkerSettings = { policy: {}, hooks: [], limiter: null }
    await pool.start([sockets.take(0), sockets.take(1)], () => settings)
    t.after(() => pool.stop())
    const clients = clientsOf(t, port)
    const id = await clients[0]!.connect()
    for (const client of clients) await client.announce(id, 11, 1)
    // Settings that no worker can live by.
    void pool.settle(() => ({ ...settings, policy: { announceIntervalMs: -1 } }))
    while (logged.length < 2) await delay(systemClock, 5)
    for (const client of clients) client.send(id, 12, 1)
    await pool.settle(() => settings)
    assert.ok(pool.restarts >= 2, `${pool.restarts} restarts`)
    for (const client of clients) assert.equal((await client.next()).readUInt32BE(0), 1)
    assert.equal(sumOf(pool.counters).transports.udp4.announces, CLIENTS * 2)
    assert.equal(store.stats().leechers4, 2)
    assert.deepEqual(new Set(logged), new Set(['a worker died: it is replaced']))
  },
)

test('what a worker held of the store when it died is taken back', onLinux, async (t) => {
  const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
  const handles: PeerStoreHandle[] = []
  const watched = {
    handle(): PeerStoreHandle {
      handles.push(store.handle())
      return handles.at(-1)!
    },
    recover: (handle: PeerStoreHandle) => store.recover(handle),
  } as Partial<SharedPeerStore> as SharedPeerStore
  const logged: string[] = []
  const logger = { ...silentLogger, error: (_: object, message: string) => logged.push(message) }
  const connectionIds = makeConnectionIds(systemClock, seededRandom(2))
  const pool = new WorkerPool({
    signals: false,
    libc,
    store: watched,
    connectionIds,
    clock: systemClock,
    logger,
  })
  const sockets = new WorkerSockets(libc, 1, 'udp')
  const port = await sockets.listen('127.0.0.1', 0)
  const settings: WorkerSettings = { policy: {}, hooks: [], limiter: null }
  await pool.start([sockets.take(0)], () => settings)
  t.after(() => pool.stop())
  const client = new UdpClient(t, '127.0.0.1', port)
  const id = await client.connect()
  await client.announce(id, 11, 1)
  // As if it were in the middle of an announce.
  const [{ buffer, owner }] = handles as [PeerStoreHandle]
  const core = new Core(new Memory(buffer, true, owner), seededRandom(3))
  core.table.enter(new Uint8Array(Buffer.from(HASH, 'latin1')))
  core.lock(core.table.shard)
  void pool.settle(() => ({ ...settings, policy: { announceIntervalMs: -1 } }))
  while (!logged.includes('a worker died: it is replaced')) await delay(systemClock, 5)
  assert.deepEqual(logged.slice(0, 2), [
    'a worker died in the store: shards emptied',
    'a worker died: it is replaced',
  ])
  await pool.settle(() => settings)
  assert.equal((await client.announce(id, 12, 1)).readUInt32BE(0), 1)
  assert.equal(store.stats().leechers4, 1)
})

test('what hooks learn when the workers are gone wakes nobody', onLinux, async () => {
  const woken: number[] = []
  const watched = {
    ...libc,
    write(fd: number, source: Pointer, bytes: number): number {
      woken.push(fd)
      return libc.write(fd, source, bytes)
    },
  }
  const clock = systemClock
  const store = createPeerStore({ clock, random: seededRandom(1) })
  const connectionIds = makeConnectionIds(clock, seededRandom(2))
  const pool = new WorkerPool({
    signals: false,
    ...{ libc: watched, store, connectionIds, clock },
    logger: silentLogger,
  })
  const settings: WorkerSettings = { policy: {}, hooks: [], limiter: null }
  await pool.start([[]], () => settings)
  await pool.settle(() => settings)
  await pool.stop()
  assert.equal(woken.length, 2)
  // The descriptor may be a file by now.
  await pool.settle(() => settings)
  assert.equal(woken.length, 2)
})

test('settings that no worker can start with are an error of the start', onLinux, async () => {
  const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
  const connectionIds = makeConnectionIds(systemClock, seededRandom(2))
  const pool = new WorkerPool({
    signals: false,
    ...{ libc, store, connectionIds },
    clock: systemClock,
    logger: silentLogger,
  })
  const policy = { announceIntervalMs: -1 }
  await assert.rejects(
    pool.start([[], []], () => ({ policy, hooks: [], limiter: null })),
    { code: 'TRACKER_WORKER', message: /announceIntervalMs is -1/ },
  )
})

/** A tracker of three workers for WebSocket. */
async function startSignalling(t: TestContext, more = ''): Promise<TrackerService> {
  const service = await startTrackerService({
    config: signallingBy(more),
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
  })
  t.after(() => service.stop())
  return service
}

const signallingBy = (more: string): TrackerConfig =>
  loadConfig({
    text: `tracker: {front_end: fast, workers: 3, http: {addr: "127.0.0.1:0"}, udp: {addr: ""}, ${more}}`,
  }).config

const openSignals = (t: TestContext, port: number): Promise<SignalClient[]> =>
  Promise.all(Array.from({ length: CLIENTS }, () => SignalClient.open(t, `ws://127.0.0.1:${port}`)))

test(
  'live connections meet, whichever worker let them in, and are counted once',
  onLinux,
  async (t) => {
    const service = await startSignalling(t)
    const clients = await openSignals(t, service.http[0]!.port)
    for (const [n, client] of clients.entries()) {
      client.announce(peerId(n))
      assert.equal((await client.next()).incomplete, n + 1)
    }
    const made = offers(CLIENTS - 1)
    clients[0]!.announce(peerId(0), { numwant: made.length, offers: made })
    await clients[0]!.next()
    for (const client of clients.slice(1, 11)) client.socket.close()
    for (const client of clients.slice(1, 11)) await client.closed()
    clients[0]!.announce(peerId(0))
    assert.equal((await clients[0]!.next()).incomplete, CLIENTS - 10)
    const { websocket, transports } = service.stats()
    assert.equal(websocket.connections, CLIENTS - 10)
    assert.equal(websocket.leechers, CLIENTS - 10)
    assert.equal(websocket.offers, 10)
    assert.equal(transports.ws4.announces, CLIENTS + 2)
    await service.stop()
    assert.equal(await clients[0]!.closed(), 1001)
  },
)

test('a reload reaches those that are connected, hooks included', onLinux, async (t) => {
  const file = join(await directoryFor(t), 'list')
  const denied = `${Buffer.from(SIGNAL_HASH, 'latin1').toString('hex')}\n`
  await writeFile(file, denied)
  const hooked = `prehooks: [{name: torrent approval, options: {blacklist_file: ${file}}}]`
  const service = await startSignalling(t, 'announce_interval: 1000s')
  const [client] = await openSignals(t, service.http[0]!.port)
  client!.announce(peerId(1))
  const { interval } = await client!.next()
  const nothing = { restart: [], kept: [] }
  const shorter = signallingBy('websocket: {announce_interval: 77s}')
  assert.deepEqual(await service.reload(shorter), nothing)
  client!.announce(peerId(1))
  assert.deepEqual([interval === 77, (await client!.next()).interval], [false, 77])
  assert.deepEqual(await service.reload(signallingBy(hooked)), nothing)
  client!.announce(peerId(1))
  assert.match((await client!.next())['failure reason']!, /unapproved/)
})

test(
  'when the worker of the live connections dies they end, and its successor has new ones',
  onLinux,
  async (t) => {
    const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
    const connectionIds = makeConnectionIds(systemClock, seededRandom(2))
    const logger = silentLogger
    const pool = new WorkerPool({
      ...{ libc, store, connectionIds, clock: systemClock, logger },
      signals: true,
    })
    const sockets = new WorkerSockets(libc, 2, 'tcp')
    const port = await sockets.listen('127.0.0.1', 0)
    const settings: WorkerSettings = { policy: {}, hooks: [], limiter: null }
    await pool.start([sockets.take(0), sockets.take(1)], () => settings)
    t.after(() => pool.stop())
    const before = await openSignals(t, port)
    before[0]!.announce(peerId(1))
    await before[0]!.next()
    assert.equal(sumOf(pool.counters).websocket.connections, CLIENTS)
    void pool.settle(() => ({ ...settings, policy: { announceIntervalMs: -1 } }))
    for (const client of before) await client.closed()
    await pool.settle(() => settings)
    const { websocket } = sumOf(pool.counters)
    assert.deepEqual([websocket.connections, websocket.leechers], [0, 0])
    const [after] = await openSignals(t, port)
    after!.announce(peerId(2))
    assert.equal((await after!.next()).incomplete, 1)
  },
)
