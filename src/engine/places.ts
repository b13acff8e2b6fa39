/**
 * Who gives up a connection when there are as many as there may be: the torrent with the most of them for one with fewer, one that
 * nothing comes or goes on, the peer of the lowest priority (BEP 40). So each torrent gets its turn, however many there are, and
 * nobody who comes first keeps others out for ever.
 *
 * ```
 * newcomer for T, no place -- another torrent has two more than T ---> its least useful connection goes
 *                         `-- T itself has one of lower priority ---> that goes
 *                         `-- one is idle, and held for TURN_MS ---> that goes
 *                         `-- otherwise the newcomer goes
 *
 * T has none, and waits ----- another has two or more -------------> its least useful goes
 * (once a second)        `--- all have one: idle for IDLE_TURN_MS, or held for TURN_MS -> the one held longest goes
 * ```
 *
 * Invariants: nobody goes that came less than SETTLE_MS ago; what goes in a second for those that wait is at most a fiftieth of all.
 */
import type { Connections, Traveller } from './connections.ts'

/** Before that nobody knows of what use a connection is. */
export const SETTLE_MS = 10_000
const IDLE_TURN_MS = 20_000
/** So long a torrent may keep its only connection when others have none; and an idle one whoever else wants it. */
const TURN_MS = 60_000
const SHARE_A_SECOND = 1 / 50

export interface Newcomer {
  readonly host: string
  readonly port: number
}

/** The connections of a torrent. */
export interface Tenant extends Traveller {
  /** When the oldest connection was made; of those alone that nothing moves on, if `idle`. Undefined: there is none. */
  oldestMs(idle: boolean): number | undefined
  /** Parts with the connection that is of least use, made before `beforeMs`, and idle if `idle`. False when there is none. */
  giveUp(beforeMs: number, idle: boolean): boolean
  /** Parts with somebody of a lower priority than the newcomer has. False when there is nobody. */
  giveWay(newcomer: Newcomer, beforeMs: number): boolean
}

export class Places {
  /** Connections that were given up so far. */
  givenUp = 0
  readonly #connections: Connections
  readonly #tenants: () => Iterable<Tenant>

  constructor(connections: Connections, tenants: () => Iterable<Tenant>) {
    this.#connections = connections
    this.#tenants = tenants
  }

  /** Whether somebody has gone for the newcomer, who wants to be a peer of `tenant`. */
  makeRoom(tenant: Tenant, newcomer: Newcomer, nowMs: number): boolean {
    const beforeMs = nowMs - SETTLE_MS
    const richest = this.#richest()
    const found =
      (richest !== undefined &&
        richest.places > tenant.places + 1 &&
        richest.giveUp(beforeMs, false)) ||
      tenant.giveWay(newcomer, beforeMs) ||
      this.#oldest(true)?.giveUp(nowMs - TURN_MS, true) === true
    if (found) this.givenUp++
    return found
  }

  /** Once a second. */
  tick(nowMs: number): void {
    if (!this.#connections.isFull) return
    let left = Math.ceil(this.#connections.max * SHARE_A_SECOND)
    const starving = [...this.#connections.starving()].length
    for (left = Math.min(left, starving); left > 0 && this.#giveOne(nowMs); left--) this.givenUp++
  }

  #giveOne(nowMs: number): boolean {
    const richest = this.#richest()
    if (richest === undefined) return false
    if (richest.places > 1) return richest.giveUp(nowMs - SETTLE_MS, false)
    return (
      this.#oldest(true)?.giveUp(nowMs - IDLE_TURN_MS, true) === true ||
      this.#oldest(false)?.giveUp(nowMs - TURN_MS, false) === true
    )
  }

  #richest(): Tenant | undefined {
    let richest: Tenant | undefined
    for (const tenant of this.#tenants()) {
      if (tenant.places > (richest?.places ?? 0)) richest = tenant
    }
    return richest
  }

  #oldest(idle: boolean): Tenant | undefined {
    let oldest: Tenant | undefined
    let oldestMs = Number.POSITIVE_INFINITY
    for (const tenant of this.#tenants()) {
      const sinceMs = tenant.oldestMs(idle)
      if (sinceMs === undefined || sinceMs >= oldestMs) continue
      oldest = tenant
      oldestMs = sinceMs
    }
    return oldest
  }
}
