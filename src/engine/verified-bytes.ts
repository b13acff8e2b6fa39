/** Reading what was verified, from wherever it is: stripes in memory, or the volume; filler is zeros. */
import type { Content } from './content.ts'

/** As much of a range as is in memory, from its beginning on; filler counts as being there. */
export function copyVerified(
  { geometry, download, leaving }: Content,
  piece: number,
  begin: number,
  target: Uint8Array,
): number {
  const inContent = Math.max(0, Math.min(target.length, geometry.pieceLength(piece) - begin))
  const stripes = download?.stripes ?? leaving
  const copied =
    inContent === 0 ? 0 : (stripes?.copy(piece, begin, target.subarray(0, inContent)) ?? 0)
  if (copied < inContent) return copied
  target.fill(0, inContent)
  return target.length
}

/** Fills `target` from `begin` of a verified piece. Rejects when the volume cannot be read. */
export async function readVerified(
  content: Content,
  piece: number,
  begin: number,
  target: Uint8Array,
): Promise<void> {
  const { source, geometry } = content
  // Alternates between memory and disk: what is verified and not in the one is on the other.
  for (let done = 0; done < target.length; ) {
    done += copyVerified(content, piece, begin + done, target.subarray(done))
    if (done === target.length) return
    const offset = geometry.pieceOffset(piece) + begin + done
    const toBoundary = geometry.stripeBytes - (offset % geometry.stripeBytes)
    const inContent = geometry.pieceLength(piece) - begin - done
    const count = Math.min(target.length - done, toBoundary, inContent)
    await source.stored.read(offset, target.subarray(done, done + count))
    done += count
  }
}
