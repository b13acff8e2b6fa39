/** The capped swarm, simulated (finish.ts) and real (capped.ts): one seeder, leechers that begin with nothing, all uploads alike. */

const KIB = 1024

/** Bytes a second, of each. */
export const UPLOAD_RATE: number = 256 * KIB
export const PIECE_BYTES: number = 64 * KIB
/** Until the last has all, over the bound. */
export const TARGET = 1.15

export interface Shape {
  readonly leechers: number
  readonly contentBytes: number
  /** No swarm can be faster: the seeder has to send everything once, and all together everything to everybody. */
  readonly boundSeconds: number
}

export function shapeOf(quick: boolean): Shape {
  const leechers = quick ? 10 : 50
  const contentBytes = (quick ? 4 : 16) * KIB * KIB
  const boundSeconds = Math.max(
    contentBytes / UPLOAD_RATE,
    (leechers * contentBytes) / (UPLOAD_RATE * (leechers + 1)),
  )
  return { leechers, contentBytes, boundSeconds }
}
