/** How many connections there may be, and from whom. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Arrival,
  Connections,
  type Departure,
  type Traveller,
} from '../../src/engine/connections.ts'

/** As many arrivals from the addresses as are let in. */
function arrivals(connections: Connections, count: number, address: (i: number) => string) {
  const all: Arrival[] = []
  for (let i = 0; i < count; i++) {
    const arrival = connections.arrive(address(i))
    arrival?.connected()
    // Nobody makes room.
    if (connections.isOver) arrival?.ended()
    else if (arrival !== undefined) all.push(arrival)
  }
  return all
}

test('an IPv4 address is a host, an IPv6 /64 is a host', () => {
  const connections = new Connections({ max: 1_000, maxPerAddress: 8 })
  assert.equal(arrivals(connections, 20, () => '10.0.0.1').length, 8)
  assert.equal(arrivals(connections, 20, () => '10.0.0.2').length, 8)
  assert.equal(arrivals(connections, 20, (i) => `2001:db8:0:1::${i + 1}`).length, 8)
  assert.equal(arrivals(connections, 20, (i) => `2001:db8:0:2:${i}::1`).length, 8)
  assert.equal(arrivals(connections, 20, () => '::ffff:10.0.0.1').length, 0)
  assert.equal(connections.total, 32)
})

test('by default a host may have a quarter, at least eight', () => {
  assert.equal(arrivals(new Connections({ max: 100 }), 200, () => '::1').length, 25)
  assert.equal(arrivals(new Connections({ max: 20 }), 200, () => '::1').length, 8)
  assert.equal(arrivals(new Connections({ max: 3 }), 200, () => '::1').length, 3)
})

test('what has ended counts no more, however often it is said', () => {
  const connections = new Connections({ max: 4, maxPerAddress: 2 })
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
  const connections = new Connections({ max: 20, maxPerAddress: 20 })
  for (let i = 0; i < 6; i++) assert.ok(connections.arrive('10.0.0.1'))
  const departures = Array.from({ length: 20 }, () => connections.depart())
  assert.equal(departures.filter((one) => one !== undefined).length, 14)
  // Full: some are heard for who they are, and no more.
  for (let i = 0; i < 10; i++) assert.ok(connections.arrive(`10.0.1.${i}`))
  assert.equal(connections.arrive('10.0.0.2'), undefined)
  assert.deepEqual(connections.refused, { full: 1, arriving: 0, address: 0 })
  assert.equal(connections.mayDepart, false)
  const free = new Connections({ max: 100 })
  assert.equal(Array.from({ length: 30 }, () => free.depart()).filter(Boolean).length, 16)
})

test('who says nothing takes no more than its share of the waiting places', () => {
  const connections = new Connections({ max: 10_000 })
  const count = (address: string): number =>
    Array.from({ length: 200 }, () => connections.arrive(address)).filter(Boolean).length
  assert.equal(count('10.0.0.1'), 32)
  assert.equal(count('10.0.0.2'), 32)
  assert.equal(count('10.0.0.3') + count('10.0.0.4') + count('10.0.0.5'), 64)
})

/** Wants `left` more connections; keeps those that it got. */
class Wanderer implements Traveller {
  readonly name: string
  readonly made: Departure[] = []
  left: number
  readonly #connections: Connections
  readonly #log: string[]

  constructor(name: string, left: number, connections: Connections, log: string[]) {
    this.name = name
    this.left = left
    this.#connections = connections
    this.#log = log
    connections.queue(this)
  }

  get places(): number {
    return this.made.length
  }

  depart(): void {
    this.#log.push(this.name)
    this.made.push(this.#connections.depart()!)
    if (--this.left > 0) this.#connections.queue(this)
  }
}

test('those who wait depart in turn, whoever has fewest first', () => {
  const connections = new Connections({ max: 6, maxHalfOpen: 2 })
  const log: string[] = []
  const a = new Wanderer('a', 9, connections, log)
  const b = new Wanderer('b', 9, connections, log)
  const c = new Wanderer('c', 1, connections, log)
  assert.deepEqual(log, ['a', 'a'])
  assert.deepEqual([...connections.starving()], [b, c])
  for (const departure of [...a.made]) departure.opened()
  assert.deepEqual(log.slice(2), ['b', 'c'])
  b.made[0]!.opened()
  c.made[0]!.ended()
  assert.deepEqual(log.slice(4), ['b', 'a'])
  for (const departure of [...a.made, ...b.made]) departure.opened()
  assert.deepEqual(log.slice(6), ['b'])
  assert.equal(connections.total, 6)
  connections.unqueue(a)
  a.made[0]!.ended()
  assert.deepEqual(log.slice(7), ['b'])
})
