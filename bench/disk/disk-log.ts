/**
 * What the simulated disk tells of itself: figures, and a log of every request in the order of its head.
 *
 * ```
 * log: four float64 a request, in the byte order of the host
 *   milliseconds since the log began | 0 read, 1 write | offset | bytes
 * ```
 */
import { readFileSync } from 'node:fs'
import type { Access } from '../spin/picture.ts'

export interface DiskStats {
  readonly elapsedMs: number
  /** The head was moving or transferring. */
  readonly busyMs: number
  readonly requests: number
  readonly writes: number
  readonly readBytes: number
  readonly writtenBytes: number
  readonly seeks: number
  /** Requests that did not begin where the one before them had ended. */
  readonly readStrokes: number
  readonly writeStrokes: number
  readonly longestQueue: number
  /** What reads and writes of the file took in which its bytes lie. */
  readonly backingMs: number
}

/** What was done between two looks at one disk. */
export function statsSince(before: DiskStats, after: DiskStats): DiskStats {
  const since = (pick: (stats: DiskStats) => number): number => pick(after) - pick(before)
  return {
    elapsedMs: since((stats) => stats.elapsedMs),
    busyMs: since((stats) => stats.busyMs),
    requests: since((stats) => stats.requests),
    writes: since((stats) => stats.writes),
    readBytes: since((stats) => stats.readBytes),
    writtenBytes: since((stats) => stats.writtenBytes),
    seeks: since((stats) => stats.seeks),
    readStrokes: since((stats) => stats.readStrokes),
    writeStrokes: since((stats) => stats.writeStrokes),
    longestQueue: after.longestQueue,
    backingMs: since((stats) => stats.backingMs),
  }
}

export function readDiskLog(path: string): Access[] {
  const bytes = readFileSync(path)
  const numbers = new Float64Array(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
  )
  const accesses: Access[] = []
  for (let at = 0; at < numbers.length; at += 4) {
    accesses.push({
      ms: numbers[at]!,
      kind: numbers[at + 1] === 0 ? 'read' : 'write',
      offset: numbers[at + 2]!,
      bytes: numbers[at + 3]!,
    })
  }
  return accesses
}
