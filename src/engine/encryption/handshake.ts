/**
 * The handshake of message stream encryption (MSE), both sides of it, without a socket: bytes go in, bytes go out,
 * in the end there are two ciphers.
 *
 * ```
 * A, who connects                                              B
 *   Ya 96, PadA 0…512                                    ->
 *                                                        <-    Yb 96, PadB 0…512
 *   HASH(req1, S), HASH(req2, torrent) ^ HASH(req3, S),  ->
 *   A's cipher: VC 8, provide 4, PadC length 2, PadC,
 *               IA length 2, IA
 *                                                        <-    B's cipher: VC 8, select 4, PadD length 2, PadD
 *   what follows, in the same ciphers or in plaintext   <->
 * ```
 *
 * S is the secret, VC eight zeros; each side finds where the other's padding ends by looking for what must follow.
 *
 * Invariants: no step waits for more than MAX_PADDING or MAX_INITIAL_BYTES and its own fields, so what is kept is bounded;
 * what the other side says wrongly is ENGINE_PROTOCOL; after the end nothing more is pushed.
 */
import { asBuffer, below, bytesEqual, type Random, readU16BE, readU32BE } from '../../base/index.ts'
import { protocolError } from '../errors.ts'
import {
  cipherOf,
  hashOf,
  KEY_BYTES,
  type KeyPair,
  makeKeyPair,
  torrentMark,
} from './key-exchange.ts'
import { CRYPTO_RC4, type EncryptionPolicy, provided, selected } from './policy.ts'
import type { Rc4 } from './rc4.ts'

const MAX_PADDING = 512
const HASH_BYTES = 20
const VC = new Uint8Array(8)
/** Of what A sends along: room for its BitTorrent handshake and the messages that usually follow it. */
const MAX_INITIAL_BYTES = 4096

/** What the handshake has come to. */
export interface Encryption {
  readonly infoHash: Uint8Array
  /** For what is received; null: plaintext follows. */
  readonly decrypt: Rc4 | null
  /** For what is sent; null: plaintext follows. */
  readonly encrypt: Rc4 | null
  /** What has come already of what follows, in plaintext. */
  readonly first: Uint8Array
}

export interface EncryptionHandshake {
  /** Takes what has arrived; undefined when there is more to come. Throws ENGINE_PROTOCOL. */
  push(bytes: Uint8Array): Encryption | undefined
}

abstract class Side {
  protected readonly keys: KeyPair
  protected readonly random: Random
  protected readonly send: (bytes: Uint8Array) => void
  #kept: Uint8Array = new Uint8Array(0)

  constructor(random: Random, send: (bytes: Uint8Array) => void) {
    this.random = random
    this.send = send
    this.keys = makeKeyPair(random)
  }

  protected get kept(): Uint8Array {
    return this.#kept
  }

  protected keep(bytes: Uint8Array): void {
    this.#kept = joined(this.#kept, bytes)
  }

  /** Takes the next `count` bytes off; null when they have not all come. */
  protected take(count: number): Uint8Array | null {
    if (this.#kept.length < count) return null
    const taken = this.#kept.subarray(0, count)
    this.#kept = this.#kept.subarray(count)
    return taken
  }

  /** Takes off what comes before `mark`, and the mark; false when it has not come yet. */
  protected takeThrough(mark: Uint8Array): boolean {
    const at = asBuffer(this.#kept).indexOf(mark)
    if (at >= 0 && at <= MAX_PADDING) {
      this.#kept = this.#kept.subarray(at + mark.length)
      return true
    }
    if (this.#kept.length >= MAX_PADDING + mark.length) throw notEncryption()
    return false
  }

  protected padding(): Uint8Array {
    const padding = new Uint8Array(below(this.random, MAX_PADDING + 1))
    this.random.fill(padding)
    return padding
  }

  protected secret(theirs: Uint8Array): Uint8Array {
    const secret = this.keys.secret(theirs)
    if (secret === null) throw protocolError('an encryption handshake with an impossible key')
    return secret
  }
}

/** The side that connects. */
export class Initiator extends Side implements EncryptionHandshake {
  readonly #infoHash: Uint8Array
  readonly #provide: number
  #encrypt: Rc4 | undefined
  #decrypt: Rc4 | undefined
  /** VC as the other side will send it. */
  #mark: Uint8Array | undefined
  #select = 0
  #step: 'key' | 'mark' | 'select' | 'padding' = 'key'
  #paddingBytes = 0

  /** `send` is called at once, and again with what must follow. */
  constructor(
    infoHash: Uint8Array,
    policy: EncryptionPolicy,
    random: Random,
    send: (bytes: Uint8Array) => void,
  ) {
    super(random, send)
    this.#infoHash = infoHash
    this.#provide = provided(policy)
    send(joined(this.keys.publicKey, this.padding()))
  }

  push(bytes: Uint8Array): Encryption | undefined {
    this.keep(bytes)
    if (this.#step === 'key' && !this.#readKey()) return undefined
    if (this.#step === 'mark') {
      if (!this.takeThrough(this.#mark!)) return undefined
      this.#step = 'select'
    }
    if (this.#step === 'select' && !this.#readSelection()) return undefined
    const padding = this.take(this.#paddingBytes)
    if (padding === null) return undefined
    decrypted(this.#decrypt!, padding)
    const isEncrypted = this.#select === CRYPTO_RC4
    const rest = this.take(this.kept.length)!
    return {
      infoHash: this.#infoHash,
      encrypt: isEncrypted ? this.#encrypt! : null,
      decrypt: isEncrypted ? this.#decrypt! : null,
      first: isEncrypted ? decrypted(this.#decrypt!, rest) : rest,
    }
  }

  #readKey(): boolean {
    const theirs = this.take(KEY_BYTES)
    if (theirs === null) return false
    const secret = this.secret(theirs)
    const encrypt = cipherOf('keyA', secret, this.#infoHash)
    const decrypt = cipherOf('keyB', secret, this.#infoHash)
    const padding = this.padding()
    const head = new Uint8Array(16 + padding.length)
    const view = new DataView(head.buffer)
    view.setUint32(8, this.#provide)
    view.setUint16(12, padding.length)
    head.set(padding, 14)
    // No initial payload: our handshake comes with what follows.
    encrypt.apply(head, head)
    const torrent = torrentMark(this.#infoHash)
    const mask = hashOf('req3', secret)
    for (let i = 0; i < HASH_BYTES; i++) torrent[i]! ^= mask[i]!
    this.send(joined(hashOf('req1', secret), torrent, head))
    this.#encrypt = encrypt
    this.#decrypt = decrypt
    this.#mark = decrypted(decrypt, VC)
    this.#step = 'mark'
    return true
  }

  #readSelection(): boolean {
    const taken = this.take(6)
    if (taken === null) return false
    const head = decrypted(this.#decrypt!, taken)
    this.#select = readU32BE(head, 0)
    const isOne = this.#select === 1 || this.#select === 2
    if (!isOne || (this.#select & this.#provide) === 0) {
      throw protocolError('an encryption handshake that selects what was not offered')
    }
    this.#paddingBytes = paddingBytesAt(head, 4)
    this.#step = 'padding'
    return true
  }
}

/** The side that is connected to. */
export class Responder extends Side implements EncryptionHandshake {
  readonly #policy: EncryptionPolicy
  readonly #torrentOf: (mark: Uint8Array) => Uint8Array | undefined
  #secret: Uint8Array | undefined
  #mark: Uint8Array | undefined
  #infoHash: Uint8Array | undefined
  #encrypt: Rc4 | undefined
  #decrypt: Rc4 | undefined
  #offered = 0
  #step: 'key' | 'mark' | 'torrent' | 'head' | 'padding' | 'initial' = 'key'
  #paddingBytes = 0
  #initialBytes = 0

  /** `torrentOf` gives the info-hash that a `torrentMark` stands for. */
  constructor(
    policy: EncryptionPolicy,
    random: Random,
    torrentOf: (mark: Uint8Array) => Uint8Array | undefined,
    send: (bytes: Uint8Array) => void,
  ) {
    super(random, send)
    this.#policy = policy
    this.#torrentOf = torrentOf
  }

  push(bytes: Uint8Array): Encryption | undefined {
    this.keep(bytes)
    if (this.#step === 'key' && !this.#readKey()) return undefined
    if (this.#step === 'mark') {
      if (!this.takeThrough(this.#mark!)) return undefined
      this.#step = 'torrent'
    }
    if (this.#step === 'torrent' && !this.#readTorrent()) return undefined
    if (this.#step === 'head' && !this.#readHead()) return undefined
    if (this.#step === 'padding' && !this.#readPadding()) return undefined
    const initial = this.take(this.#initialBytes)
    if (initial === null) return undefined
    const first = decrypted(this.#decrypt!, initial)
    const select = this.#select()
    const isEncrypted = select === CRYPTO_RC4
    const rest = this.take(this.kept.length)!
    return {
      infoHash: this.#infoHash!,
      encrypt: isEncrypted ? this.#encrypt! : null,
      decrypt: isEncrypted ? this.#decrypt! : null,
      first: joined(first, isEncrypted ? decrypted(this.#decrypt!, rest) : rest),
    }
  }

  #readKey(): boolean {
    const theirs = this.take(KEY_BYTES)
    if (theirs === null) return false
    this.#secret = this.secret(theirs)
    this.#mark = hashOf('req1', this.#secret)
    this.send(joined(this.keys.publicKey, this.padding()))
    this.#step = 'mark'
    return true
  }

  #readTorrent(): boolean {
    const taken = this.take(HASH_BYTES)
    if (taken === null) return false
    const mask = hashOf('req3', this.#secret!)
    const mark = taken.map((byte, i) => byte ^ mask[i]!)
    this.#infoHash = this.#torrentOf(mark)
    if (this.#infoHash === undefined) throw protocolError('a torrent that is not here')
    this.#encrypt = cipherOf('keyB', this.#secret!, this.#infoHash)
    this.#decrypt = cipherOf('keyA', this.#secret!, this.#infoHash)
    this.#step = 'head'
    return true
  }

  #readHead(): boolean {
    const taken = this.take(VC.length + 6)
    if (taken === null) return false
    const head = decrypted(this.#decrypt!, taken)
    if (!bytesEqual(head.subarray(0, VC.length), VC)) throw notEncryption()
    this.#offered = readU32BE(head, VC.length)
    this.#paddingBytes = paddingBytesAt(head, VC.length + 4)
    this.#step = 'padding'
    return true
  }

  #readPadding(): boolean {
    const taken = this.take(this.#paddingBytes + 2)
    if (taken === null) return false
    this.#initialBytes = readU16BE(decrypted(this.#decrypt!, taken), this.#paddingBytes)
    if (this.#initialBytes > MAX_INITIAL_BYTES) {
      throw protocolError('an encryption handshake that brings too much along')
    }
    this.#step = 'initial'
    return true
  }

  /** Tells the other side which of its methods it is. */
  #select(): number {
    const select = selected(this.#policy, this.#offered)
    if (select === 0) throw protocolError('an encryption handshake that offers nothing of use')
    const padding = this.padding()
    const reply = new Uint8Array(14 + padding.length)
    const view = new DataView(reply.buffer)
    view.setUint32(8, select)
    view.setUint16(12, padding.length)
    reply.set(padding, 14)
    this.#encrypt!.apply(reply, reply)
    this.send(reply)
    return select
  }
}

function paddingBytesAt(head: Uint8Array, offset: number): number {
  const bytes = readU16BE(head, offset)
  if (bytes > MAX_PADDING) throw protocolError('an encryption handshake with too much padding')
  return bytes
}

function decrypted(cipher: Rc4, bytes: Uint8Array): Uint8Array {
  const plain = new Uint8Array(bytes.length)
  cipher.apply(bytes, plain)
  return plain
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

function notEncryption(): Error {
  return protocolError('what arrived is no handshake, encrypted or not')
}
