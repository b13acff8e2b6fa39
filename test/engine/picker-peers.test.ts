/** Who has what, counted: against a model of sets, whatever peers gain and lose. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Bitfield, seededRandom } from '../../src/base/index.ts'
import { Geometry } from '../../src/engine/geometry.ts'
import type { PickerPeer } from '../../src/engine/picker-peer.ts'
import { PickerPeers } from '../../src/engine/picker-peers.ts'
import { RarityIndex } from '../../src/engine/rarity.ts'

const PIECES = 11
const PIECE_BYTES = 16 * 1024
const geometry = new Geometry(PIECES * PIECE_BYTES, PIECE_BYTES, 4 * PIECE_BYTES)

function bitsOf(pieces: Iterable<number>): Bitfield {
  const bits = new Bitfield(PIECES)
  for (const piece of pieces) bits.set(piece)
  return bits
}

function scene(have: Iterable<number> = []) {
  const ours = bitsOf(have)
  const rarity = new RarityIndex(geometry, ours, seededRandom(1))
  return { ours, rarity, peers: new PickerPeers(ours, rarity) }
}

const ALL = Array.from({ length: PIECES }, (_, piece) => piece)

test('copies, and what each peer is wanted for, are those of the sets', () => {
  const piece = fc.integer({ min: 0, max: PIECES - 1 })
  const step = fc.record({
    kind: fc.constantFrom('add', 'seed', 'remove', 'gain', 'gain all', 'lose', 'had'),
    pieces: fc.uniqueArray(piece),
    piece,
    which: fc.nat(9),
  })
  fc.assert(
    fc.property(fc.uniqueArray(piece), fc.array(step, { maxLength: 60 }), (begun, steps) => {
      const { ours, rarity, peers } = scene(begun)
      const have = new Set(begun)
      const model = new Map<PickerPeer, Set<number>>()
      for (const { kind, pieces, piece, which } of steps) {
        const peer = [...model.keys()][which % Math.max(1, model.size)]
        const its = peer === undefined ? undefined : model.get(peer)!
        if (kind === 'add') model.set(peers.add(bitsOf(pieces)), new Set(pieces))
        else if (kind === 'seed') model.set(peers.add(bitsOf(ALL)), new Set(ALL))
        else if (kind === 'had') {
          if (have.has(piece)) continue
          ours.set(piece)
          have.add(piece)
          peers.pieceHad(piece)
        } else if (peer === undefined || its === undefined) continue
        else if (kind === 'remove') {
          peers.remove(peer)
          model.delete(peer)
        } else if (kind === 'lose') {
          if (its.delete(piece)) peers.lost(peer, piece)
        } else {
          for (const one of kind === 'gain' ? [piece] : ALL) {
            assert.equal(peers.gained(peer, one), !its.has(one))
            its.add(one)
          }
        }
        peers.check()
        for (const one of ALL) {
          const copies = [...model.values()].filter((set) => set.has(one)).length
          assert.equal(rarity.availability(one), copies)
        }
        for (const [one, set] of model) {
          assert.equal(one.wanted, [...set].filter((own) => !have.has(own)).length)
          assert.equal(peers.byId.get(one.id), one)
        }
        assert.equal(peers.byId.size, model.size)
      }
    }),
    { seed: 1, numRuns: 300 },
  )
})

test('who gets the last piece is counted as a seed, who has lost one never again', () => {
  const { rarity, peers } = scene()
  const peer = peers.add(bitsOf(ALL.slice(1)))
  assert.ok(!peer.seed)
  peers.gained(peer, 0)
  assert.ok(peer.seed)
  assert.equal(rarity.seeds, 1)
  peers.lost(peer, 3)
  peers.gained(peer, 3)
  assert.ok(peer.has.full && !peer.seed)
  assert.equal(rarity.seeds, 0)
  assert.equal(rarity.availability(3), 1)
})
