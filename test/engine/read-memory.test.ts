/** Memory for blocks of several sizes: a bound that holds, cells that do not overlap. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Cell, ReadMemory } from '../../src/engine/read-memory.ts'

const SLAB = 8
const SLABS = 3

const memoryOf = (): ReadMemory<object> =>
  new ReadMemory(SLAB, SLABS, (bytes) => new Uint8Array(bytes))

test('slabs are cut into cells of what is asked for, and anew when they are empty', () => {
  const memory = memoryOf()
  const small = Array.from({ length: 4 }, () => ({}))
  const cells = small.map((holder) => memory.take(holder, 2)!)
  assert.equal(memory.made, 1)
  const large = [{}, {}]
  for (const holder of large) assert.ok(memory.take(holder, 8) !== undefined)
  assert.equal(memory.take({}, 2), undefined)
  memory.give(small[0]!, cells[0]!)
  assert.equal(memory.take({}, 8), undefined, 'three cells of that slab are held')
  for (const at of [1, 2, 3]) memory.give(small[at]!, cells[at]!)
  assert.equal(memory.take({}, 8)!.bytes.length, 8)
  assert.equal(memory.made, SLABS)
})

test('no byte is in two cells, whatever is taken and given back; nothing is lost', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ bytes: fc.constantFrom(1, 2, 4, 8), give: fc.nat(30) }), {
        maxLength: 200,
      }),
      (steps) => {
        const memory = memoryOf()
        const held = new Map<object, { cell: Cell<object>; bytes: number }>()
        const giveBack = (holder: object): void => {
          memory.give(holder, held.get(holder)!.cell)
          held.delete(holder)
        }
        for (const { bytes, give } of steps) {
          const holder = {}
          const cell = memory.take(holder, bytes)
          if (cell !== undefined) {
            assert.equal(cell.bytes.length, bytes)
            held.set(holder, { cell, bytes })
          } else {
            const slabsOfSize = [...held.values()].filter((other) => other.bytes === bytes)
            assert.equal((slabsOfSize.length * bytes) % SLAB, 0, 'a cell of that size is free')
          }
          const victim = [...held.keys()][give]
          if (victim !== undefined) giveBack(victim)
          const marks = new Map<ArrayBufferLike, Set<number>>()
          for (const { cell } of held.values()) {
            const seen = marks.get(cell.bytes.buffer) ?? new Set<number>()
            marks.set(cell.bytes.buffer, seen)
            for (let at = 0; at < cell.bytes.length; at++) {
              assert.ok(!seen.has(cell.bytes.byteOffset + at), 'a byte is held twice')
              seen.add(cell.bytes.byteOffset + at)
            }
          }
          assert.ok(memory.made <= SLABS)
        }
        for (const holder of [...held.keys()]) giveBack(holder)
        for (let i = 0; i < SLABS; i++) assert.ok(memory.take({}, SLAB) !== undefined)
      },
    ),
  )
})
