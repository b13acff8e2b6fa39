/**
 * Who may download from us: a round of choking (BEP 3), as a pure function.
 *
 * While we download, the slots go to those who give us most (tit for tat); when we seed, in turn to
 * those who have waited, but never away from one that has had less than a turn's worth. One more slot
 * is optimistic: it goes by chance, so that newcomers have something to give.
 */
import { below, type Random } from '../base/index.ts'

export interface ChokeCandidate {
  readonly interested: boolean
  readonly unchoked: boolean
  /** Bytes a second from it to us. */
  readonly downloadRate: number
  /** Bytes a second from us to it. */
  readonly uploadRate: number
  /** When it was unchoked, or choked, last. */
  readonly changedMs: number
  /** Bytes sent to it since it was unchoked. */
  readonly sentBytes: number
}

/** Between two rounds. */
export const CHOKE_ROUND_MS = 10_000
/** Between two choices of the optimistic slot. */
export const OPTIMISTIC_ROUND_MS = 30_000
/** When we seed, a slot is kept until it has moved this much, or for a minute. */
export const TURN_BYTES: number = 16 * 1024 * 1024
const TURN_MS = 60_000

/** The candidates that are to be unchoked: at most `slots`, the optimistic one among them. */
export function chooseUnchoked<T extends ChokeCandidate>(
  candidates: readonly T[],
  options: {
    readonly slots: number
    readonly seeding: boolean
    readonly nowMs: number
    readonly random: Random
    /** Keeps its slot until the next optimistic round. */
    readonly optimistic: T | undefined
    /** When we seed, a slot is kept until it has moved this much; TURN_BYTES, if nothing is said. */
    readonly turnBytes?: number
  },
): { readonly unchoked: Set<T>; readonly optimistic: T | undefined } {
  const interested = candidates.filter((peer) => peer.interested)
  if (interested.length <= options.slots) {
    return { unchoked: new Set(interested), optimistic: undefined }
  }
  const { nowMs, random } = options
  const inTurn = (peer: T): boolean => isInTurn(peer, nowMs, options.turnBytes ?? TURN_BYTES)
  const order = options.seeding
    ? (a: T, b: T): number => seedingOrder(a, b, inTurn)
    : (a: T, b: T): number => b.downloadRate - a.downloadRate || seedingOrder(a, b, inTurn)
  interested.sort(order)
  const unchoked = new Set(interested.slice(0, Math.max(0, options.slots - 1)))
  let optimistic = options.optimistic
  if (optimistic === undefined || !optimistic.interested || unchoked.has(optimistic)) {
    const others = interested.filter((peer) => !unchoked.has(peer))
    optimistic = others[below(random, others.length)]
  }
  if (optimistic !== undefined && options.slots > 0) unchoked.add(optimistic)
  return { unchoked, optimistic }
}

/** Those in their turn first, the fastest of them ahead; then those that have waited longest. */
function seedingOrder<T extends ChokeCandidate>(a: T, b: T, inTurn: (peer: T) => boolean): number {
  const aTurn = inTurn(a)
  if (aTurn !== inTurn(b)) return aTurn ? -1 : 1
  if (aTurn) return b.uploadRate - a.uploadRate
  if (a.unchoked !== b.unchoked) return a.unchoked ? 1 : -1
  return a.changedMs - b.changedMs
}

function isInTurn(peer: ChokeCandidate, nowMs: number, turnBytes: number): boolean {
  return peer.unchoked && nowMs - peer.changedMs < TURN_MS && peer.sentBytes < turnBytes
}
