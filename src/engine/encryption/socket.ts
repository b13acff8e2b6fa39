/**
 * A connection to a peer whose bytes are encrypted: a PeerSocket over another one.
 *
 * Invariants: those of PeerSocket; the bytes below are changed in place when they are received, and never when
 * they are sent, because they may be anybody's.
 */
import type { Random } from '../../base/index.ts'
import type { PeerSocket, Transport } from '../network.ts'
import { type Encryption, type EncryptionHandshake, Initiator } from './handshake.ts'
import type { EncryptionPolicy } from './policy.ts'

/** What both kinds are: all but the bytes is the other socket's affair. */
export abstract class OverSocket implements PeerSocket {
  readonly remoteAddress: string
  readonly remotePort: number
  onData: (bytes: Uint8Array) => void = () => {}
  onClose: (error: Error | undefined) => void = () => {}
  onDrain: () => void = () => {}
  protected readonly below: PeerSocket

  constructor(below: PeerSocket) {
    this.below = below
    this.remoteAddress = below.remoteAddress
    this.remotePort = below.remotePort
    below.onClose = (error) => this.onClose(error)
    below.onDrain = () => this.onDrain()
  }

  /** Of one that is not connected yet it may change. */
  get transport(): Transport {
    return this.below.transport
  }

  abstract write(bytes: Uint8Array): boolean

  cork(): void {
    this.below.cork()
  }

  uncork(): void {
    this.below.uncork()
  }

  pause(): void {
    this.below.pause()
  }

  resume(): void {
    this.below.resume()
  }

  destroy(): void {
    this.below.destroy()
  }

  protected writeThrough(bytes: Uint8Array, { encrypt }: Encryption): boolean {
    if (encrypt === null) return this.below.write(bytes)
    const sent = Buffer.allocUnsafe(bytes.length)
    encrypt.apply(bytes, sent)
    return this.below.write(sent)
  }

  protected readThrough(bytes: Uint8Array, { decrypt }: Encryption): void {
    decrypt?.apply(bytes, bytes)
    this.onData(bytes)
  }
}

/** A connection that was made to us and has shaken hands; the `first` bytes of it are the caller's to read. */
export class EncryptedSocket extends OverSocket {
  readonly #encryption: Encryption

  constructor(below: PeerSocket, encryption: Encryption) {
    super(below)
    this.#encryption = encryption
    below.onData = (bytes) => this.readThrough(bytes, encryption)
  }

  write(bytes: Uint8Array): boolean {
    return this.writeThrough(bytes, this.#encryption)
  }
}

/** A connection that we make: it shakes hands before it says that it is connected. */
export class EncryptingSocket extends OverSocket {
  onConnect: () => void = () => {}
  /** Somebody is there, who may yet not understand. */
  reached = false
  #encryption: Encryption | undefined
  #failed = false

  constructor(
    below: PeerSocket & { onConnect: () => void },
    infoHash: Uint8Array,
    policy: EncryptionPolicy,
    random: Random,
  ) {
    super(below)
    let handshake: EncryptionHandshake | undefined
    below.onConnect = () => {
      this.reached = true
      handshake = new Initiator(infoHash, policy, random, (bytes) => below.write(bytes))
    }
    below.onData = (bytes) => {
      if (this.#failed) return
      if (this.#encryption === undefined) this.#shake(handshake!, bytes)
      else this.readThrough(bytes, this.#encryption)
    }
    // What was sent to shake hands is nobody's to wait for.
    below.onDrain = () => {
      if (this.#encryption !== undefined) this.onDrain()
    }
  }

  write(bytes: Uint8Array): boolean {
    return this.#encryption !== undefined && this.writeThrough(bytes, this.#encryption)
  }

  #shake(handshake: EncryptionHandshake, bytes: Uint8Array): void {
    try {
      this.#encryption = handshake.push(bytes)
    } catch (error) {
      this.#failed = true
      this.below.onClose = () => {}
      this.below.destroy()
      this.onClose(error as Error)
      return
    }
    if (this.#encryption === undefined) return
    const { first } = this.#encryption
    this.onConnect()
    if (first.length > 0) this.onData(first)
  }
}
