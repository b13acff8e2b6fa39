/**
 * What a downloader's disk has to do: pieces are gathered in buffers of one stripe, a bounded number of them. A
 * stripe that is whole is written at once, in one write; where a buffer is wanted and none is free the fullest stripe
 * goes, the oldest among equals, one write for each run of neighbours in it. What comes later for it is
 * gathered again, and is never a whole stripe.
 *
 * Invariants: every byte is written once (`bytes` after `close`); at most `capacity` stripes are open.
 */
import type { DiskModel } from '../../src/block-device/index.ts'

interface Buffer {
  readonly stripe: number
  readonly pieces: Uint8Array
  count: number
}

export class StripeBuffers {
  /** Of whole stripes in one write, and of all. */
  wholeBytes = 0
  bytes = 0
  writes = 0
  readonly #pieceBytes: number
  readonly #perStripe: number
  readonly #capacity: number
  readonly #model: DiskModel
  /** Of each stripe. */
  readonly #missing: Uint16Array
  /** The oldest first. */
  readonly #open: Buffer[] = []

  constructor(
    stripes: number,
    stripeBytes: number,
    pieceBytes: number,
    capacity: number,
    model: DiskModel,
  ) {
    this.#pieceBytes = pieceBytes
    this.#perStripe = stripeBytes / pieceBytes
    this.#capacity = capacity
    this.#model = model
    this.#missing = new Uint16Array(stripes).fill(this.#perStripe)
  }

  add(piece: number): void {
    const stripe = Math.floor(piece / this.#perStripe)
    let buffer = this.#open.find((open) => open.stripe === stripe)
    if (buffer === undefined) {
      if (this.#open.length === this.#capacity) this.#flush(this.#fullest())
      buffer = { stripe, pieces: new Uint8Array(this.#perStripe), count: 0 }
      this.#open.push(buffer)
    }
    buffer.pieces[piece % this.#perStripe] = 1
    buffer.count++
    this.#missing[stripe]!--
    if (this.#missing[stripe] === 0) this.#flush(buffer)
  }

  close(): void {
    while (this.#open.length > 0) this.#flush(this.#open[0]!)
  }

  #fullest(): Buffer {
    return this.#open.reduce((best, buffer) => (buffer.count > best.count ? buffer : best))
  }

  #flush(buffer: Buffer): void {
    this.#open.splice(this.#open.indexOf(buffer), 1)
    if (buffer.count === this.#perStripe) this.wholeBytes += buffer.count * this.#pieceBytes
    const base = buffer.stripe * this.#perStripe
    for (let at = 0; at < this.#perStripe; at++) {
      if (buffer.pieces[at] === 0) continue
      let end = at + 1
      while (end < this.#perStripe && buffer.pieces[end] === 1) end++
      const bytes = (end - at) * this.#pieceBytes
      this.#model.serve('write', (base + at) * this.#pieceBytes, bytes)
      this.bytes += bytes
      this.writes++
      at = end
    }
  }
}
