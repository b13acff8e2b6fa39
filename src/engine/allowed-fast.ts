/**
 * The pieces that a peer may ask for while it is choked (BEP 6), so that one who has nothing yet has
 * something to give in return: computed from its address and the info-hash, so that coming back, or from
 * a neighbouring address, gives the same ones again.
 *
 * Invariant: different pieces, at most `count` and at most as many as there are; none for IPv6, of which
 * the BEP does not speak.
 */
import { createHash } from 'node:crypto'
import { parseAddress } from './wire/address.ts'

/** How many pieces are allowed: the BEP's own figure. */
export const ALLOWED_FAST = 10

export function allowedFast(
  host: string,
  infoHash: Uint8Array,
  pieceCount: number,
  count: number = ALLOWED_FAST,
): number[] {
  const address = parseAddress(host)
  if (address === null || address.length !== 4) return []
  const pieces = new Set<number>()
  const wanted = Math.min(count, pieceCount)
  // The last byte is masked: the addresses of one network share their set.
  let state: Buffer = Buffer.from([address[0]!, address[1]!, address[2]!, 0, ...infoHash])
  while (pieces.size < wanted) {
    state = createHash('sha1').update(state).digest()
    for (let at = 0; at < state.length && pieces.size < wanted; at += 4) {
      pieces.add(state.readUInt32BE(at) % pieceCount)
    }
  }
  return [...pieces]
}
