/**
 * Requests that wait for a disk's head: at most `depth` of them are the drive's to choose from, the
 * others wait in the order of their arrival. The drive takes the nearest one forward of its head, and
 * begins anew at the lowest when none is left (C-LOOK); with a depth of 1 it takes them as they come.
 *
 * Invariants: a request is taken once; one that arrived before another is the drive's to choose not
 * later than it. A request that others keep passing waits for one sweep at most.
 */
export interface DiskRequest {
  readonly kind: 'read' | 'write'
  readonly offset: number
  readonly bytes: number
}

/** How many commands a SATA drive queues (NCQ). */
export const ELEVATOR_DEPTH = 32

export class DiskQueue<T extends DiskRequest> {
  readonly depth: number
  /** The first `depth` are the drive's. */
  readonly #waiting: T[] = []

  constructor(depth: number = ELEVATOR_DEPTH) {
    this.depth = depth
  }

  get length(): number {
    return this.#waiting.length
  }

  add(request: T): void {
    this.#waiting.push(request)
  }

  /** The next one for a head at `head`, or undefined. */
  take(head: number): T | undefined {
    let best = -1
    let lowest = -1
    const count = Math.min(this.depth, this.#waiting.length)
    for (let i = 0; i < count; i++) {
      const { offset } = this.#waiting[i]!
      if (lowest < 0 || offset < this.#waiting[lowest]!.offset) lowest = i
      if (offset >= head && (best < 0 || offset < this.#waiting[best]!.offset)) best = i
    }
    const at = best >= 0 ? best : lowest
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0]
  }
}
