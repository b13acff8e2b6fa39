/**
 * Info-hashes as people and magnets write them: 40 hexadecimal or 32 base32 (RFC 4648) characters; of v2, a
 * multihash: `1220`, which says SHA-256 and its length, and 64 hexadecimal characters.
 */
import { fromHex, toHex } from '../base/index.ts'
import { HASH_BYTES } from './limits.ts'
import { MERKLE_HASH_BYTES } from './merkle.ts'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** The 20 bytes that `text` writes, in either form and case, or null. */
export function parseInfoHash(text: string): Uint8Array | null {
  if (text.length === HASH_BYTES * 2) return fromHex(text)
  return text.length === (HASH_BYTES * 8) / 5 ? fromBase32(text.toUpperCase()) : null
}

const MULTIHASH_PREFIX = '1220'

/** The 32 bytes that a multihash writes; null when it is none, or of another function. */
export function parseMultihash(text: string): Uint8Array | null {
  if (!text.startsWith(MULTIHASH_PREFIX)) return null
  if (text.length !== MULTIHASH_PREFIX.length + 2 * MERKLE_HASH_BYTES) return null
  return fromHex(text.slice(MULTIHASH_PREFIX.length))
}

export function formatMultihash(infoHashV2: Uint8Array): string {
  return MULTIHASH_PREFIX + toHex(infoHashV2)
}

function fromBase32(text: string): Uint8Array | null {
  const bytes = new Uint8Array(HASH_BYTES)
  let at = 0
  let bits = 0
  let held = 0
  for (const character of text) {
    const digit = ALPHABET.indexOf(character)
    if (digit < 0) return null
    held = ((held << 5) | digit) & 0xfff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes[at++] = held >>> bits
    }
  }
  return bytes
}
