/** Bytes that were right and then were changed at random: what decoders of outside input are tried on. */
import { below, type Random } from '../src/base/index.ts'

/** Flips, cuts, doubles, inserts and joins, a few times. The result has at most `most` bytes. */
export function mutate(bytes: Uint8Array, random: Random, most: number): Buffer {
  let out = Buffer.from(bytes)
  for (let changes = below(random, 5); changes >= 0; changes--) {
    const at = below(random, out.length + 1)
    const length = below(random, 24)
    const kind = below(random, 6)
    const noise = Buffer.alloc(length)
    random.fill(noise)
    const [head, tail] = [out.subarray(0, at), out.subarray(at)]
    if (kind === 0 && at < out.length) out[at]! ^= 1 << below(random, 8)
    else if (kind === 1)
      out = Buffer.concat([head, out.subarray(Math.min(out.length, at + length))])
    else if (kind === 2) out = Buffer.concat([head, noise, tail])
    else if (kind === 3) out = Buffer.concat([head, tail.subarray(0, length), tail])
    else if (kind === 4) out = Buffer.from(head)
    else if (at < out.length)
      out[at] = [0, 0x22, 0x5c, 0x25, 0x26, 0x7b, 0xff, 0x0d][below(random, 8)]!
  }
  return out.subarray(0, most)
}
