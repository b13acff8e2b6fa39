/** The memory of downloads: the bound, whose turn it is, and who gives way. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../../src/base/index.ts'
import { type PoolMember, StripePool } from '../../src/engine/stripe-pool.ts'

const STRIPE = 65_536
const NONE = Number.POSITIVE_INFINITY

class Member implements PoolMember {
  held = 0
  runLeft: number
  readonly name: string
  readonly #told: string[]
  readonly #reliefBytes: number

  constructor(told: string[], name: string, runLeft = NONE, reliefBytes = 0) {
    this.#told = told
    this.name = name
    this.runLeft = runLeft
    this.#reliefBytes = reliefBytes
  }

  reliefBytes(): number {
    return this.#reliefBytes
  }

  relieve(): void {
    this.#told.push(`relieve ${this.name}`)
  }

  onRoom(): void {
    this.#told.push(`room for ${this.name}`)
  }
}

function poolOf(stripes: number, clock = new ManualClock()): StripePool {
  return new StripePool(STRIPE, stripes * STRIPE, (bytes) => new Uint8Array(bytes), clock)
}

test('a pool smaller than a stripe is refused by name', () => {
  const make = (): StripePool =>
    new StripePool(STRIPE, STRIPE - 1, (bytes) => new Uint8Array(bytes), new ManualClock())
  assert.throws(make, { code: 'ENGINE_CACHE_SMALL' })
})

test('pressure is relieved where it brings most, and only when all memory is in use', () => {
  const pool = poolOf(2)
  const told: string[] = []
  const a = new Member(told, 'a', NONE, 10)
  const b = new Member(told, 'b', NONE, 20)
  pool.join(a)
  pool.join(b)
  const buffer = pool.take(a)!
  pool.take(b)
  assert.equal(pool.take(a), undefined)
  assert.deepEqual(told, ['relieve b'])
  pool.give(a, buffer)
  assert.deepEqual(told, ['relieve b', 'room for a'])
})

test('a run that was begun has a lease on what it lacks, until it pauses', () => {
  const clock = new ManualClock()
  const pool = poolOf(32, clock)
  const told: string[] = []
  const runs = ['a', 'b'].map((name) => new Member(told, name))
  const late = new Member(told, 'late')
  for (const member of [...runs, late]) pool.join(member)
  for (const member of runs) {
    assert.ok(pool.take(member))
    member.runLeft = 15
  }
  assert.equal(pool.take(late), undefined, 'two runs of sixteen are all there is')
  clock.advance(500)
  for (const member of runs.slice(1)) {
    for (; member.runLeft > 0; member.runLeft--) assert.ok(pool.take(member), 'has the lease')
  }
  assert.equal(pool.take(late), undefined, "what is left is the first one's")
  clock.advance(500)
  pool.tick()
  assert.deepEqual(told, ['room for late'])
  assert.ok(pool.take(late), 'it took none for a second')
})

test('of the last quarter nobody has more than a share', () => {
  const clock = new ManualClock()
  const pool = poolOf(16, clock)
  const members = Array.from({ length: 8 }, (_, i) => new Member([], `${i}`))
  for (const member of members) pool.join(member)
  const slow = members[0]!
  const many = members[1]!
  for (let i = 0; i < 11; i++) assert.ok(pool.take(many), 'as long as there is plenty')
  assert.ok(pool.take(slow))
  assert.ok(pool.take(slow))
  assert.equal(pool.take(slow), undefined, 'of the rest no more than a share')
  const fast = members[2]!
  assert.ok(pool.take(fast))
  fast.runLeft = 7
  assert.ok(pool.take(fast))
  fast.runLeft = 6
  clock.advance(2_000)
  assert.equal(pool.take(fast), undefined)
})

test('what comes back is offered to who needs least for its run, then in order', () => {
  const pool = poolOf(1)
  const told: string[] = []
  const holder = new Member(told, 'holder')
  pool.join(holder)
  const buffer = pool.take(holder)!
  const line = [new Member(told, 'new'), new Member(told, 'far', 5), new Member(told, 'near', 2)]
  for (const member of line) {
    pool.join(member)
    assert.equal(pool.take(member), undefined)
  }
  pool.give(holder, buffer)
  assert.deepEqual(told, ['room for near', 'room for far', 'room for new'])
})

test('whatever members do, memory is bounded, and who waits is told of room', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.array(fc.tuple(fc.nat(5), fc.constantFrom('take', 'give', 'run', 'wait')), {
        maxLength: 200,
      }),
      (stripes, steps) => {
        const clock = new ManualClock()
        const pool = poolOf(stripes, clock)
        const told: string[] = []
        const members = Array.from({ length: 6 }, (_, i) => new Member(told, `${i}`))
        const hands = members.map((): Uint8Array[] => [])
        for (const member of members) pool.join(member)
        for (const [i, step] of steps) {
          const member = members[i]!
          if (step === 'take') {
            const buffer = pool.take(member)
            if (buffer !== undefined) hands[i]!.push(buffer)
          } else if (step === 'give') {
            const buffer = hands[i]!.pop()
            if (buffer !== undefined) pool.give(member, buffer)
          } else if (step === 'run') member.runLeft = member.runLeft === NONE ? 4 : NONE
          else clock.advance(400)
          const held = hands.flat()
          assert.ok(held.length <= stripes && pool.made <= stripes)
          assert.equal(new Set(held).size, held.length, 'one buffer, one holder')
          assert.equal(pool.held, held.length)
        }
        // Nobody holds anything, no lease is left: whoever was refused is told, and gets one.
        const refused = members.map((member, i) => {
          for (const buffer of hands[i]!.splice(0)) pool.give(member, buffer)
          return member
        })
        clock.advance(1_000)
        for (const member of refused) {
          member.runLeft = NONE
          const buffer = pool.take(member)
          assert.ok(buffer !== undefined)
          pool.give(member, buffer)
        }
      },
    ),
  )
})
