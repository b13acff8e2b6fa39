/** How many connections there may be, and from whom. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Arrival, Connections } from '../../src/engine/connections.ts'

/** As many arrivals from the addresses as are let in. */
function arrivals(connections: Connections, count: number, address: (i: number) => string) {
  const all: Arrival[] = []
  for (let i = 0; i < count; i++) {
    const arrival = connections.arrive(address(i))
    arrival?.connected()
    if (arrival !== undefined) all.push(arrival)
  }
  return all
}

test('an IPv4 address is a host, an IPv6 /64 is a host', () => {
  const connections = new Connections(1_000, 8)
  assert.equal(arrivals(connections, 20, () => '10.0.0.1').length, 8)
  assert.equal(arrivals(connections, 20, () => '10.0.0.2').length, 8)
  assert.equal(arrivals(connections, 20, (i) => `2001:db8:0:1::${i + 1}`).length, 8)
  assert.equal(arrivals(connections, 20, (i) => `2001:db8:0:2:${i}::1`).length, 8)
  assert.equal(arrivals(connections, 20, () => '::ffff:10.0.0.1').length, 0)
  assert.equal(connections.total, 32)
})

test('by default a host may have a quarter, at least eight', () => {
  assert.equal(arrivals(new Connections(100), 200, () => '::1').length, 25)
  assert.equal(arrivals(new Connections(20), 200, () => '::1').length, 8)
  assert.equal(arrivals(new Connections(3), 200, () => '::1').length, 3)
})

test('what has ended counts no more, however often it is said', () => {
  const connections = new Connections(4, 2)
  const [first] = arrivals(connections, 5, () => '10.0.0.1')
  first!.connected()
  first!.ended()
  assert.equal(connections.total, 1)
  assert.equal(arrivals(connections, 5, () => '10.0.0.1').length, 1)
  const departure = connections.depart()!
  departure.opened()
  departure.opened()
  departure.ended()
  assert.equal(connections.total, 2)
})

test('arrivals and departures together stay below the bound, half-open ones below theirs', () => {
  const connections = new Connections(20, 20)
  for (let i = 0; i < 6; i++) assert.ok(connections.arrive('10.0.0.1'))
  const departures = Array.from({ length: 20 }, () => connections.depart())
  assert.equal(departures.filter((one) => one !== undefined).length, 14)
  assert.equal(connections.arrive('10.0.0.2'), undefined)
  const free = new Connections(100)
  assert.equal(Array.from({ length: 30 }, () => free.depart()).filter(Boolean).length, 16)
})

test('who says nothing takes no more than its share of the waiting places', () => {
  const connections = new Connections(10_000)
  const count = (address: string): number =>
    Array.from({ length: 200 }, () => connections.arrive(address)).filter(Boolean).length
  assert.equal(count('10.0.0.1'), 32)
  assert.equal(count('10.0.0.2'), 32)
  assert.equal(count('10.0.0.3') + count('10.0.0.4') + count('10.0.0.5'), 64)
})
