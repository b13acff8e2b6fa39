/**
 * The tokens without which nobody is announced (BEP 5): a node proves with one that it receives what is sent to its address.
 *
 * Invariant: a token is good for the address that it was given to, for five to ten minutes; nothing is kept for it.
 */
import { createHash } from 'node:crypto'
import { bytesEqual, fromLatin1, type Random } from '../../base/index.ts'

const ROTATION_MS = 5 * 60_000
const SECRET_BYTES = 16
const TOKEN_BYTES = 8

export class Tokens {
  readonly #random: Random
  readonly #secrets: [Uint8Array, Uint8Array]
  #rotatedMs: number

  constructor(random: Random, nowMs: number) {
    this.#random = random
    this.#secrets = [this.#draw(), this.#draw()]
    this.#rotatedMs = nowMs
  }

  make(host: string, nowMs: number): Uint8Array {
    this.#rotate(nowMs)
    return tokenOf(this.#secrets[0], host)
  }

  isGood(token: Uint8Array, host: string, nowMs: number): boolean {
    this.#rotate(nowMs)
    return this.#secrets.some((secret) => bytesEqual(token, tokenOf(secret, host)))
  }

  #rotate(nowMs: number): void {
    const periods = Math.floor((nowMs - this.#rotatedMs) / ROTATION_MS)
    if (periods <= 0) return
    this.#secrets[1] = periods === 1 ? this.#secrets[0] : this.#draw()
    this.#secrets[0] = this.#draw()
    this.#rotatedMs += periods * ROTATION_MS
  }

  #draw(): Uint8Array {
    const secret = new Uint8Array(SECRET_BYTES)
    this.#random.fill(secret)
    return secret
  }
}

function tokenOf(secret: Uint8Array, host: string): Uint8Array {
  const hash = createHash('sha1').update(secret).update(fromLatin1(host)).digest()
  return Uint8Array.from(hash.subarray(0, TOKEN_BYTES))
}
