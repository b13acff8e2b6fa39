/** A gateway that is played on a real socket of loopback, and strangers who answer in its place. */
import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { silentLogger, systemClock, systemRandom } from '../../../src/base/index.ts'
import { GATEWAY_PORT, GatewayClient } from '../../../src/engine/gateway/client.ts'
import { type GatewayStatus, TransportNumber } from '../../../src/engine/gateway/types.ts'
import { nodeNetwork } from '../../../src/engine/index.ts'
import { PlayedGateway } from './played-gateway.ts'

const OURS = '127.0.0.1'

async function bound(t: TestContext, address: string, port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(port, address)
  await once(socket, 'listening')
  t.after(() => socket.close())
  return socket
}

/** Undefined where loopback has one address alone, or somebody has this one. */
async function gatewayOf(t: TestContext, address: string): Promise<Socket | undefined> {
  try {
    return await bound(t, address, GATEWAY_PORT)
  } catch (error) {
    t.skip(`no gateway can be played at ${address}: ${error}`)
    return undefined
  }
}

function clientOf(gateway: string, onChange: (status: GatewayStatus) => void): GatewayClient {
  const { tcp, udp } = TransportNumber
  return new GatewayClient(
    { family: 4, address: gateway, local: OURS },
    {
      network: nodeNetwork(),
      clock: systemClock,
      random: systemRandom(),
      logger: silentLogger,
      port: 6881,
      transports: [tcp, udp],
      onChange,
      onAnew: () => {},
    },
  )
}

for (const pcp of [true, false]) {
  const protocol = pcp ? 'pcp' : 'nat-pmp'
  test(`over real sockets, by ${protocol}: mapped, not by strangers, and released`, async (t) => {
    const address = `127.43.${process.pid & 255}.${pcp ? 1 : 2}`
    const socket = await gatewayOf(t, address)
    if (socket === undefined) return
    const played = new PlayedGateway({ clock: () => 1_000, pcp, portFor: () => 40_000 })
    const liar = new PlayedGateway({ clock: () => 1_000, pcp, portFor: () => 666 })
    // Another port of the gateway, and its port at another address.
    const strangers = [await bound(t, address, 0), await bound(t, `127.43.0.${pcp ? 3 : 4}`, 0)]
    socket.on('message', (request, from) => {
      assert.equal(from.address, OURS, 'from where the mapping is to lead')
      const lie = liar.answer(request)
      const told = strangers.map(
        (stranger) =>
          new Promise((resolve) => {
            if (lie === null) resolve(null)
            else stranger.send(lie, from.port, from.address, resolve)
          }),
      )
      // The truth comes when the lies have.
      Promise.all(told).then(() => {
        const answer = played.answer(request)
        if (answer !== null) socket.send(answer, from.port, from.address)
      })
    })
    const { client, status } = await new Promise<{
      client: GatewayClient
      status: GatewayStatus
    }>((resolve) => {
      const client = clientOf(address, (status) => resolve({ client, status }))
      client.start()
    })
    assert.deepEqual(
      [status.state, status.protocol, status.outerTcpPort, status.outerUdpPort],
      ['mapped', protocol, 40_000, 40_000],
    )
    assert.equal(status.outerAddress, '203.0.113.7')
    assert.equal(played.table.size, 2)
    await client.stop()
    assert.equal(played.table.size, 0)
  })
}

test('a gateway with nobody at that port is silent, without minutes of questions', async (t) => {
  if (process.platform !== 'linux') {
    t.skip('not every system says so')
    return
  }
  // Nobody listens at this port of this address: the system says so at once.
  const address = `127.44.${process.pid & 255}.9`
  const status = await new Promise<GatewayStatus>((resolve, reject) => {
    const client = clientOf(address, (status) => {
      client.stop().then(() => resolve(status), reject)
    })
    client.start()
  })
  assert.deepEqual([status.state, status.protocol], ['silent', null])
})
