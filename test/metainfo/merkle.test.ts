/** Hash trees: the same root by every way, proofs that prove, and proofs that do not. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/index.ts'
import {
  type HashRange,
  isRange,
  LeafHasher,
  MERKLE_LEAF_BYTES,
  MerkleTree,
  merkleHeight,
  merkleLeaves,
  merklePad,
  merkleRoot,
  proofLayersTo,
  provesRange,
} from '../../src/metainfo/index.ts'

const sha256 = (...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

/** The tree by the book: all leaves up to a power of two, then pairs. */
function rootByTheBook(content: Uint8Array, leaves: number): Uint8Array {
  let layer: Uint8Array[] = []
  for (let i = 0; i < leaves; i++) {
    const at = i * MERKLE_LEAF_BYTES
    layer.push(
      at < content.length
        ? sha256(content.subarray(at, at + MERKLE_LEAF_BYTES))
        : new Uint8Array(32),
    )
  }
  while (layer.length > 1) {
    layer = layer.flatMap((node, i) => (i % 2 === 0 ? [sha256(node, layer[i + 1]!)] : []))
  }
  return layer[0]!
}

function contentOf(bytes: number, seed: number): Uint8Array {
  const content = new Uint8Array(bytes)
  seededRandom(seed).fill(content)
  return content
}

const rootOf = (content: Uint8Array, cuts: readonly number[]): Uint8Array => {
  const hasher = new LeafHasher(1)
  let at = 0
  for (const cut of [...cuts, content.length]) {
    const end = Math.max(at, Math.min(cut, content.length))
    hasher.update(content.subarray(at, end))
    at = end
  }
  return merkleRoot(hasher.finish(), 0, merkleHeight(merkleLeaves(content.length)))
}

test('a root is that of the whole tree, however the bytes come', () => {
  const bytes = fc.oneof(
    fc.integer({ min: 1, max: 300_000 }),
    fc.integer({ min: 1, max: 18 }).map((leaves) => leaves * MERKLE_LEAF_BYTES),
  )
  fc.assert(
    fc.property(bytes, fc.array(fc.nat({ max: 300_000 }), { maxLength: 5 }), (size, cuts) => {
      const content = contentOf(size, 7)
      const leaves = 2 ** merkleHeight(merkleLeaves(size))
      const sorted = cuts.toSorted((a, b) => a - b)
      assert.deepEqual(new Uint8Array(rootOf(content, sorted)), rootByTheBook(content, leaves))
    }),
    { seed: 52, numRuns: 60 },
  )
})

test('filler is a tree of zero hashes', () => {
  assert.deepEqual(new Uint8Array(merklePad(0)), new Uint8Array(32))
  assert.deepEqual(new Uint8Array(merklePad(3)), rootByTheBook(new Uint8Array(0), 8))
})

/** A tree over random digests at `base`, of which `nodes` are not filler. */
const trees = fc
  .record({ nodes: fc.integer({ min: 1, max: 70 }), base: fc.integer({ min: 0, max: 5 }) })
  .map(({ nodes, base }) => {
    const layer = contentOf(nodes * 32, nodes)
    return new MerkleTree(layer, base, base + merkleHeight(nodes))
  })

test('every range that a tree gives proves itself, and nothing else', () => {
  fc.assert(
    fc.property(trees, fc.nat(), fc.nat(), fc.nat(), (tree, layerPick, spanPick, indexPick) => {
      const base = tree.baseLayer + (layerPick % (tree.height - tree.baseLayer + 1))
      const spanHeight = spanPick % (tree.height - base + 1)
      // The root by itself: nobody asks for what they have.
      if (base === tree.height) return
      const index = (indexPick % 2 ** (tree.height - base - spanHeight)) * 2 ** spanHeight
      const range: HashRange = {
        baseLayer: base,
        index,
        length: 2 ** spanHeight,
        proofLayers: proofLayersTo(tree.height, base),
      }
      const hashes = tree.hashes(range)
      assert.ok(hashes !== null)
      assert.ok(provesRange(hashes, range, tree.root, tree.height))
      const spoilt = Uint8Array.from(hashes)
      spoilt[indexPick % spoilt.length]! ^= 1 << (layerPick % 8)
      assert.ok(!provesRange(spoilt, range, tree.root, tree.height))
      assert.ok(!provesRange(hashes.subarray(32), range, tree.root, tree.height))
      if (index > 0) {
        assert.ok(!provesRange(hashes, { ...range, index: 0 }, tree.root, tree.height))
      }
    }),
    { seed: 53, numRuns: 400 },
  )
})

test('no number that a stranger sends makes a range of more than the tree', () => {
  const u32 = fc.oneof(fc.nat({ max: 70 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }))
  fc.assert(
    fc.property(trees, u32, u32, u32, u32, (tree, baseLayer, index, length, proofLayers) => {
      const range = { baseLayer, index, length, proofLayers }
      const hashes = isRange(range, tree.height) ? tree.hashes(range) : null
      if (hashes === null) return
      assert.ok(hashes.length <= (2 ** (tree.height - tree.baseLayer) + tree.height) * 32)
    }),
    { seed: 54, numRuns: 2_000 },
  )
})
