/** Paths and what they are; whom a proxy speaks for; how long a connection id is good, and whose. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, ManualClock, seededRandom } from '../../src/base/index.ts'
import { parseAddress } from '../../src/tracker/addresses.ts'
import { PRIVATE_NETWORKS, parseNetwork, TrustedProxies } from '../../src/tracker/client-address.ts'
import { ConnectionIds, makeConnectionIds } from '../../src/tracker/connection-id.ts'
import { HttpHead, parseHead } from '../../src/tracker/http-codec.ts'
import { HttpRoutes, routeProblem } from '../../src/tracker/http-routes.ts'

test('routes match whole paths, literal ones first', () => {
  const routes = new HttpRoutes(
    ['/:key/announce', '/announce', '/t/*rest', '/announce.php'],
    ['/scrape', '/:key/scrape'],
  )
  const match = (path: string): [string, string] => {
    const bytes = Buffer.from(`xx${path}yy`, 'latin1')
    const route = routes.match(bytes, 2, 2 + path.length)
    const { parameterStart, parameterEnd } = routes
    return [
      route,
      parameterStart < 0 ? '' : bytes.subarray(parameterStart, parameterEnd).toString(),
    ]
  }
  for (const [path, route, key] of [
    ['/announce', 'announce', ''],
    ['/announce.php', 'announce', ''],
    ['/announce/', 'none', ''],
    ['/announces', 'none', ''],
    ['/secret/announce', 'announce', 'secret'],
    ['//announce', 'none', ''],
    ['/a/b/announce', 'none', ''],
    ['/t/announce', 'announce', 't'],
    ['/t/', 'announce', ''],
    ['/t/a/b', 'announce', ''],
    ['/t', 'none', ''],
    ['/scrape', 'scrape', ''],
    ['/secret/scrape', 'scrape', 'secret'],
    ['/', 'root', ''],
    ['', 'none', ''],
  ] as const) {
    assert.deepEqual(match(path), [route, key], path)
  }
})

test('a route that cannot be is said to be so', () => {
  for (const good of ['/announce', '/:passkey/announce', '/a/*rest'])
    assert.equal(routeProblem(good), undefined)
  for (const bad of [
    'announce',
    '',
    '/a b',
    '/a?b',
    '/:',
    '/*',
    '/*a/b',
    '/é',
    `/${'a/'.repeat(20)}`,
  ]) {
    assert.ok(routeProblem(bad), bad)
  }
})

function clientOf(
  trusted: readonly string[],
  remote: string,
  lines: readonly string[],
): string | null {
  const request = Buffer.from(
    `GET / HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`,
  )
  const head = new HttpHead()
  head.note = Buffer.from('x-forwarded-for')
  assert.equal(parseHead(request, 0, request.length, head), 'request')
  const found = new TrustedProxies(trusted).clientOf(parseAddress(remote)!, request, head)
  return found === null ? null : [...found].join('.')
}

test('a header names the client only for a trusted proxy, and only as far as proxies are trusted', () => {
  const own = ['10.0.0.0/8', '2001:db8::/32']
  assert.equal(clientOf(own, '10.0.0.1', ['X-Forwarded-For: 1.2.3.4']), '1.2.3.4')
  assert.equal(clientOf(own, '11.0.0.1', ['X-Forwarded-For: 1.2.3.4']), '11.0.0.1', 'a stranger')
  assert.equal(clientOf(own, '10.0.0.1', ['Other: 1.2.3.4']), '10.0.0.1', 'no header')
  assert.equal(
    clientOf(own, '10.0.0.1', ['x-forwarded-for: 6.6.6.6, 1.2.3.4 ,10.9.9.9']),
    '1.2.3.4',
    'a chain',
  )
  assert.equal(
    clientOf(own, '10.0.0.1', ['X-Forwarded-For: 6.6.6.6, 1.2.3.4', 'X-Forwarded-For: 10.1.1.1']),
    '1.2.3.4',
  )
  assert.equal(
    clientOf(own, '10.0.0.1', ['X-Forwarded-For: 10.3.3.3, 10.4.4.4']),
    '10.3.3.3',
    'all are ours',
  )
  assert.equal(clientOf(own, '10.0.0.1', ['X-Forwarded-For: 1.2.3.4:5678']), '1.2.3.4')
  assert.equal(clientOf(own, '10.0.0.1', ['X-Forwarded-For: [::ffff:1.2.3.4]:5']), '1.2.3.4')
  assert.equal(clientOf(own, '2001:db8::1', ['X-Forwarded-For: 1.2.3.4']), '1.2.3.4')
  for (const wrong of ['', 'unknown', '1.2.3.4,', '1.2.3.4, x']) {
    assert.equal(clientOf(own, '10.0.0.1', [`X-Forwarded-For: ${wrong}`]), null, wrong)
  }
  const many = Array.from({ length: 20 }, (_, i) => `X-Forwarded-For: 1.1.1.${i}`)
  assert.equal(clientOf(own, '10.0.0.1', many), '1.1.1.19')
  assert.equal(clientOf([], '10.0.0.1', ['X-Forwarded-For: 1.2.3.4']), '10.0.0.1')
})

test('networks have whole and broken bytes', () => {
  const has = (network: string, address: string) =>
    new TrustedProxies([network]).has(parseAddress(address)!)
  assert.ok(has('172.16.0.0/12', '172.31.255.255'))
  assert.ok(!has('172.16.0.0/12', '172.32.0.0'))
  assert.ok(has('0.0.0.0/0', '9.9.9.9') && !has('0.0.0.0/0', '::1'))
  assert.ok(has('fc00::/7', 'fdff::1') && !has('fc00::/7', 'fe00::1'))
  for (const network of PRIVATE_NETWORKS) assert.ok(parseNetwork(network), network)
  for (const wrong of ['x', '1.2.3.4/33', '1.2.3.4/', '1.2.3.4/8/8', '::/129'])
    assert.equal(parseNetwork(wrong), undefined)
})

const HERE = Uint8Array.of(1, 2, 3, 4)

function issue(ids: ConnectionIds): Uint8Array {
  const id = new Uint8Array(8)
  ids.issue(HERE, id)
  return id
}

test('a connection id is good for as long as is set', () => {
  const clock = new ManualClock()
  for (const lifetimeSeconds of [1, 120, 3600, 43_200]) {
    const ids = new ConnectionIds(
      clock,
      makeConnectionIds(clock, seededRandom(1), { lifetimeSeconds }),
    )
    const id = issue(ids)
    clock.advance(lifetimeSeconds * 1000)
    assert.ok(ids.isValid(HERE, id), String(lifetimeSeconds))
    clock.advance(1000)
    assert.ok(!ids.isValid(HERE, id), String(lifetimeSeconds))
  }
})

test('a connection id is good at a thread whose clock is a little behind', () => {
  const clock = new ManualClock(5)
  const share = makeConnectionIds(clock, seededRandom(1))
  const ahead = new ManualClock(5)
  const id = [0, 1].map((ms) => {
    ahead.advance(ms === 0 ? 0 : 999.99)
    return issue(new ConnectionIds(ahead, share))
  })
  for (const one of id) assert.ok(new ConnectionIds(new ManualClock(4), share).isValid(HERE, one))
  ahead.advance(1001)
  const early = issue(new ConnectionIds(ahead, share))
  assert.ok(!new ConnectionIds(new ManualClock(4), share).isValid(HERE, early))
})

test('trackers of one key take the ids of each other, as far as their clocks may differ', () => {
  const at = (seconds: number): Clock => {
    const clock = new ManualClock(1_700_000_000_000 + seconds * 1000)
    return clock
  }
  const make = (seconds: number, sharedKey: string, maxSkewSeconds = 10) =>
    new ConnectionIds(
      at(seconds),
      makeConnectionIds(at(seconds), seededRandom(seconds), { sharedKey, maxSkewSeconds }),
    )
  const id = issue(make(0, 'k'))
  for (const [seconds, good] of [
    [0, true],
    [120, true],
    [121, false],
    [-10, true],
    [-11, false],
    [65_536, false],
  ] as const) {
    assert.equal(make(seconds, 'k').isValid(HERE, id), good, String(seconds))
  }
  assert.ok(!make(0, 'other').isValid(HERE, id))
  assert.ok(!make(0, 'k').isValid(Uint8Array.of(1, 2, 3, 5), id))
  assert.ok(!make(-1, 'k', 0).isValid(HERE, id))
})
