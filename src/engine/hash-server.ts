/**
 * Answers who asks for nodes of the hash trees of a torrent (BEP 52): of the piece layer and above from
 * memory, of the leaves by reading the pieces that they are of.
 *
 * ```
 *        root                 above the piece layer: a tree of the layer, made when somebody asks, kept
 *    n          n                                    while its turn comes again soon
 *  piece      piece           the piece layer
 *  /  \       /  \
 * leaf leaf leaf leaf         below: the pieces are read and hashed, one request of a torrent at a time
 * ```
 *
 * Invariants: at most MAX_HASHES nodes an answer; trees take at most MAX_TREES_BYTES; leaves are read only
 * of pieces that were verified, at most MAX_LEAF_BYTES at a time; one peer has at most MAX_WAITING requests
 * for leaves waiting, others are refused.
 */
import { toHex } from '../base/index.ts'
import {
  type HashRange,
  isRange,
  LeafHasher,
  MERKLE_HASH_BYTES,
  MERKLE_LEAF_BYTES,
  MerkleTree,
  merkleHeight,
  merkleLeaves,
  type PieceHashes,
  pieceLayerOf,
  uncleCount,
} from '../metainfo/index.ts'
import { MAX_HASHES } from './wire/hashes.ts'

const MAX_TREES_BYTES = 32 * 1024 * 1024
const MAX_LEAF_BYTES: number = MAX_HASHES * MERKLE_LEAF_BYTES
const MAX_WAITING = 8

export interface HashServerHost {
  /** Whether the piece was verified. */
  has(piece: number): boolean
  /** Its content, without filler; rejects when it cannot be read. */
  readPiece(piece: number): Promise<Uint8Array>
}

export class HashServer {
  /** Requests that were answered, and that were refused. */
  served = 0
  refused = 0
  readonly #hashes: PieceHashes
  readonly #host: HashServerHost
  readonly #pieceLayer: number
  /** By the root, the one not used for longest first. */
  readonly #trees = new Map<string, MerkleTree>()
  #treesBytes = 0
  readonly #waiting = new Map<object, number>()
  #lane: Promise<void> = Promise.resolve()

  constructor(hashes: PieceHashes, host: HashServerHost) {
    this.#hashes = hashes
    this.#host = host
    this.#pieceLayer = pieceLayerOf(hashes.info)
  }

  /** `answer` is called once, now or later, with null for a refusal. `peer` is who asks. */
  ask(
    peer: object,
    root: Uint8Array,
    range: HashRange,
    answer: (hashes: Uint8Array | null) => void,
  ): void {
    const say = (hashes: Uint8Array | null): void => {
      if (hashes === null) this.refused++
      else this.served++
      answer(hashes)
    }
    const first = range.length <= MAX_HASHES ? this.#hashes.firstPieceOf(root) : undefined
    if (first === undefined) {
      say(null)
      return
    }
    const { bytes, pieces } = this.#hashes.fileOf(first)!
    const height = merkleHeight(merkleLeaves(bytes))
    const upper = pieces > 1 ? this.#treeOf(root, height) : undefined
    // A node alone is no range of BEP 52, but for the last of a layer. libtorrent 2.0.8 asks for that, and with
    // the right answer gives a hybrid up; refused, it goes by SHA-1.
    const alone = range.length === 1 && this.#hashes.info.format === 'hybrid'
    const known = !alone && isRange(range, height) && (pieces === 1 || upper !== undefined)
    if (known && upper !== undefined && range.baseLayer >= this.#pieceLayer) {
      say(upper.hashes(range))
      return
    }
    const waiting = this.#waiting.get(peer) ?? 0
    if (!known || range.baseLayer !== 0 || waiting >= MAX_WAITING) {
      say(null)
      return
    }
    this.#waiting.set(peer, waiting + 1)
    this.#lane = this.#lane.then(async () => {
      const hashes = await this.#leaves(range, first, bytes, height, upper).catch(() => null)
      this.#release(peer)
      say(hashes)
    })
  }

  #release(peer: object): void {
    const left = this.#waiting.get(peer)! - 1
    if (left > 0) this.#waiting.set(peer, left)
    else this.#waiting.delete(peer)
  }

  /** The tree above the piece layer; undefined when the layer is not known. */
  #treeOf(root: Uint8Array, height: number): MerkleTree | undefined {
    const name = toHex(root)
    const layer = this.#hashes.layers.get(name)
    if (layer === undefined) return undefined
    let tree = this.#trees.get(name)
    if (tree === undefined) {
      tree = new MerkleTree(layer, this.#pieceLayer, height)
      this.#treesBytes += tree.bytes
    }
    this.#trees.delete(name)
    this.#trees.set(name, tree)
    for (const [oldest, each] of this.#trees) {
      if (this.#treesBytes <= MAX_TREES_BYTES || each === tree) break
      this.#trees.delete(oldest)
      this.#treesBytes -= each.bytes
    }
    return tree
  }

  async #leaves(
    range: HashRange,
    first: number,
    bytes: number,
    height: number,
    upper: MerkleTree | undefined,
  ): Promise<Uint8Array | null> {
    const { pieceBytes } = this.#hashes.info
    const span = 2 ** merkleHeight(range.length)
    // The whole pieces around the range: their other leaves make the uncles within them.
    const perPiece = upper === undefined ? 2 ** height : 2 ** this.#pieceLayer
    const from = Math.floor(range.index / perPiece) * perPiece
    const count = Math.max(span, perPiece)
    if (count * MERKLE_LEAF_BYTES > MAX_LEAF_BYTES) return null
    const hasher = new LeafHasher(count)
    const end = Math.min(bytes, (from + count) * MERKLE_LEAF_BYTES)
    for (let at = from * MERKLE_LEAF_BYTES; at < end; at += pieceBytes) {
      const piece = first + Math.floor(at / pieceBytes)
      if (!this.#host.has(piece)) return null
      hasher.update(await this.#host.readPiece(piece))
    }
    const lower = new MerkleTree(hasher.finish(), 0, merkleHeight(count))
    const inner = { ...range, index: range.index - from }
    const result: Uint8Array[] = []
    for (let i = 0; i < range.length; i++) result.push(lower.node(0, inner.index + i))
    const uncles = uncleCount(range)
    for (let i = 0; i < uncles; i++) {
      const layer = merkleHeight(range.length) + i
      const node = Math.floor(range.index / 2 ** layer)
      const sibling = node ^ 1
      if (layer < lower.height) result.push(lower.node(layer, sibling - from / 2 ** layer))
      else result.push(upper!.node(layer, sibling))
    }
    const hashes = new Uint8Array(result.length * MERKLE_HASH_BYTES)
    for (const [i, node] of result.entries()) hashes.set(node, i * MERKLE_HASH_BYTES)
    return hashes
  }
}
