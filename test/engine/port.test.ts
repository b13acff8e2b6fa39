/** The port that peers reach: one number for TCP and UDP, and nothing left open, however it ends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, seededRandom, silentLogger } from '../../src/base/index.ts'
import { engineError } from '../../src/engine/errors.ts'
import type { Network } from '../../src/engine/network.ts'
import { Port, type PortOptions } from '../../src/engine/port.ts'
import { FakeInternet } from './fake-network.ts'

const DHT = { bootstrap: [] }
const HOST = { accept: () => {}, found: () => {} }

/** A machine on which `isTaken` says whether another process has a port over UDP; with what is open there. */
class Machine {
  readonly clock = new ManualClock()
  readonly open = new Set<string>()
  readonly tried: number[] = []
  readonly network: Network

  constructor(isTaken: (port: number) => boolean = () => false) {
    const inner = new FakeInternet(this.clock, { latencyMs: 1, bytesPerMs: 1000 }).host('10.0.0.1')
    const { open, tried } = this
    this.network = {
      ...inner,
      async listen(addresses, port, accept) {
        const listener = await inner.listen(addresses, port, accept)
        tried.push(listener.port)
        open.add(`TCP ${listener.port}`)
        const close = async (): Promise<void> => {
          open.delete(`TCP ${listener.port}`)
          await listener.close()
        }
        return { port: listener.port, close }
      },
      async openDatagram(address, port) {
        if (isTaken(port)) throw engineError('ENGINE_PORT_TAKEN', `${port} is taken`)
        const socket = await inner.openDatagram(address, port)
        open.add(`UDP ${address} ${port}`)
        const close = socket.close.bind(socket)
        socket.close = () => {
          open.delete(`UDP ${address} ${port}`)
          close()
        }
        return socket
      },
    }
  }

  options(more: Partial<PortOptions>): PortOptions {
    return {
      network: this.network,
      clock: this.clock,
      random: seededRandom(1),
      logger: silentLogger,
      bind: ['0.0.0.0', '::'],
      peerPort: 0,
      maxConnections: 10,
      ...more,
    }
  }
}

test('UDP is opened where somebody wants it, on both families, with the number of TCP', async () => {
  for (const wanted of [{}, { dht: DHT }, { utp: 'on' }, { dht: DHT, utp: 'prefer' }] as const) {
    const machine = new Machine()
    const port = await Port.open(machine.options({ peerPort: 6881, ...wanted }), HOST)
    assert.equal(port.number, 6881)
    assert.equal(port.dht !== undefined, 'dht' in wanted)
    assert.equal(port.utp !== undefined, 'utp' in wanted)
    const udp = Object.keys(wanted).length > 0 ? ['UDP 0.0.0.0 6881', 'UDP :: 6881'] : []
    assert.deepEqual([...machine.open], ['TCP 6881', ...udp])
    await port.shut()
    assert.deepEqual([...machine.open], udp, 'what came by uTP takes its leave')
    port.close()
    assert.deepEqual([...machine.open], [])
  }
})

test('a number that is taken over UDP is given up for another, where the system may choose', async () => {
  const taken = new Set<number>()
  const machine = new Machine((number) => taken.size < 3 && taken.add(number).has(number))
  const port = await Port.open(machine.options({ utp: 'on' }), HOST)
  assert.equal(machine.tried.length, 4)
  assert.ok(!taken.has(port.number))
  const { number } = port
  assert.deepEqual(
    [...machine.open],
    [`TCP ${number}`, `UDP 0.0.0.0 ${number}`, `UDP :: ${number}`],
  )
  await port.shut()
  port.close()
})

for (const [what, peerPort, tries] of [
  ['a number that was named and is taken over UDP is not exchanged', 6881, 1],
  ['where all are taken that is found out in the end', 0, 16],
] as const) {
  test(`${what}, and nothing is left open`, async () => {
    const machine = new Machine(() => true)
    const opening = Port.open(machine.options({ peerPort, utp: 'on', dht: DHT }), HOST)
    await assert.rejects(opening, { code: 'ENGINE_PORT_TAKEN' })
    assert.equal(machine.tried.length, tries)
    assert.deepEqual([...machine.open], [])
  })
}
