/**
 * The hash trees of all files of a torrent (BEP 52) in the making, from its address space read once from
 * front to end: the same pass that takes the SHA-1 of the pieces.
 *
 * Invariant: memory is the leaves of one piece and the piece layer of one file, besides what is finished.
 */
import { toHex } from '../base/index.ts'
import { LeafHasher, MERKLE_HASH_BYTES, merkleHeight, merkleLeaves, merkleRoot } from './merkle.ts'
import type { TorrentFile } from './types.ts'

export class TreeBuilder {
  readonly layers: Map<string, Uint8Array> = new Map()
  /** By index of the file; undefined for filler and files without bytes. */
  readonly roots: (Uint8Array | undefined)[]
  readonly #files: readonly TorrentFile[]
  readonly #pieceBytes: number
  readonly #pieceLayer: number
  readonly #leaves: LeafHasher
  #index = -1
  /** Bytes of the current file, and of its current piece, that are hashed. */
  #done = 0
  #filled = 0
  #layer: Uint8Array = new Uint8Array(0)

  constructor(files: readonly TorrentFile[], pieceBytes: number) {
    this.#files = files
    this.#pieceBytes = pieceBytes
    this.#pieceLayer = merkleHeight(merkleLeaves(pieceBytes))
    this.#leaves = new LeafHasher(merkleLeaves(pieceBytes))
    this.roots = files.map(() => undefined)
    this.#next()
  }

  /** The next bytes of the address space; those of filler are passed over, whatever they are. */
  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const file = this.#files[this.#index]!
      const rest = file.bytes - this.#done
      const inPiece = file.padding ? rest : Math.min(rest, this.#pieceBytes - this.#filled)
      const take = Math.min(inPiece, bytes.length - at)
      if (!file.padding) this.#leaves.update(bytes.subarray(at, at + take))
      at += take
      this.#done += take
      this.#filled += take
      if (!file.padding && (this.#filled === this.#pieceBytes || this.#done === file.bytes)) {
        this.#endPiece(file)
      }
      if (this.#done === file.bytes) this.#next()
    }
  }

  #endPiece(file: TorrentFile): void {
    const leaves = this.#leaves.finish()
    const piece = Math.floor((this.#done - 1) / this.#pieceBytes)
    this.#filled = 0
    if (file.bytes <= this.#pieceBytes) {
      this.roots[this.#index] = merkleRoot(leaves, 0, merkleHeight(merkleLeaves(file.bytes)))
      return
    }
    this.#layer.set(merkleRoot(leaves, 0, this.#pieceLayer), piece * MERKLE_HASH_BYTES)
    if (this.#done < file.bytes) return
    const height = merkleHeight(merkleLeaves(file.bytes))
    const root = merkleRoot(this.#layer, this.#pieceLayer, height)
    this.roots[this.#index] = root
    this.layers.set(toHex(root), this.#layer)
  }

  /** The next file that has bytes. */
  #next(): void {
    do this.#index++
    while (this.#files[this.#index]?.bytes === 0)
    this.#done = 0
    this.#filled = 0
    const file = this.#files[this.#index]
    if (file === undefined || file.padding || file.bytes <= this.#pieceBytes) return
    this.#layer = new Uint8Array(Math.ceil(file.bytes / this.#pieceBytes) * MERKLE_HASH_BYTES)
  }
}
