/**
 * A connection of TLS for a thread that only knows descriptors: records are node's, so the text in the clear goes through a pair of
 * the system's sockets.
 *
 *     client ⇄ TLSSocket (this thread) ⇄ one end of the pair … the other end ⇄ whoever gets its descriptor
 */
import { Socket } from 'node:net'
import { AF_UNIX, errnoError, type Libc, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from './libc.ts'

/** How long a client may take nothing of what waits for it. */
const STUCK_MS = 60_000

/**
 * Joins `socket`, which nobody else reads any more, with a new pair; returns the descriptor of the other end, which is the caller's. Either end
 * ends the other. Throws an error with the errno's name as its code when there are no descriptors left.
 */
export function openTunnel(libc: Libc, socket: Socket, stuckMs: number = STUCK_MS): number {
  // Less memory than this may be moved by the garbage collector.
  const pair = new Int32Array(new ArrayBuffer(128))
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  if (libc.socketpair(AF_UNIX, type, 0, new Uint8Array(pair.buffer)) !== 0) {
    throw errnoError('socketpair', libc.errno())
  }
  const inner = new Socket({ fd: pair[0]!, readable: true, writable: true, allowHalfOpen: true })
  // Resets are everyday; `close` follows.
  socket.on('error', () => {})
  inner.on('error', () => {})
  socket.on('close', () => inner.destroy())
  inner.on('close', () => socket.destroySoon())
  // While something waits for the client the pair is not read, so its end would not be seen. Clients are pinged: who lives is not silent for long.
  socket.setTimeout(stuckMs)
  socket.on('timeout', () => {
    if (socket.writableLength > 0) socket.destroy()
  })
  socket.pipe(inner)
  inner.pipe(socket)
  return pair[1]!
}
