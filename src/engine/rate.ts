/** Bytes a second: of the last interval, and smoothed over about five of them. */
export class RateMeter {
  /** Bytes ever counted. */
  total = 0
  perSecond = 0
  /** Of the last interval alone. */
  lastPerSecond = 0
  #counted = 0

  add(bytes: number): void {
    this.total += bytes
  }

  /** Once a second or so. */
  tick(elapsedMs: number): void {
    this.lastPerSecond = ((this.total - this.#counted) * 1000) / Math.max(1, elapsedMs)
    this.#counted = this.total
    this.perSecond += (this.lastPerSecond - this.perSecond) * 0.2
    if (this.perSecond < 1) this.perSecond = this.lastPerSecond
  }
}
