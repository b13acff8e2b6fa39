/**
 * How many peers of each torrent may download at a time, when there is a limit for all torrents together: as many for each as for
 * any other, as far as it has peers that want to.
 *
 * Invariants: the parts are together at most `max`; a torrent gets less than it wants only when no other gets two more than it; with more
 * torrents than slots those that get one change every ROTATE_MS.
 */

/** Long enough for a piece to get through. */
const ROTATE_MS = 30_000

export interface Claimant {
  /** Peers that want to download, and may as far as the torrent alone is concerned. */
  readonly slotsWanted: number
  /** Its part. */
  slots: number
}

export class UploadSlots {
  /** Undefined: no limit. */
  readonly max: number | undefined
  /** While they are fewer than torrents: in which order torrents got one last. */
  readonly #order = new WeakMap<Claimant, number>()
  #next = 0
  #turnMs = Number.NEGATIVE_INFINITY

  constructor(max: number | undefined) {
    this.max = max
  }

  /** What a torrent has before its part was told. */
  get first(): number {
    return this.max === undefined ? Number.POSITIVE_INFINITY : 0
  }

  /** Tells all their parts; once a second. */
  share(claimants: readonly Claimant[], nowMs: number): void {
    if (this.max === undefined) return
    const wanting: [Claimant, number][] = []
    for (const claimant of claimants) {
      const wanted = claimant.slotsWanted
      if (wanted > 0) wanting.push([claimant, wanted])
      else claimant.slots = 0
    }
    if (wanting.length > this.max) {
      this.#takeTurns(wanting, this.max, nowMs)
      return
    }
    wanting.sort(([, a], [, b]) => a - b)
    let left = this.max
    for (const [i, [claimant, wanted]] of wanting.entries()) {
      claimant.slots = Math.min(wanted, Math.floor(left / (wanting.length - i)))
      left -= claimant.slots
    }
  }

  /** Who has a slot keeps it until its turn is over; the next is who has been without for longest. */
  #takeTurns(wanting: readonly [Claimant, number][], max: number, nowMs: number): void {
    const turnIsOver = nowMs - this.#turnMs >= ROTATE_MS
    if (turnIsOver) this.#turnMs = nowMs
    const queue = wanting.map(([claimant]) => ({
      claimant,
      order: this.#order.get(claimant) ?? -1,
      keeps: !turnIsOver && claimant.slots > 0,
    }))
    queue.sort((a, b) => Number(b.keeps) - Number(a.keeps) || a.order - b.order)
    for (const [i, { claimant, keeps }] of queue.entries()) {
      claimant.slots = i < max ? 1 : 0
      if (i < max && !keeps) this.#order.set(claimant, this.#next++)
    }
  }
}
