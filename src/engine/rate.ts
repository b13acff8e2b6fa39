/** Bytes a second, smoothed: half of what it says comes from the last three seconds. */
export class RateMeter {
  /** Bytes ever counted. */
  total = 0
  perSecond = 0
  #counted = 0

  add(bytes: number): void {
    this.total += bytes
  }

  /** Once a second or so. */
  tick(elapsedMs: number): void {
    const now = ((this.total - this.#counted) * 1000) / Math.max(1, elapsedMs)
    this.#counted = this.total
    this.perSecond += (now - this.perSecond) * 0.2
    if (this.perSecond < 1) this.perSecond = now
  }
}
