/**
 * A connection that somebody made to us, until its handshake says which torrent it is for.
 *
 * Invariants: at most 68 bytes are kept; what is no handshake is cut off with its first wrong byte; one
 * that does not come in time is cut off.
 */
import type { Clock } from '../base/index.ts'
import type { PeerSocket } from './network.ts'
import { beginsAsHandshake, HANDSHAKE_BYTES, parseHandshake } from './wire/handshake.ts'

const TIMEOUT_MS = 20_000

/**
 * Calls `route` with the info-hash and all bytes that have arrived; the socket is the receiver's then.
 * Calls `ended` instead when nothing comes of it. The result cuts it off.
 */
export function awaitHandshake(
  socket: PeerSocket,
  clock: Clock,
  route: (infoHash: Uint8Array, first: Uint8Array) => void,
  ended: () => void,
): () => void {
  let kept = new Uint8Array(0)
  let over = false
  const cancelTimer = clock.after(TIMEOUT_MS, () => end())
  const end = (): void => {
    if (over) return
    over = true
    cancelTimer()
    socket.destroy()
    ended()
  }
  socket.onClose = end
  socket.onDrain = () => {}
  socket.onData = (bytes) => {
    if (over) return
    const all = new Uint8Array(kept.length + bytes.length)
    all.set(kept)
    all.set(bytes, kept.length)
    if (!beginsAsHandshake(all, 0, Math.min(all.length, HANDSHAKE_BYTES))) {
      end()
      return
    }
    if (all.length < HANDSHAKE_BYTES) {
      kept = all
      return
    }
    const handshake = parseHandshake(all.subarray(0, HANDSHAKE_BYTES))!
    over = true
    cancelTimer()
    route(handshake.infoHash, all)
  }
  return end
}
