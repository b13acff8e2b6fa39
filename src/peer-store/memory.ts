/**
 * The shared words of a store and their locks.
 *
 * A lock is a version: even is free, odd is held; taking and giving back each add one. So a reader that
 * finds the same even version before and after has read a consistent state without writing anything.
 * That needs loads to stay in order, which the x86 promises and others do not: elsewhere readers lock.
 *
 * Invariants: nobody waits inside a lock for anything but the allocator's; nothing in a lock throws. A
 * worker must not be terminated inside a call: the lock would stay.
 */
import { arch } from 'node:process'

/** Tries before a waiter sleeps: a holder that lost its processor comes back after milliseconds. */
const SPINS = 64
const SLEEP_MS = 0.05

export const ORDERED_LOADS: boolean = arch === 'x64'

export class Memory {
  readonly buffer: SharedArrayBuffer
  readonly words: Int32Array
  /** False until another thread may have opened the store: locks are not needed before. */
  shared: boolean

  constructor(buffer: SharedArrayBuffer, shared: boolean) {
    this.buffer = buffer
    this.words = new Int32Array(buffer)
    this.shared = shared
  }
}

export function lock(words: Int32Array, at: number): void {
  const version = words[at]!
  if ((version & 1) !== 0 || Atomics.compareExchange(words, at, version, version + 1) !== version) {
    lockSlowly(words, at)
  }
}

export function unlock(words: Int32Array, at: number): void {
  Atomics.store(words, at, (words[at]! + 1) | 0)
}

function lockSlowly(words: Int32Array, at: number): void {
  for (let spins = 0; ; spins++) {
    const version = Atomics.load(words, at)
    if ((version & 1) === 0) {
      if (Atomics.compareExchange(words, at, version, version + 1) === version) return
    } else if (spins > SPINS) {
      Atomics.wait(words, at, version, SLEEP_MS)
    }
  }
}
