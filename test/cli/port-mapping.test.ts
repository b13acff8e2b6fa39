/** `seedbed up` and a router that is played on an address of loopback: what is asked, told to people and machines, and taken back. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { PlayedGateway, type PlayedOptions } from '../engine/gateway/played-gateway.ts'
import { type Running, seedbed, start } from './run.ts'

const PORT = 5351

interface Router {
  readonly address: string
  readonly played: PlayedGateway
}

/** Undefined where loopback has no such address, or somebody plays a router there. */
async function routerAt(
  t: TestContext,
  place: number,
  options: Partial<PlayedOptions> = {},
): Promise<Router | undefined> {
  const address = `127.46.${process.pid & 255}.${place}`
  const startMs = performance.now()
  const clock = (): number => 100 + Math.floor((performance.now() - startMs) / 1000)
  const played = new PlayedGateway({ clock, ...options })
  const socket = createSocket('udp4')
  socket.on('message', (bytes, from) => {
    const answer = played.answer(bytes)
    if (answer !== null) socket.send(answer, from.port, from.address)
  })
  try {
    socket.bind(PORT, address)
    await once(socket, 'listening')
  } catch (error) {
    socket.close()
    t.skip(`no router can be played at ${address}: ${error}`)
    return undefined
  }
  t.after(() => socket.close())
  return { address, played }
}

async function up(t: TestContext, more: readonly string[]): Promise<Running> {
  const root = await mkdtemp(join(tmpdir(), 'seedbed-mapping-'))
  const ports = ['--tracker-port', '0', '--peer-port', '0', '--host', '127.0.0.1']
  const place = ['--files', join(root, 'files'), '--data', join(root, 'data')]
  const running = start(['up', ...place, ...ports, '--bind', '127.0.0.1', ...more])
  t.after(async () => {
    running.process.kill('SIGKILL')
    await running.ended
    await rm(root, { recursive: true })
  })
  return running
}

test('up has a router map its port, tells of it, and takes it back', async (t) => {
  const router = await routerAt(t, 1, { portFor: () => 40_000 })
  if (router === undefined) return
  const node = await up(t, ['--gateway', router.address, '--json'])
  const { peerPort } = await node.event('ready')
  const mapping = await node.event('port-mapping')
  const { event: _, ...status } = mapping
  assert.deepEqual(status, {
    gateway: router.address,
    innerAddress: '127.0.0.1',
    innerPort: peerPort,
    protocol: 'pcp',
    state: 'mapped',
    outerAddress: '203.0.113.7',
    isPublic: true,
    outerTcpPort: 40_000,
    outerUdpPort: 40_000,
    problem: null,
  })
  assert.equal(router.played.table.get('tcp')?.innerPort, peerPort)
  assert.equal(router.played.table.get('udp')?.innerPort, peerPort)
  const ended = await node.stop()
  assert.equal(ended.status, 0, ended.stderr)
  const last = ended.objects.filter(({ event }) => event === 'status').at(-1)!
  assert.deepEqual(last.portMapping, { off: null, gateways: [status] })
  assert.equal(router.played.table.size, 0)
})

async function assertSays(t: TestContext, gateway: string, line: RegExp): Promise<void> {
  const node = await up(t, ['--gateway', gateway])
  let said = ''
  const mapping = new Promise<void>((resolve) => {
    node.process.stdout!.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (/^mapping .*\n/m.test(said)) resolve()
    })
  })
  await Promise.race([mapping, node.ended])
  const ended = await node.stop()
  assert.match(said, line, ended.stderr)
  assert.equal(ended.status, 0, ended.stderr)
}

test('people read of it in one line: mapped, behind another NAT, refused', async (t) => {
  for (const [place, options, line] of [
    [2, {}, /^mapping {2}203\.0\.113\.7:\d+ by 127\.[\d.]+ \(PCP\)$/m],
    [
      3,
      { pcp: false, address: [100, 64, 0, 9], portFor: (port: number) => port },
      /^mapping {2}100\.64\.0\.9:\d+ by 127\.[\d.]+ \(NAT-PMP\), which is behind another NAT$/m,
    ],
    [4, { result: () => 2 }, /^mapping {2}127\.[\d.]+ \(PCP\) refuses port \d+: NOT_AUTHORIZED$/m],
  ] as const) {
    const router = await routerAt(t, place, options)
    if (router === undefined) return
    await assertSays(t, router.address, line)
  }
  // Nobody is there, which the system says at once.
  const silent =
    /^mapping {2}127\.[\d.]+ answers neither PCP nor NAT-PMP: port \d+ has to be forwarded/m
  await assertSays(t, `127.46.${process.pid & 255}.99`, silent)
})

test('nobody is asked with --no-port-mapping, on loopback alone, or by a name', async (t) => {
  const router = await routerAt(t, 5)
  if (router === undefined) return
  for (const [more, off] of [
    [['--gateway', router.address, '--no-port-mapping'], 'it is not asked for'],
    [['--gateway', '192.0.2.1'], /no address that is listened on is in one network/],
  ] as const) {
    const node = await up(t, [...more, '--json'])
    await node.event('ready')
    const { objects, stderr } = await node.stop()
    const { portMapping } = objects.filter(({ event }) => event === 'status').at(-1)!
    assert.deepEqual(portMapping.gateways, [])
    if (typeof off === 'string') assert.equal(portMapping.off, off)
    else {
      assert.match(portMapping.off, off)
      assert.match(stderr, /no gateway is asked/, 'who names one is told')
    }
  }
  assert.deepEqual(router.played.asked, [])
  assert.equal((await seedbed(['up', '--gateway', 'router.home'])).status, 2)
})
