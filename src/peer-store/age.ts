/**
 * When a peer was last put, in 15 bits, and its role in one more.
 *
 *     bit 15   1 = seeder
 *     bit 0…14 tick of the put, modulo 32767, plus 1
 *
 * A tick is 2 s of the monotonic clock since the store was made, so steps of the wall clock do not
 * count. The 15 bits are never 0, so neither are the 16: NO_AGE marks a swarm record that holds no peer inline.
 *
 * The limit. Ages 0…32766 can be told apart; one more tick and a stale peer looks fresh. A peer that
 * survived a sweep with lifetime L was at most L ticks old when that sweep began, so it is told apart
 * until the next sweep if the two begin at most SWEEP_TICKS apart and
 *
 *     L + SWEEP_TICKS <= 32766    that is    L <= 28670 ticks = 57340 s = 15 h 55 min 40 s.
 *
 * The store makes both true: a longer lifetime is refused, and a sweep that is overdue is run before the
 * clock is believed.
 */
import { peerStoreError } from './errors.ts'

export const TICK_MS = 2000
export const AGE_MODULUS = 0x7fff
export const SEEDER_BIT = 0x8000
export const NO_AGE = 0x8000
/** A sweep begins at most this long after the one before. */
export const SWEEP_TICKS = 4096
export const MAX_LIFETIME_TICKS: number = AGE_MODULUS - 1 - SWEEP_TICKS
export const MAX_LIFETIME_MS: number = MAX_LIFETIME_TICKS * TICK_MS

/** The 15 bits of a put at `tick`. */
export function ageBits(tick: number): number {
  return (tick % AGE_MODULUS) + 1
}

/** Ticks since the put whose 16 bits are `meta`. */
export function ageTicks(nowTick: number, meta: number): number {
  const age = (nowTick % AGE_MODULUS) + 1 - (meta & 0x7fff)
  return age < 0 ? age + AGE_MODULUS : age
}

/** Lifetime in ticks, rounded up. Throws PEER_STORE_LIFETIME_TOO_LONG. */
export function lifetimeTicks(lifetimeMs: number): number {
  if (!(lifetimeMs >= 0 && lifetimeMs <= MAX_LIFETIME_MS)) {
    throw peerStoreError(
      'PEER_STORE_LIFETIME_TOO_LONG',
      `a peer lifetime of ${lifetimeMs} ms: it must be 0 to ${MAX_LIFETIME_MS} ms (15 h 55 min 40 s)`,
      { mend: 'Choose a low multiple of the announce interval, for example 16 min for 15 min.' },
    )
  }
  return Math.ceil(lifetimeMs / TICK_MS)
}
