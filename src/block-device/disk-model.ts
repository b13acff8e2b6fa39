/**
 * How long a disk that spins takes: one head, a seek curve, rotation, a transfer rate. No time passes
 * in it; it adds up. `DiskQueue` (disk-queue.ts) decides in which order it is asked.
 *
 * ```
 * time of a request = bytes / rate
 *   + nothing                                             behind the one before
 *   + gap / rate                                          forward, less than SKIP_BYTES: the head waits
 *   + track to track + c * sqrt(distance / size)          else: a seek,
 *   + a part of a revolution, drawn at random               and the wait for the sector
 * ```
 *
 * The constant c is such that seeks between places drawn at random take `averageSeekMs` on average. The
 * drive has no write cache: what it acknowledges is on the platter, so a flush takes no time of its own.
 *
 * Invariants: the same requests and the same `random` give the same times; `busyMs` is the sum of all.
 */
import type { Random } from '../base/index.ts'

export interface DiskParameters {
  readonly sizeBytes: number
  readonly bytesPerSecond: number
  readonly trackToTrackMs: number
  readonly averageSeekMs: number
  readonly revolutionsPerMinute: number
}

/** A desktop drive of 7200 revolutions a minute, 150 MB/s in the middle of the platter. */
export const DISK_7200: Omit<DiskParameters, 'sizeBytes'> = {
  bytesPerSecond: 150e6,
  trackToTrackMs: 1,
  averageSeekMs: 8.5,
  revolutionsPerMinute: 7200,
}

/** A gap up to here passes under the head; nobody seeks for it. */
const SKIP_BYTES = 1 << 20
/** 1 / mean of sqrt(|x - y|) over x and y uniform in [0, 1). */
const CURVE = 15 / 8

export class DiskModel {
  readonly parameters: DiskParameters
  /** Where the last request ended. */
  head = 0
  seeks = 0
  requests = 0
  readBytes = 0
  writtenBytes = 0
  writes = 0
  busyMs = 0
  readonly #random: Random

  constructor(parameters: DiskParameters, random: Random) {
    this.parameters = parameters
    this.#random = random
  }

  /** Serves a request; returns the milliseconds that it took. */
  serve(kind: 'read' | 'write', offset: number, bytes: number): number {
    const { bytesPerSecond, revolutionsPerMinute, sizeBytes } = this.parameters
    let ms = (1000 * bytes) / bytesPerSecond
    const distance = Math.abs(offset - this.head)
    if (distance > 0) {
      if (offset > this.head && distance < SKIP_BYTES) ms += (1000 * distance) / bytesPerSecond
      else {
        const { trackToTrackMs, averageSeekMs } = this.parameters
        this.seeks++
        ms += trackToTrackMs
        ms += (averageSeekMs - trackToTrackMs) * CURVE * Math.sqrt(distance / sizeBytes)
        ms += (60_000 / revolutionsPerMinute) * (this.#random.uint32() / 2 ** 32)
      }
    }
    this.head = offset + bytes
    this.requests++
    if (kind === 'read') this.readBytes += bytes
    else {
      this.writtenBytes += bytes
      this.writes++
    }
    this.busyMs += ms
    return ms
  }

  /** The time of so many bytes in one stream. */
  sequentialMs(bytes: number): number {
    return (1000 * bytes) / this.parameters.bytesPerSecond
  }
}
