/** The picker against chance: whatever peers do, its invariants hold and every download ends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Bitfield, seededRandom } from '../../src/base/index.ts'
import { Geometry } from '../../src/engine/geometry.ts'
import { Picker } from '../../src/engine/picker.ts'
import type { PickerPeer } from '../../src/engine/picker-peer.ts'

interface Model {
  readonly geometry: Geometry
  readonly have: Bitfield
  readonly picker: Picker
  /** What each has been asked for, and was told to cancel, which may be on its way. */
  readonly peers: { peer: PickerPeer; owed: Set<string>; cancelled: Set<string> }[]
  nowMs: number
}

const out = new Int32Array(256)

function pick(model: Model, at: number, max: number): void {
  const entry = model.peers[at]!
  const count = model.picker.pick(entry.peer, max, model.nowMs, out)
  assert.ok(count <= max)
  for (let i = 0; i < count; i++) {
    const piece = out[2 * i]!
    const key = `${piece}.${out[2 * i + 1]}`
    assert.ok(!model.have.has(piece), `${key} is asked for though we have it`)
    assert.ok(entry.peer.has.has(piece), `${key} is asked of a peer without it`)
    assert.ok(!entry.owed.has(key), `${key} is asked of the same peer twice`)
    const others = model.peers.filter(({ owed }) => owed.has(key))
    const late = others.filter(({ peer }) => !model.picker.isOwner(peer, piece, out[2 * i + 1]!))
    for (const { owed } of late) owed.delete(key)
    assert.ok(others.length - late.length < 2, `${key} is asked of a third peer`)
    entry.owed.add(key)
  }
}

function deliver(model: Model, at: number, corrupt: boolean): void {
  const { peer, owed, cancelled } = model.peers[at]!
  const [key] = cancelled.size > 0 ? cancelled : owed
  if (key === undefined) return
  cancelled.delete(key)
  owed.delete(key)
  const [piece, chunk] = key.split('.').map(Number) as [number, number]
  if (!model.picker.beginReceive(peer, piece, chunk, model.nowMs)) return
  model.picker.received(peer, piece, chunk, model.nowMs)
  if (!model.picker.isWhole(piece)) return
  if (corrupt) model.picker.pieceFailed(piece)
  else model.picker.pieceVerified(piece)
}

function leave(model: Model, at: number): void {
  const [entry] = model.peers.splice(at, 1)
  model.picker.removePeer(entry!.peer)
}

const KIB = 1024
const sizes = fc.record({
  totalBytes: fc.integer({ min: 1, max: 900 * KIB }),
  pieceBytes: fc.constantFrom(16 * KIB, 32 * KIB, 20_000, 50_000, 64 * KIB, 100_000, 256 * KIB),
  stripeBytes: fc.constantFrom(32 * KIB, 64 * KIB, 128 * KIB),
  maxActive: fc.integer({ min: 1, max: 4 }),
  seed: fc.integer(),
})

const step = fc.record({
  what: fc.constantFrom(
    'join',
    'leave',
    'have',
    'lost',
    'pick',
    'pick',
    'deliver',
    'deliver',
    'choke',
    'wait',
    'reject',
  ),
  who: fc.nat(),
  value: fc.nat(),
})

test('random peers: never what we have, never a third, never too many extents, always to the end', () => {
  fc.assert(
    fc.property(sizes, fc.array(step, { maxLength: 300, size: 'max' }), (size, steps) => {
      const geometry = new Geometry(size.totalBytes, size.pieceBytes, size.stripeBytes)
      const have = new Bitfield(geometry.pieceCount)
      const random = seededRandom(size.seed)
      for (let i = 0; i < have.length; i++) if (random.uint32() % 4 === 0) have.set(i)
      const picker = new Picker({
        geometry,
        have,
        random,
        maxActive: size.maxActive,
        admit: () => random.uint32() % 8 !== 0,
        isMemoryShort: () => size.seed % 3 === 0,
        cancel: (id, piece, chunk) => {
          const entry = model.peers.find(({ peer }) => peer.id === id)!
          const key = `${piece}.${chunk}`
          assert.ok(entry.owed.delete(key), `${key} is cancelled that was not asked for`)
          entry.cancelled.add(key)
        },
      })
      const model: Model = { geometry, have, picker, peers: [], nowMs: 0 }
      for (const { what, who, value } of steps) {
        const at = model.peers.length === 0 ? -1 : who % model.peers.length
        if (what === 'join' && model.peers.length < 6) {
          const has = new Bitfield(geometry.pieceCount)
          for (let i = 0; i < has.length; i++) if ((random.uint32() & 7) >= value % 9) has.set(i)
          model.peers.push({ peer: picker.addPeer(has), owed: new Set(), cancelled: new Set() })
        } else if (at < 0) continue
        else if (what === 'leave') leave(model, at)
        else if (what === 'have') picker.peerHas(model.peers[at]!.peer, value % have.length)
        else if (what === 'lost') {
          const { peer, owed } = model.peers[at]!
          const piece = value % have.length
          const released = picker.peerLost(peer, piece)
          const freed = [...owed].filter((key) => key.startsWith(`${piece}.`))
          if (released) assert.ok(freed.length > 0)
          for (const key of freed) owed.delete(key)
          model.peers[at]!.cancelled.clear()
        } else if (what === 'pick') pick(model, at, (value % 20) + 1)
        else if (what === 'deliver') deliver(model, at, value % 10 === 0)
        else if (what === 'wait') model.nowMs += value % 6_000
        else if (what === 'choke') {
          picker.releaseAll(model.peers[at]!.peer)
          model.peers[at]!.owed.clear()
          model.peers[at]!.cancelled.clear()
        } else {
          const [key] = model.peers[at]!.owed
          if (key === undefined) continue
          model.peers[at]!.owed.delete(key)
          const [piece, chunk] = key.split('.').map(Number)
          picker.release(model.peers[at]!.peer, piece!, chunk!)
        }
        assert.ok(picker.active.length <= size.maxActive)
        picker.check()
      }
      // A seed comes, the others deliver what they owe or are too late: the download ends.
      const all = new Bitfield(geometry.pieceCount)
      all.setAll()
      model.peers.push({ peer: picker.addPeer(all), owed: new Set(), cancelled: new Set() })
      for (let round = 0; !have.full; round++) {
        assert.ok(round < 20_000, 'the download does not end')
        const at = model.peers.length - 1
        pick(model, at, 16)
        if (model.peers[at]!.owed.size === 0) model.nowMs += 1_000
        while (model.peers[at]!.owed.size > 0) deliver(model, at, false)
        if (round === 50) while (model.peers.length > 1) leave(model, 0)
      }
      picker.check()
      assert.equal(picker.active.length, 0)
    }),
    { numRuns: 150, seed: 20_240_601 },
  )
})
