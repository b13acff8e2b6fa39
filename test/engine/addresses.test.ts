/** Whom to try next, and when again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressBook, BAN_MS } from '../../src/engine/addresses.ts'

/** When the only address was offered, if each connection ends at once. */
function triesOf(book: AddressBook, useful: boolean, untilMs: number): number[] {
  const tries: number[] = []
  for (let nowMs = 0; nowMs < untilMs; nowMs += 1_000) {
    const address = book.next(nowMs)
    if (address === undefined) continue
    tries.push(nowMs / 1_000)
    book.ended(address, useful, nowMs)
  }
  return tries
}

test('an address that fails is tried ever more rarely, and never given up when it is the only one', () => {
  const book = new AddressBook()
  book.add('10.0.0.1', 1, 0)
  assert.deepEqual(
    triesOf(book, false, 3_600_000),
    [0, 2, 6, 14, 30, 62, 126, 254, 510, 1022, 1622, 2222, 2822, 3422],
  )
})

test('of many, one that failed six times is given up', () => {
  const book = new AddressBook()
  for (let port = 1; port <= 17; port++) book.add('10.0.0.1', port, 0)
  triesOf(book, false, 3_600_000)
  assert.equal(book.size, 16)
})

test('an address is offered once at a time, the others before it again', () => {
  const book = new AddressBook()
  book.add('10.0.0.1', 1, 0)
  book.add('10.0.0.2', 1, 0)
  const first = book.next(0)!
  book.ended(first, true, 0)
  assert.equal(book.next(5_000)!.host, '10.0.0.2')
  assert.equal(book.next(5_000)!.host, '10.0.0.1')
  assert.equal(book.next(5_000), undefined)
})

test('an address that is to rest rests, for ever if need be', () => {
  const book = new AddressBook()
  book.add('10.0.0.1', 1, 0)
  book.ended(book.next(0)!, true, 0, 300_000)
  assert.equal(book.next(299_000), undefined)
  book.ended(book.next(300_000)!, true, 300_000, Number.POSITIVE_INFINITY)
  assert.equal(book.next(1e12), undefined)
  assert.equal(book.add('10.0.0.1', 1, 0), false)
})

test('a book that is full of addresses where nobody answers takes new ones in their place', () => {
  const book = new AddressBook()
  for (let port = 1; port <= 2_000; port++) assert.ok(book.add('10.0.0.1', port, 0))
  assert.equal(book.add('192.0.2.1', 1, 0), false, 'nothing is known against the others yet')
  const ourselves = book.next(0)!
  book.ended(ourselves, false, 0, Number.POSITIVE_INFINITY)
  const useful = book.next(0)!
  book.ended(useful, true, 0)
  const absent = book.next(0)!
  book.ended(absent, false, 0)
  const busy = book.next(0)!
  assert.ok(book.add('192.0.2.1', 1, 0))
  assert.equal(book.size, 2_000)
  assert.equal(book.add('192.0.2.1', 2, 0), false, 'that was the only one')
  for (const { port } of [ourselves, useful, busy])
    assert.equal(book.add('10.0.0.1', port, 0), false)
  book.ended(busy, false, 0)
  assert.ok(book.add('10.0.0.1', absent.port, 0))
})

test('nonsense is no address; a banned host neither', () => {
  const book = new AddressBook()
  for (const port of [0, -1, 65_536, 1.5, Number.NaN]) assert.ok(!book.add('10.0.0.1', port, 0))
  assert.ok(!book.add('', 80, 0))
  assert.ok(book.add('10.0.0.1', 80, 0))
  book.ban('10.0.0.1', 0)
  assert.equal(book.size, 0)
  assert.ok(!book.add('10.0.0.1', 81, 0))
  for (let i = 0; i < 1_000; i++) book.ban(`10.1.${i >> 8}.${i & 255}`, 0)
  assert.ok(!book.isBanned('10.0.0.1', 0), 'the first of too many is pardoned')
  assert.ok(book.isBanned('10.1.3.231', 0))
})

test('a ban ends', () => {
  const book = new AddressBook()
  book.ban('10.0.0.1', 1_000)
  assert.ok(book.isBanned('10.0.0.1', BAN_MS + 999))
  assert.ok(!book.isBanned('10.0.0.1', BAN_MS + 1_000))
  assert.ok(book.add('10.0.0.1', 80, BAN_MS + 1_000))
})
