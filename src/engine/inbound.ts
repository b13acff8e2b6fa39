/**
 * A connection that somebody made to us, until its handshake says which torrent it is for.
 *
 * ```
 * plaintext handshake -------------------------------.
 *       | its bytes cannot become one                 v
 *       `-> encryption handshake -> handshake in it -> route
 * ```
 *
 * Invariants: what is kept is bounded by the handshakes' sizes; what is neither is cut off with its first wrong byte, or
 * where the other's padding must have ended; one that does not come in time is cut off.
 */
import { bytesEqual, type Clock, type Random, SeedbedError } from '../base/index.ts'
import { type Encryption, Responder } from './encryption/handshake.ts'
import type { EncryptionPolicy } from './encryption/policy.ts'
import { EncryptedSocket } from './encryption/socket.ts'
import type { PeerSocket } from './network.ts'
import { beginsAsHandshake, HANDSHAKE_BYTES, parseHandshake } from './wire/handshake.ts'

const TIMEOUT_MS = 20_000

/** What the connections that are made to us have in common. */
export interface Doorway {
  readonly clock: Clock
  readonly random: Random
  readonly encryption: EncryptionPolicy
  /** The info-hash for which a mark (MSE) stands, of those that are served. */
  torrentOf(mark: Uint8Array): Uint8Array | undefined
  /** Somebody at `host` asked for the torrent in plaintext, and is turned away: encryption is required. */
  turnedAway(infoHash: Uint8Array, host: string): void
}

/**
 * Calls `route` with the info-hash, all that has arrived in plaintext, and the socket to go on with: `socket`, or what
 * decrypts it. Calls `ended` instead when nothing comes of it, and says for what it was cut off, if it was for that. The result
 * cuts it off.
 */
export function awaitHandshake(
  socket: PeerSocket,
  doorway: Doorway,
  route: (infoHash: Uint8Array, first: Uint8Array, socket: PeerSocket) => void,
  ended: (misdeed?: 'badHandshakes' | 'slowHandshakes') => void,
): () => void {
  const { clock, random, encryption: policy } = doorway
  let kept = new Uint8Array(0)
  let over = false
  let responder: Responder | undefined
  let encryption: Encryption | undefined
  let inner = socket
  const cancelTimer = clock.after(TIMEOUT_MS, () => end('slowHandshakes'))
  const end = (misdeed?: 'badHandshakes' | 'slowHandshakes'): void => {
    if (over) return
    over = true
    cancelTimer()
    socket.destroy()
    ended(misdeed)
  }
  const listen = (onData: (bytes: Uint8Array) => void): void => {
    inner.onClose = () => end()
    inner.onDrain = () => {}
    inner.onData = (bytes) => {
      if (over) return
      try {
        onData(bytes)
      } catch (error) {
        if (!(error instanceof SeedbedError)) throw error
        end('badHandshakes')
      }
    }
  }
  const shake = (bytes: Uint8Array): void => {
    encryption = responder!.push(bytes)
    if (encryption === undefined) return
    if (encryption.decrypt !== null) inner = new EncryptedSocket(socket, encryption)
    listen(read)
    if (encryption.first.length > 0) read(encryption.first)
  }
  const read = (bytes: Uint8Array): void => {
    const all = new Uint8Array(kept.length + bytes.length)
    all.set(kept)
    all.set(bytes, kept.length)
    if (!beginsAsHandshake(all, 0, Math.min(all.length, HANDSHAKE_BYTES))) {
      if (encryption !== undefined || policy === 'off') {
        end('badHandshakes')
        return
      }
      kept = new Uint8Array(0)
      const { torrentOf } = doorway
      responder = new Responder(policy, random, torrentOf, (reply) => socket.write(reply))
      listen(shake)
      shake(all)
      return
    }
    if (all.length < HANDSHAKE_BYTES) {
      kept = all
      return
    }
    const { infoHash } = parseHandshake(all.subarray(0, HANDSHAKE_BYTES))!
    const isWanted =
      encryption === undefined ? policy !== 'required' : bytesEqual(infoHash, encryption.infoHash)
    if (!isWanted) {
      end()
      if (encryption === undefined) doorway.turnedAway(infoHash, socket.remoteAddress)
      return
    }
    over = true
    cancelTimer()
    route(infoHash, all, inner)
  }
  listen(read)
  return () => end()
}
