/**
 * What message stream encryption derives its keys from: a Diffie-Hellman exchange over a 768-bit prime, and
 * SHA-1 of its secret with a word that tells what for (MSE, "Diffie Hellman Parameters" and "Streams").
 */
import { createDiffieHellman, createHash, type DiffieHellman } from 'node:crypto'
import { fromLatin1, type Random } from '../../base/index.ts'
import { Rc4 } from './rc4.ts'

/** Of public keys and of the secret, big-endian. */
export const KEY_BYTES = 96
/** An exponent of 160 bits is as hard to find as the prime is to break. */
const PRIVATE_BYTES = 20

const PRIME_HEX =
  'ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd' +
  'ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563'
const GENERATOR = 2

/**
 * One for all exchanges: making it tests the prime, which takes as long as a hundred of them. It holds the private key of
 * whichever exchange used it last.
 */
let shared: DiffieHellman | undefined

function exchangeWith(privateKey: Uint8Array): DiffieHellman {
  shared ??= createDiffieHellman(PRIME_HEX, 'hex', GENERATOR)
  shared.setPrivateKey(privateKey)
  return shared
}

export interface KeyPair {
  /** 96 bytes. */
  readonly publicKey: Uint8Array
  /** The secret shared with whoever has sent `theirs` (96 bytes); null when that is no key. */
  secret(theirs: Uint8Array): Uint8Array | null
}

export function makeKeyPair(random: Random): KeyPair {
  const privateKey = new Uint8Array(PRIVATE_BYTES)
  random.fill(privateKey)
  return {
    publicKey: padded(exchangeWith(privateKey).generateKeys()),
    secret(theirs) {
      try {
        return padded(exchangeWith(privateKey).computeSecret(theirs))
      } catch {
        // 0, 1, or not below the prime.
        return null
      }
    },
  }
}

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(KEY_BYTES)
  whole.set(bytes, KEY_BYTES - bytes.length)
  return whole
}

/** SHA-1 of a word and what follows it; 20 bytes. */
export function hashOf(word: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha1').update(fromLatin1(word))
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** What stands for a torrent's info-hash before there is encryption. */
export function torrentMark(infoHash: Uint8Array): Uint8Array {
  return hashOf('req2', infoHash)
}

/** The cipher of one direction: `keyA` from who has connected, `keyB` to it. */
export function cipherOf(word: 'keyA' | 'keyB', secret: Uint8Array, infoHash: Uint8Array): Rc4 {
  return new Rc4(hashOf(word, secret, infoHash))
}
