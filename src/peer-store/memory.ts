/**
 * The shared words of a store, and one thread's way into their locks.
 *
 *     a lock, in a cache line of its own:   0 version   …   13 owner
 *
 * A lock is a version: even is free, odd is held; taking and giving back each add one. So a reader that
 * finds the same even version before and after has read a consistent state without writing anything.
 *
 * On x86 loads stay in order, and stores too, and V8 neither moves them across its typed arrays nor leaves a load out because it was done
 * before (its graphs mark array buffers as not eliminable: other threads write there): there readers need no lock, look at versions with plain
 * loads (an atomic one is a call of 5 ns), and a plain store gives a lock back. Elsewhere readers lock, and a lock is given back by an
 * atomic store.
 *
 * The owner is the number of the handle that the thread opened (0 while the lock is free), so that locks of a thread that died
 * can be told from those of one that is slow (recovery.ts). A thread can die in a lock at loops and calls only, and there is
 * neither between the version and the owner.
 *
 * Invariants: nobody waits inside a lock for anything but the allocator's; nothing in a lock throws; nobody waits for ever: a lock
 * that does not move for a second or two is reported.
 */
import { arch } from 'node:process'
import { peerStoreError } from './errors.ts'
import * as layout from './layout.ts'

const { H_LOST_LOCK, H_RECOVERING, LOCK_OWNER } = layout
/** Tries before a waiter sleeps: a holder that lost its processor comes back after milliseconds. */
const SPINS = 64
/** Sleeps grow by a sixteenth each, as far as 10 ms: together they are a second at least. */
const FIRST_SLEEP_MS = 0.05
const SLEEP_GROWTH = 17 / 16
const LAST_GROWTH = 87
const MOST_SLEEPS = 180
/** For a lock that another waiter gave up already. */
const MOST_SLEEPS_LOST = 8
const ORDERED: boolean = arch === 'x64'
/** Odd, so never the version of a free lock. */
export const LOCKED = -1

export class Memory {
  readonly buffer: SharedArrayBuffer
  readonly words: Int32Array
  /** False until another thread may have opened the store: locks are not needed before. */
  shared: boolean
  readonly owner: number

  constructor(buffer: SharedArrayBuffer, shared: boolean, owner: number) {
    this.buffer = buffer
    this.words = new Int32Array(buffer)
    this.shared = shared
    this.owner = owner
  }

  /** Throws PEER_STORE_LOCK_LOST. */
  lock(at: number): void {
    if (this.shared && !this.#take(at, true, false)) throw lost()
  }

  /** For who holds a lock already. False: it does not move, or a recovery wants the lock that is held. */
  tryLock(at: number): boolean {
    return !this.shared || this.#take(at, false, true)
  }

  /** For the recovery itself, for which all others wait or leave. Throws PEER_STORE_LOCK_LOST. */
  lockToRecover(at: number): void {
    if (!this.#take(at, false, false)) throw lost()
  }

  unlock(at: number): void {
    if (!this.shared) return
    const { words } = this
    const version = (words[at]! + 1) | 0
    words[(at + LOCK_OWNER) | 0] = 0
    if (ORDERED) words[at] = version
    else Atomics.store(words, at, version)
  }

  /** Where reading without a lock may begin, for `isUnchanged`; or a value for which that is false. */
  version(at: number): number {
    if (!ORDERED) return LOCKED
    const version = this.words[at]!
    return (version & 1) === 0 ? version : LOCKED
  }

  /** Whether what was read since `version` is of one moment. */
  isUnchanged(at: number, version: number): boolean {
    return this.words[at] === version && version !== LOCKED
  }

  /** While there is a recovery: `waits` for it, or `leaves`. */
  #take(at: number, waits: boolean, leaves: boolean): boolean {
    const { words } = this
    const version = words[at]!
    if (
      ((version & 1) !== 0 ||
        Atomics.compareExchange(words, at, version, (version + 1) | 0) !== version) &&
      !this.#wait(at, waits, leaves)
    ) {
      return false
    }
    words[(at + LOCK_OWNER) | 0] = this.owner
    return true
  }

  #wait(at: number, waits: boolean, leaves: boolean): boolean {
    const { words } = this
    let sleeps = 0
    let seen = 0
    const most = words[H_LOST_LOCK] === at ? MOST_SLEEPS_LOST : MOST_SLEEPS
    for (let spins = 0; sleeps < most; spins++) {
      const version = Atomics.load(words, at)
      if ((version & 1) === 0) {
        if (Atomics.compareExchange(words, at, version, (version + 1) | 0) === version) {
          if (words[H_LOST_LOCK] === at) words[H_LOST_LOCK] = 0
          return true
        }
      } else if (spins > SPINS) {
        const isRecovering = Atomics.load(words, H_RECOVERING) !== 0
        if (isRecovering && leaves) return false
        if (version !== seen || (isRecovering && waits)) sleeps = 0
        seen = version
        sleeps++
        const sleepMs = FIRST_SLEEP_MS * SLEEP_GROWTH ** Math.min(sleeps, LAST_GROWTH)
        Atomics.wait(words, at, version, sleepMs)
      }
    }
    words[H_LOST_LOCK] = at
    return false
  }
}

/** Whether `error` says that a lock does not move: whoever works in the background tries again later. */
export function isLockLost(error: unknown): boolean {
  return (error as { code?: string }).code === 'PEER_STORE_LOCK_LOST'
}

function lost(): Error {
  return peerStoreError(
    'PEER_STORE_LOCK_LOST',
    'a lock of the peer store has been held for a second: a thread died in a call, or is stopped',
    { mend: 'Where the thread has died, `recover` with its handle.' },
  )
}
