/** The routes of Linux, and which gateways are asked: none that is not of a private network, unless it was named. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findGateways, type OurAddress } from '../../../src/engine/gateway/find.ts'
import { type DefaultRoute, parseRoutes, parseRoutes6 } from '../../../src/engine/gateway/routes.ts'
import { isLocal } from '../../../src/engine/local-address.ts'
import { gatewaysOf } from '../../../src/engine/node-gateways.ts'

const HEAD = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT'
const WIFI = 'wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0'
const WIRED = 'eth0\t00000000\tFE01A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0'
const NEAR = 'eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0'

test('the default route of IPv4 is the one that the system takes', () => {
  const table = (...lines: string[]): string => `${[HEAD, ...lines].join('  \n')}  \n`
  const wired = { interfaceName: 'eth0', gateway: '192.168.1.254' }
  assert.deepEqual(parseRoutes(table(NEAR, WIFI, WIRED), true), wired)
  assert.deepEqual(parseRoutes(table(WIFI), true), {
    interfaceName: 'wlan0',
    gateway: '192.168.1.1',
  })
  assert.equal(parseRoutes(table(NEAR), true), undefined)
  assert.equal(parseRoutes('', true), undefined)
  const down = WIRED.replace('0003', '0002')
  assert.equal(parseRoutes(table(down), true), undefined)
  // The word as a big-endian machine writes it.
  assert.deepEqual(parseRoutes(table(WIRED.replace('FE01A8C0', 'C0A801FE')), false), wired)
  // Two halves of everything: a VPN's.
  const tunnel = 'tun0\t00000000\t0100080A\t0003\t0\t0\t500\t00000080\t0\t0\t0'
  assert.deepEqual(parseRoutes(table(WIRED, tunnel), true), {
    interfaceName: 'tun0',
    gateway: '10.8.0.1',
  })
  const point = 'ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0'
  assert.deepEqual(parseRoutes(table(WIRED, point), true), {
    interfaceName: 'ppp0',
    gateway: undefined,
  })
})

const ZERO = '0'.repeat(32)
const ROUTER = `fe80${'0'.repeat(27)}1`
const line6 = (next: string, metric: string, flags: string, name: string): string =>
  `${ZERO} 00 ${ZERO} 00 ${next} ${metric} 00000003 00000000 ${flags} ${name.padStart(8)}`

test('the default route of IPv6 is the one that the system takes', () => {
  const unreachable = line6(ZERO, 'ffffffff', '00200200', 'lo')
  const home = line6(ROUTER, '00000400', '00450003', 'eth0')
  const far = line6(ROUTER, '00000500', '00450003', 'wlan0')
  assert.deepEqual(parseRoutes6(`${far}\n${home}\n${unreachable}\n`), {
    interfaceName: 'eth0',
    gateway: 'fe80::1',
  })
  assert.equal(parseRoutes6(unreachable), undefined)
  assert.equal(parseRoutes6(home.replace(' 00 ', ' 40 ')), undefined)
})

test('any text is a route that there may be, or none', () => {
  const good = `${HEAD}\n${WIRED}\n${NEAR}\n`
  const good6 = `${line6(ROUTER, '00000400', '00450003', 'eth0')}\n`
  const mutated = fc
    .tuple(fc.constantFrom(good, good6), fc.nat(400), fc.nat(9), fc.string({ maxLength: 9 }))
    .map(([text, at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut))
  let found = 0
  const judge = (route: DefaultRoute | undefined): void => {
    if (route === undefined) return
    found++
    assert.match(route.gateway ?? '::', /^[0-9a-f:.]+$/)
  }
  fc.assert(
    fc.property(fc.oneof(mutated, fc.string({ maxLength: 500 })), fc.boolean(), (text, little) => {
      judge(parseRoutes(text, little))
      judge(parseRoutes6(text))
    }),
    { numRuns: 2_000 },
  )
  assert.ok(found > 50, `${found}`)
})

const OURS: readonly OurAddress[] = [
  { interfaceName: 'lo', address: '127.0.0.1', cidr: '127.0.0.1/8' },
  { interfaceName: 'eth0', address: '192.168.1.10', cidr: '192.168.1.10/24' },
  { interfaceName: 'eth0', address: '192.168.1.11', cidr: '192.168.1.11/24' },
  { interfaceName: 'eth0', address: 'fe80::10', cidr: 'fe80::10/64' },
  { interfaceName: 'eth0', address: 'fd00::10', cidr: 'fd00::10/64' },
  { interfaceName: 'eth0', address: '2001:db8::10', cidr: '2001:db8::10/64' },
  { interfaceName: 'eth0', address: '2001:db8::99', cidr: '2001:db8::99/64' },
  { interfaceName: 'vm0', address: '10.1.0.1', cidr: '10.1.0.1/16' },
]
const route = (gateway: string | undefined, interfaceName = 'eth0'): DefaultRoute => ({
  interfaceName,
  gateway,
})
const ALL = ['0.0.0.0', '::']

/** `gateway <- address of ours`, or why not. */
function found(
  routes: readonly [4 | 6, DefaultRoute][],
  bind: readonly string[] = ALL,
  named?: string,
): string {
  const { gateways, lack } = findGateways({ routes: new Map(routes), ours: OURS, bind, named })
  assert.equal(gateways.length === 0, lack !== undefined)
  return lack ?? gateways.map(({ address, local }) => `${address} <- ${local}`).join(', ')
}

test('the gateway of a home is asked, for the addresses that others see', () => {
  const home4: [4, DefaultRoute] = [4, route('192.168.1.1')]
  const home6: [6, DefaultRoute] = [6, route('fe80::1')]
  assert.equal(
    found([home4, home6]),
    '192.168.1.1 <- 192.168.1.10, fe80::1%eth0 <- 2001:db8::10, fe80::1%eth0 <- 2001:db8::99',
  )
  assert.equal(found([home4, home6], ['192.168.1.11']), '192.168.1.1 <- 192.168.1.11')
  assert.equal(found([home4, home6], ['2001:db8::99']), 'fe80::1%eth0 <- 2001:db8::99')
})

test('no gateway is asked that is not of a private network, or for what is not listened on', () => {
  const home: [4, DefaultRoute] = [4, route('192.168.1.1')]
  assert.match(
    found([[4, route('203.0.113.1')]], ['0.0.0.0']),
    /203\.0\.113\.1, which is not of a private/,
  )
  assert.match(found([[4, route(undefined, 'ppp0')]], ['0.0.0.0']), /ppp0, is no router/)
  assert.match(found([[6, route('2001:db8::1')]], ['::']), /not of a private network/)
  assert.match(found([[6, route('fd00::1')]], ['::']), /not of a private network/)
  assert.match(found([home], ['127.0.0.1', '::1']), /only this machine itself/)
  assert.match(found([home], ['10.1.0.1']), /no address of eth0 that is listened on/)
  assert.match(found([home], ['::']), /IPv6 has no default route/)
  assert.match(found([]), /IPv4 has no default route; IPv6 has no default route/)
})

test('a gateway that is named is asked for the address of ours in its network', () => {
  assert.equal(found([], ALL, '192.168.1.254'), '192.168.1.254 <- 192.168.1.10')
  assert.equal(found([[4, route('192.168.1.1')]], ALL, '10.1.2.3'), '10.1.2.3 <- 10.1.0.1')
  assert.equal(found([], ALL, '127.0.0.9'), '127.0.0.9 <- 127.0.0.1')
  const pinholes = (by: string): string => `${by} <- 2001:db8::10, ${by} <- 2001:db8::99`
  assert.equal(found([], ALL, 'fe80::1%eth0'), pinholes('fe80::1%eth0'))
  assert.equal(found([], ALL, 'fd00::1'), pinholes('fd00::1'))
  assert.match(found([], ALL, '172.16.0.1'), /no address that is listened on/)
  assert.match(found([], ['127.0.0.1'], '192.168.1.1'), /no address that is listened on/)
  assert.match(found([], ALL, 'fe80::1%wlan7'), /no address that is listened on/)
})

test('this machine, whatever its routes are, has gateways or a reason', async () => {
  for (const bind of [ALL, ['127.0.0.1']]) {
    const { gateways, lack } = await gatewaysOf(bind, undefined)
    assert.equal(gateways.length === 0, lack !== undefined)
    for (const { address, local } of gateways) assert.ok(isLocal(address) && local !== '')
  }
})
