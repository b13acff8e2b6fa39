/** How much message stream encryption is wanted, and what that means on each side of a connection. */

/**
 * - `off`: plaintext only.
 * - `offered`: we connect in plaintext, and encrypted to who does not take that; what comes encrypted is taken,
 *   beyond its handshake in plaintext if the other side agrees.
 * - `preferred`: the other way round: encrypted first, and all of it.
 * - `required`: encrypted only, all of it.
 */
export const encryptionPolicies = ['off', 'offered', 'preferred', 'required'] as const
export type EncryptionPolicy = (typeof encryptionPolicies)[number]

/** Bits of `crypto_provide` and `crypto_select`. */
export const CRYPTO_PLAINTEXT = 1
export const CRYPTO_RC4 = 2

/** What we offer when we connect. */
export function provided(policy: EncryptionPolicy): number {
  return policy === 'required' ? CRYPTO_RC4 : CRYPTO_PLAINTEXT | CRYPTO_RC4
}

/** What we choose of what is offered to us; 0: nothing of it will do. */
export function selected(policy: EncryptionPolicy, offered: number): number {
  const likes =
    policy === 'required'
      ? [CRYPTO_RC4]
      : policy === 'preferred'
        ? [CRYPTO_RC4, CRYPTO_PLAINTEXT]
        : [CRYPTO_PLAINTEXT, CRYPTO_RC4]
  return likes.find((method) => (offered & method) !== 0) ?? 0
}

/** How a connection that we made went. */
export interface Attempt {
  readonly encrypted: boolean
  /** Somebody was there, whatever came of it. */
  readonly reached: boolean
  /** There was a handshake of BitTorrent. */
  readonly understood: boolean
}

/** Whether the next connection to an address is encrypted, by how the last one went: `undefined` when there was none. */
export function encryptsNext(policy: EncryptionPolicy, last: Attempt | undefined): boolean {
  if (policy === 'off') return false
  if (policy === 'required') return true
  if (last === undefined) return policy === 'preferred'
  return last.reached && !last.understood ? !last.encrypted : last.encrypted
}
