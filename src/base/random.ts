/**
 * Randomness as a dependency: the deciding parts take a `Random`, tests hand in a seeded one.
 */
import { randomFillSync } from 'node:crypto'

export interface Random {
  /** Uniform over [0, 2^32). */
  uint32(): number
  /** Fills `target` with random bytes. */
  fill(target: Uint8Array): void
}

/** Uniform over [0, bound), without the bias of a plain modulo. `bound` at most 2^32. */
export function below(random: Random, bound: number): number {
  const limit = 2 ** 32 - (2 ** 32 % bound)
  for (;;) {
    const value = random.uint32()
    if (value < limit) return value % bound
  }
}

const BATCH_WORDS = 256

/** The system's generator, drawn from in batches. */
export function systemRandom(): Random {
  const words = new Uint32Array(BATCH_WORDS)
  let next = BATCH_WORDS
  return {
    uint32() {
      if (next === BATCH_WORDS) {
        randomFillSync(words)
        next = 0
      }
      return words[next++]!
    },
    fill(target) {
      randomFillSync(target)
    },
  }
}

/** xoshiro128**, seeded through splitmix32: for tests and simulations, never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const split = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  let a = split()
  let b = split()
  let c = split()
  let d = split()
  const uint32 = (): number => {
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = (d << 11) | (d >>> 21)
    return result
  }
  return {
    uint32,
    fill(target) {
      for (let i = 0; i < target.length; i++) target[i] = uint32() >>> 24
    },
  }
}
