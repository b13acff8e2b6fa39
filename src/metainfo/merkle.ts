/**
 * The hash trees of BitTorrent v2 (BEP 52): SHA-256 over leaves of 16 KiB, two children a node.
 *
 * ```
 * height 2            root                    a file of 50,000 bytes: 4 leaves, none short of 16 KiB but
 * height 1      n          n                  the last; a tree is filled up to a power of two with
 * height 0   leaf leaf  leaf leaf  [0] [0]    leaves of 32 zero bytes, which are no hash of anything
 * ```
 *
 * The piece layer is the height at which a node covers one piece; a file of at most one piece has none.
 *
 * Invariants: digests are 32 bytes, back to back; what only covers filler is never stored.
 */
import { createHash, hash } from 'node:crypto'
import { bytesEqual } from '../base/index.ts'

export const MERKLE_LEAF_BYTES: number = 16 * 1024
export const MERKLE_HASH_BYTES = 32

/** `log2` of the smallest power of two that is at least `count`, which is at least 1. */
export function merkleHeight(count: number): number {
  let height = 0
  while (2 ** height < count) height++
  return height
}

/** Leaves of `bytes` bytes, at least 1 byte. */
export function merkleLeaves(bytes: number): number {
  return Math.ceil(bytes / MERKLE_LEAF_BYTES)
}

const padHashes: Uint8Array[] = [new Uint8Array(MERKLE_HASH_BYTES)]

/** The node at `height` that covers nothing but filler. */
export function merklePad(height: number): Uint8Array {
  while (padHashes.length <= height) {
    const below = padHashes[padHashes.length - 1]!
    padHashes.push(sha256(Buffer.concat([below, below])))
  }
  return padHashes[height]!
}

/**
 * The layer above: nodes in pairs, a lone last one beside filler. `nodes` are at `height`; the result
 * may be `into`, which may be `nodes` itself.
 */
export function merkleParents(
  nodes: Uint8Array,
  height: number,
  into: Uint8Array = new Uint8Array(Math.ceil(nodes.length / 64) * MERKLE_HASH_BYTES),
): Uint8Array {
  const pairs = Math.ceil(nodes.length / 64)
  for (let i = 0; i < pairs; i++) {
    const pair = nodes.subarray(64 * i, 64 * i + 64)
    into.set(
      sha256(pair.length === 64 ? pair : Buffer.concat([pair, merklePad(height)])),
      MERKLE_HASH_BYTES * i,
    )
  }
  return into.subarray(0, pairs * MERKLE_HASH_BYTES)
}

/** The node at height `to` above all of `nodes`, at least one of them, which are at height `from`. */
export function merkleRoot(nodes: Uint8Array, from: number, to: number): Uint8Array {
  let layer = nodes
  for (let height = from; height < to; height++) layer = merkleParents(layer, height)
  return layer
}

/** Leaf digests of a stream of bytes, 16 KiB each, the last perhaps shorter. */
export class LeafHasher {
  #leaves: Uint8Array
  #count = 0
  #filled = 0
  #partial: ReturnType<typeof createHash> | undefined

  /** `leaves` is how many are expected; more cost a copy. */
  constructor(leaves: number) {
    this.#leaves = new Uint8Array(Math.max(1, leaves) * MERKLE_HASH_BYTES)
  }

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const take = Math.min(MERKLE_LEAF_BYTES - this.#filled, bytes.length - at)
      const part = bytes.subarray(at, at + take)
      at += take
      if (take === MERKLE_LEAF_BYTES) {
        this.#push(sha256(part))
        continue
      }
      this.#partial ??= createHash('sha256')
      this.#partial.update(part)
      this.#filled += take
      if (this.#filled === MERKLE_LEAF_BYTES) this.#endPartial()
    }
  }

  /** Ends the last leaf and answers all since the last time; begins anew. */
  finish(): Uint8Array {
    if (this.#partial !== undefined) this.#endPartial()
    const leaves = this.#leaves.slice(0, this.#count * MERKLE_HASH_BYTES)
    this.#count = 0
    return leaves
  }

  #endPartial(): void {
    this.#push(this.#partial!.digest())
    this.#partial = undefined
    this.#filled = 0
  }

  #push(digest: Uint8Array): void {
    if ((this.#count + 1) * MERKLE_HASH_BYTES > this.#leaves.length) {
      const grown = new Uint8Array(2 * this.#leaves.length)
      grown.set(this.#leaves)
      this.#leaves = grown
    }
    this.#leaves.set(digest, this.#count++ * MERKLE_HASH_BYTES)
  }
}

/** Which hashes of a file's tree are meant (BEP 52, "hash request"). */
export interface HashRange {
  /** Height of the first layer. */
  readonly baseLayer: number
  /** The first node there, a multiple of `length` rounded up to a power of two. */
  readonly index: number
  /** Nodes of that layer, at least 1. */
  readonly length: number
  /** Layers above that a proof is asked for. */
  readonly proofLayers: number
}

/**
 * Uncles that belong to an answer: of log2(length) - 1 layers none, since the requested nodes give those by
 * themselves. A node alone, such as the last of a layer that libtorrent asks for, needs one more for that.
 */
export function uncleCount({ length, proofLayers }: HashRange): number {
  return Math.max(0, proofLayers - (merkleHeight(length) - 1))
}

/** The `proofLayers` that lead from the nodes to the root of a tree of `height`, and not beyond. */
export function proofLayersTo(height: number, baseLayer: number): number {
  return Math.max(0, height - baseLayer - 1)
}

/**
 * A tree from one of its layers up, for answering who asks for hashes.
 *
 * Twice the memory of the layer.
 */
export class MerkleTree {
  readonly baseLayer: number
  readonly height: number
  readonly #layers: Uint8Array[] = []

  /** `layer` at `baseLayer` of a tree of `height`. */
  constructor(layer: Uint8Array, baseLayer: number, height: number) {
    this.baseLayer = baseLayer
    this.height = height
    this.#layers.push(layer)
    for (let at = baseLayer; at < height; at++) {
      this.#layers.push(merkleParents(this.#layers[at - baseLayer]!, at))
    }
  }

  get root(): Uint8Array {
    return this.#layers[this.height - this.baseLayer]!
  }

  get bytes(): number {
    return this.#layers.reduce((sum, layer) => sum + layer.length, 0)
  }

  /** The node `index` of the layer at `height`, filler beyond its end. */
  node(height: number, index: number): Uint8Array {
    const layer = this.#layers[height - this.baseLayer]!
    const at = index * MERKLE_HASH_BYTES
    return at < layer.length ? layer.subarray(at, at + MERKLE_HASH_BYTES) : merklePad(height)
  }

  /** The nodes of a range, and the uncles above them; null when the tree has no such range. */
  hashes(range: HashRange): Uint8Array | null {
    const { baseLayer, index, length } = range
    if (baseLayer < this.baseLayer || !isRange(range, this.height)) return null
    const uncles = this.uncles(range)
    const result = new Uint8Array(length * MERKLE_HASH_BYTES + uncles.length)
    for (let i = 0; i < length; i++) {
      result.set(this.node(baseLayer, index + i), i * MERKLE_HASH_BYTES)
    }
    result.set(uncles, length * MERKLE_HASH_BYTES)
    return result
  }

  /** The uncles of a range, from the lowest; the range may lie below this tree's own layers. */
  uncles(range: HashRange): Uint8Array {
    const { baseLayer, index, length } = range
    const count = uncleCount(range)
    const result = new Uint8Array(count * MERKLE_HASH_BYTES)
    const bottom = baseLayer + merkleHeight(length)
    const node = index / 2 ** merkleHeight(length)
    for (let i = 0; i < count; i++) {
      const sibling = Math.floor(node / 2 ** i) ^ 1
      result.set(this.node(bottom + i, sibling), i * MERKLE_HASH_BYTES)
    }
    return result
  }
}

/** Whether a tree of `height` has these nodes and this proof. Every number is a stranger's. */
export function isRange(range: HashRange, height: number): boolean {
  const { baseLayer, index, length, proofLayers } = range
  if (length < 1 || baseLayer > height) return false
  const span = 2 ** merkleHeight(length)
  return (
    index % span === 0 &&
    index + span <= 2 ** (height - baseLayer) &&
    baseLayer + merkleHeight(length) + uncleCount(range) <= height &&
    proofLayers <= proofLayersTo(height, baseLayer)
  )
}

/** Whether `hashes`, nodes and then uncles, lead to `root`, the top of a tree of `height`. */
export function provesRange(
  hashes: Uint8Array,
  range: HashRange,
  root: Uint8Array,
  height: number,
): boolean {
  const { baseLayer, index, length } = range
  const nodesBytes = length * MERKLE_HASH_BYTES
  const uncles = uncleCount(range)
  if (hashes.length !== nodesBytes + uncles * MERKLE_HASH_BYTES) return false
  const span = merkleHeight(length)
  if (baseLayer + span + uncles !== height) return false
  let node = merkleRoot(hashes.subarray(0, nodesBytes), baseLayer, baseLayer + span)
  let at = index / 2 ** span
  for (let i = 0; i < uncles; i++) {
    const uncle = hashes.subarray(
      nodesBytes + i * MERKLE_HASH_BYTES,
      nodesBytes + (i + 1) * MERKLE_HASH_BYTES,
    )
    node = sha256(Buffer.concat(at % 2 === 0 ? [node, uncle] : [uncle, node]))
    at = Math.floor(at / 2)
  }
  return bytesEqual(node, root)
}

function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer')
}
