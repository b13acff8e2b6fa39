/**
 * Who is to be dropped by a sweep, and what it saw: one object, read by every kind of set.
 *
 * A peer older than its lifetime has expired. Under pressure the limit is lower than the lifetime, and who is
 * between the two is evicted. The ages of those that stay are counted in classes of 64 ticks.
 */
import { ageTicks } from './age.ts'

const AGE_CLASS_SHIFT = 6
const AGE_CLASSES = 512

export class SweepTerms {
  now = 0
  lifetimeTicks = 0
  /** At most the lifetime. */
  limitTicks = 0
  expired = 0
  evicted = 0
  readonly ages: Int32Array = new Int32Array(AGE_CLASSES)

  /** Whether the peer of these 16 bits is to be dropped; counts it either way. */
  drops(meta: number): boolean {
    const age = ageTicks(this.now, meta)
    if (age > this.limitTicks) {
      if (age > this.lifetimeTicks) this.expired++
      else this.evicted++
      return true
    }
    const klass = age >>> AGE_CLASS_SHIFT
    this.ages[klass] = this.ages[klass]! + 1
    return false
  }

  /**
   * The limit that drops at least one peer in `part`, the stalest, by the ages counted so far; never the youngest class, so that
   * nobody is evicted who was heard of in the last two minutes.
   */
  limitFor(part: number): number {
    const { ages } = this
    let wanted = Math.ceil(ages.reduce((sum, count) => sum + count, 0) / part)
    let klass = AGE_CLASSES - 1
    for (; klass > 1; klass--) {
      wanted -= ages[klass]!
      if (wanted <= 0) break
    }
    return (klass << AGE_CLASS_SHIFT) - 1
  }
}
