/**
 * Who sent the chunk that spoilt a piece. When a piece fails that several peers delivered, a digest of
 * each chunk is kept with its sender; when the piece succeeds later, those whose chunk was another are
 * known.
 *
 * Invariant: the digests of at most `MAX_DIGESTS` chunks are remembered.
 */
import { createHash } from 'node:crypto'

/** Of 64 failed pieces of 16 MiB. */
const MAX_DIGESTS = 65_536

interface Attempt {
  readonly senders: Int32Array
  readonly digests: readonly (string | undefined)[]
}

export class Suspects {
  readonly #attempts = new Map<number, Attempt[]>()
  #count = 0

  /** `read` returns the bytes of a chunk, or undefined when they are in memory no more. */
  failed(
    piece: number,
    senders: Int32Array,
    read: (chunk: number) => Uint8Array | undefined,
  ): void {
    if (this.#count + senders.length > MAX_DIGESTS) return
    this.#count += senders.length
    const digests = Array.from(senders, (_, chunk) => digestOf(read(chunk)))
    const attempts = this.#attempts.get(piece)
    if (attempts === undefined) this.#attempts.set(piece, [{ senders, digests }])
    else attempts.push({ senders, digests })
  }

  /** Ids of those who sent something else than what is right. */
  verified(piece: number, read: (chunk: number) => Uint8Array | undefined): Set<number> {
    const guilty = new Set<number>()
    const attempts = this.#attempts.get(piece)
    if (attempts === undefined) return guilty
    this.#attempts.delete(piece)
    for (const { senders } of attempts) this.#count -= senders.length
    for (const { senders, digests } of attempts) {
      for (const [chunk, sender] of senders.entries()) {
        const right = digestOf(read(chunk))
        const sent = digests[chunk]
        if (right !== undefined && sent !== undefined && sent !== right) guilty.add(sender)
      }
    }
    return guilty
  }
}

function digestOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : createHash('sha1').update(bytes).digest('base64')
}
