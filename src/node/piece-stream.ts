/**
 * Judges a torrent's pieces as its bytes come by, in order from the first.
 *
 * Invariant: `onPiece` is called once for each piece, in order, when its last byte has come. Filler is
 * passed over, whatever is in its place: it is zeros.
 */
import type { PieceCheck, PieceHashes, Verdict } from '../metainfo/index.ts'

export class PieceStream {
  readonly #hashes: PieceHashes
  readonly #onPiece: (piece: number, verdict: Verdict) => void
  #piece = 0
  #filled = 0
  #check: PieceCheck

  /** An error thrown by `onPiece` leaves through `update`. */
  constructor(hashes: PieceHashes, onPiece: (piece: number, verdict: Verdict) => void) {
    this.#hashes = hashes
    this.#onPiece = onPiece
    this.#check = hashes.begin(0)
  }

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const size = this.#hashes.pieceLength(this.#piece)
      const content = this.#hashes.contentLength(this.#piece)
      const take = Math.min(size - this.#filled, bytes.length - at)
      const inContent = Math.max(0, Math.min(take, content - this.#filled))
      if (inContent > 0) this.#check.update(bytes.subarray(at, at + inContent))
      this.#filled += take
      at += take
      if (this.#filled < size) continue
      this.#onPiece(this.#piece, this.#check.verdict())
      this.#filled = 0
      this.#piece++
      if (this.#piece < this.#hashes.info.pieceCount) this.#check = this.#hashes.begin(this.#piece)
    }
  }
}
