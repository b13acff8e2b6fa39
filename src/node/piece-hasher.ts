/**
 * SHA-1 of a stream of bytes, cut into pieces, for a torrent in the making.
 *
 * Invariant: `onPiece` is called once for each piece, in order; the last may be shorter, and is due at `finish`.
 */
import { createHash } from 'node:crypto'

export class PieceHasher {
  readonly #pieceBytes: number
  readonly #onPiece: (piece: number, digest: Buffer) => void
  #piece = 0
  #filled = 0
  #hash = createHash('sha1')

  /** An error thrown by `onPiece` leaves through `update` or `finish`. */
  constructor(pieceBytes: number, onPiece: (piece: number, digest: Buffer) => void) {
    this.#pieceBytes = pieceBytes
    this.#onPiece = onPiece
  }

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const take = Math.min(this.#pieceBytes - this.#filled, bytes.length - at)
      this.#hash.update(bytes.subarray(at, at + take))
      this.#filled += take
      at += take
      if (this.#filled === this.#pieceBytes) this.#next()
    }
  }

  finish(): void {
    if (this.#filled > 0) this.#next()
  }

  #next(): void {
    const digest = this.#hash.digest()
    this.#hash = createHash('sha1')
    this.#filled = 0
    this.#onPiece(this.#piece++, digest)
  }
}
