/**
 * The pieces that a peer may ask for though it is choked (BEP 6), and how much of each.
 *
 * Invariant: of a piece at most what it was granted is taken until it is granted anew.
 */
export class Allowance {
  /** Twos of a piece and the bytes left of it: ten pieces at most, for which a Map would take five times the memory. */
  readonly #left: number[]

  /** `bytesOf`: how much may be taken of a piece. */
  constructor(pieces: readonly number[], bytesOf: (piece: number) => number) {
    this.#left = pieces.flatMap((piece) => [piece, bytesOf(piece)])
  }

  /** False when the piece is not allowed, or there is not as much left. */
  take(piece: number, bytes: number): boolean {
    const left = this.#left
    for (let i = 0; i < left.length; i += 2) {
      if (left[i] !== piece || left[i + 1]! < bytes) continue
      left[i + 1]! -= bytes
      return true
    }
    return false
  }

  /** A new time without: what was allowed is allowed again. */
  renew(bytesOf: (piece: number) => number): void {
    const left = this.#left
    for (let i = 0; i < left.length; i += 2) left[i + 1] = bytesOf(left[i]!)
  }

  /** We have the pieces no more. */
  forget(pieces: ReadonlySet<number>): void {
    const left = this.#left
    for (let i = left.length - 2; i >= 0; i -= 2) if (pieces.has(left[i]!)) left.splice(i, 2)
  }
}
