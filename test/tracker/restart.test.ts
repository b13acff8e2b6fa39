/** The process as a service: its swarms outlive it, its sockets may be there before it. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { handedSockets } from '../../src/tracker/index.ts'
import { choosing, overFrontEnds } from './front-ends.ts'
import { HASH, UdpClient } from './udp-client.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))
const onlyLinux = { skip: process.platform !== 'linux' && 'sockets are handed in on Linux' }

interface Service {
  readonly child: ChildProcess
  readonly ready: { tracker: { udp: { port: number }[]; http: { port: number }[] } }
  log(): string
  /** Ends it as a service manager does. */
  stop(): Promise<void>
}

async function directoryFor(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'seedbed-restart-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** `seedbed tracker`; with descriptors as a service manager hands them in. */
async function run(
  t: TestContext,
  config: string,
  environment: Readonly<Record<string, string>>,
  descriptors: readonly number[] = [],
): Promise<Service> {
  // The shell knows its process id, and becomes the tracker.
  const script = 'LISTEN_PID=$$ exec "$0" "$@"'
  const child = spawn(
    'sh',
    [
      '-c',
      script,
      process.execPath,
      MAIN,
      'tracker',
      '--json',
      '--log-level',
      'info',
      '--config',
      config,
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
      env: {
        ...process.env,
        ...environment,
        ...(descriptors.length > 0 ? { LISTEN_FDS: String(descriptors.length) } : {}),
      },
    },
  )
  t.after(() => child.kill('SIGKILL'))
  let log = ''
  child.stderr!.on('data', (chunk) => {
    log += chunk
  })
  const line = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout!.on('data', (chunk) => {
      text += chunk
      if (text.includes('\n')) resolve(text.split('\n')[0]!)
    })
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}${log}`)))
  })
  return {
    child,
    ready: JSON.parse(line) as Service['ready'],
    log: () => log,
    async stop() {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      assert.deepEqual(await ended, [0, null])
    },
  }
}

const counts = (reply: Buffer): number[] => [reply.readUInt32BE(16), reply.readUInt32BE(12)]

overFrontEnds((frontEnd) => {
  test('a tracker that is replaced in place loses no swarm', async (t) => {
    const directory = await directoryFor(t)
    const config = join(directory, 'tracker.yaml')
    const kept = join(directory, 'swarms')
    await writeFile(
      config,
      `tracker: {http: {addr: ""}, udp: {addr: "127.0.0.1:0"}, storage: {config: {snapshot: ${kept}}}}`,
    )
    const first = await run(t, config, choosing(frontEnd))
    assert.match(first.log(), /no swarms are kept yet/)
    const client = new UdpClient(t, '127.0.0.1', first.ready.tracker.udp[0]!.port)
    const id = await client.connect()
    await client.announce(id, 1001, 0)
    await client.announce(id, 1002, 5)
    await client.announce(id, 1003, 5, 0, 'b'.repeat(20))
    await first.stop()

    const second = await run(t, config, choosing(frontEnd))
    assert.match(second.log(), /"peers":3,"msg":"swarms loaded"/)
    const later = new UdpClient(t, '127.0.0.1', second.ready.tracker.udp[0]!.port)
    const reply = await later.announce(await later.connect(), 1004, 5)
    assert.deepEqual(counts(reply), [1, 2])
    assert.equal((reply.length - 20) / 6, 2)
    await second.stop()

    await truncate(kept, (await readFile(kept)).length - 7)
    const third = await run(t, config, choosing(frontEnd))
    assert.match(third.log(), /PEER_STORE_SNAPSHOT_TORN.*starts empty/)
    const last = new UdpClient(t, '127.0.0.1', third.ready.tracker.udp[0]!.port)
    assert.deepEqual(counts(await last.announce(await last.connect(), 1005, 5)), [0, 1])
    await third.stop()
    const fourth = await run(t, config, choosing(frontEnd))
    assert.match(fourth.log(), /"peers":1,"msg":"swarms loaded"/)
    await fourth.stop()
  })

  test('sockets that are handed in are served, with what waits in them', onlyLinux, async (t) => {
    const directory = await directoryFor(t)
    const config = join(directory, 'tracker.yaml')
    // Nobody could listen there: what is handed in takes the place of it.
    await writeFile(
      config,
      'tracker: {workers: 2, http: {addr: "192.0.2.1:1"}, udp: {addr: "192.0.2.1:1"}, metrics_addr: ""}',
    )
    const udp = createSocket('udp4')
    udp.bind(0, '127.0.0.1')
    await once(udp, 'listening')
    const [http, metrics] = [createServer(), createServer()]
    for (const server of [http, metrics]) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
    const portOf = (server: { address(): unknown }): number =>
      (server.address() as { port: number }).port
    const [udpPort, httpPort, metricsPort] = [udp, http, metrics].map(portOf) as [
      number,
      number,
      number,
    ]
    const starting = run(
      t,
      config,
      { ...choosing(frontEnd), LISTEN_FDNAMES: 'a:b:metrics' },
      [udp, http, metrics].map(
        (socket) => (socket as unknown as { _handle: { fd: number } })._handle.fd,
      ),
    )
    // From now on they are the child's alone.
    udp.close()
    http.close()
    metrics.close()
    const client = new UdpClient(t, '127.0.0.1', udpPort)
    const waiting = client.connect()
    const early = connect(httpPort, '127.0.0.1')
    early.end(`GET /scrape?info_hash=${HASH} HTTP/1.1\r\nConnection: close\r\n\r\n`)
    let answer = ''
    early.on('data', (chunk) => {
      answer += chunk
    })
    const closed = once(early, 'close')
    const service = await starting
    assert.deepEqual(
      [service.ready.tracker.udp, service.ready.tracker.http],
      [[{ address: '127.0.0.1', port: udpPort }], [{ address: '127.0.0.1', port: httpPort }]],
    )
    await client.announce(await waiting, 1001, 0)
    await closed
    assert.match(answer, /^HTTP\/1.1 200 OK/)
    for (let i = 0; i < 10; i++) {
      const other = new UdpClient(t, '127.0.0.1', udpPort)
      assert.deepEqual(counts(await other.announce(await other.connect(), 1001, 0)), [1, 0])
    }
    const stats = await (await fetch(`http://127.0.0.1:${metricsPort}/stats.json`)).json()
    assert.equal((stats as { frontEnd: string }).frontEnd, frontEnd)
    await service.stop()
  })
})

test('IPv4 over a socket of both families is IPv4', onlyLinux, async (t) => {
  const directory = await directoryFor(t)
  const config = join(directory, 'tracker.yaml')
  await writeFile(config, 'tracker: {http: {addr: ""}, udp: {addr: ":1"}}')
  const udp = createSocket({ type: 'udp6', ipv6Only: false })
  try {
    udp.bind(0, '::')
    await once(udp, 'listening')
  } catch {
    t.skip('no IPv6')
    return
  }
  const { port } = udp.address()
  const { fd } = (udp as unknown as { _handle: { fd: number } })._handle
  const starting = run(t, config, {}, [fd])
  udp.close()
  await starting
  const client = new UdpClient(t, '127.0.0.1', port)
  const id = await client.connect()
  await client.announce(id, 1001, 0)
  const reply = await client.announce(id, 1002, 1)
  assert.deepEqual([...reply.subarray(20, 24)], [127, 0, 0, 1])
  assert.equal(reply.length, 26)
})

test('what is handed in is believed only when it is for this process, and a socket', () => {
  assert.deepEqual(handedSockets({}, 5), [])
  assert.deepEqual(handedSockets({ LISTEN_FDS: '1', LISTEN_PID: '4' }, 5), [])
  assert.deepEqual(handedSockets({ LISTEN_FDS: '0', LISTEN_PID: '5' }, 5), [])
  for (const LISTEN_FDS of ['x', '-1', '1.5', '100000', '200']) {
    assert.throws(() => handedSockets({ LISTEN_FDS, LISTEN_PID: '5' }, 5), {
      code: 'TRACKER_HANDED_SOCKET',
    })
  }
})
