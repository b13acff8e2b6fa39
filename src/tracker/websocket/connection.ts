/**
 * One connection of WebSocket: frames in, frames out, and what it owes.
 *
 *     in    chunk --> frames, unmasked in place --> messages --> handler
 *           what is not whole is kept (`rest`), fragments are put together (`message`)
 *     out   frames of one turn are put together and written at its end, so that whoever is sent five offers costs one write
 *
 * Invariants: what is kept of input is at most one message and what came with it in one read; what waits for a slow reader is at
 * most `maxQueueBytes` and one turn's frames, or the connection is ended; who sends faster than it may is read more slowly, nothing of it is lost.
 */
import { isUtf8 } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Counters } from '../counters.ts'
import { OTHER_ACTION } from '../responses.ts'
import type { Arena } from './arena.ts'
import {
  CLOSE_NORMAL,
  CLOSE_NOT_UTF8,
  CLOSE_PROTOCOL,
  CLOSE_TOO_BIG,
  closeFrame,
  Frame,
  isCloseCode,
  OP_BINARY,
  OP_CLOSE,
  OP_CONTINUATION,
  OP_PING,
  OP_PONG,
  OP_TEXT,
  parseFrame,
  writeFrameHead,
} from './frames.ts'
import type { SignalHandler, SignalPeer } from './handler.ts'
import type { Handshake } from './handshake.ts'
import type { Member } from './swarms.ts'

/** Some have shorter ways. */
export interface SignalSocket extends Socket {
  /** Gives bytes to the system without a detour, as many as it takes now; `write` takes the rest. */
  sendNow?(bytes: Buffer): number
  /** Hears what comes instead of `data`: so many bytes of memory that is good until it returns. */
  onBytes?: ((memory: Buffer, bytes: number) => void) | undefined
}

export interface ConnectionLimits {
  readonly maxMessageBytes: number
  /** Unsent bytes of one connection. */
  readonly maxQueueBytes: number
  /** Frames read in the long run, and at once. */
  readonly messagesPerSecond: number
  readonly messageBurst: number
  /** Silence after which it is asked whether it is there; and as long again to say so. */
  readonly pingIntervalMs: number
  /** For a message to be whole. */
  readonly messageTimeoutMs: number
  /** For a connection that is in no swarm to say something. */
  readonly idleTimeoutMs: number
  /** For a member that does not announce, though its connection is alive. */
  readonly peerLifetimeMs: number
  readonly timed: boolean
}

/** What connections share, and what is replaced for all of them at once. */
export interface SignalFront {
  readonly counters: Counters
  handler: SignalHandler
  limits: ConnectionLimits
  /** As of the last sweep or read. */
  nowMs: number
  /** Unsent bytes of all connections. */
  unsentBytes: number
  readonly arena: Arena
  monotonicMs(): number
  /** Calls `flush` of it at the end of this turn. */
  flushLater(connection: Connection): void
  leave(member: Member): void
  forget(connection: Connection): void
}

/** Unsent bytes of all connections together; beyond, who is behind is ended. */
export const MAX_UNSENT_BYTES: number = 64 * 2 ** 20
/** What waits for the end of a turn. */
const FLUSH_BYTES = 32_768
/** For the closing handshake. */
const CLOSING_MS = 2000
/** For who is doubted to say that it is there. */
const CHALLENGE_MS = 10_000
const EXPIRY_MS = 30_000
const PING: Buffer = Buffer.of(0x80 | OP_PING, 0)
const NOTHING: Buffer = Buffer.alloc(0)

const frame = new Frame()

export class Connection implements SignalPeer {
  readonly members: Member[] = []
  readonly address: Uint8Array
  readonly target: Uint8Array
  readonly queryStart: number
  readonly passkeyStart: number
  readonly passkeyEnd: number
  readonly #socket: SignalSocket
  readonly #front: SignalFront
  /** Bytes of frames that are not whole, or may not be read yet. */
  #rest: Buffer = NOTHING
  #restBytes = 0
  /** Fragments so far. */
  #message: Buffer | null = null
  #messageBytes = 0
  /** Since when there is half a message; -1 while there is none. */
  #partSinceMs = -1
  /** Frames that may be read before the next sweep. */
  #budget: number
  readonly #queue: Buffer[] = []
  #queueBytes = 0
  /** What the socket held after the last write. */
  #unsentBytes = 0
  #heardMs: number
  #messageMs: number
  #expiredMs: number
  /** When it will be taken for dead unless it is heard; -1 while nothing is asked. */
  #pongDueMs = -1
  /** When the closing handshake is over; -1 before. */
  #endsMs = -1
  #gone = false

  constructor(socket: SignalSocket, shake: Handshake, front: SignalFront) {
    this.address = shake.address
    this.target = shake.target
    this.queryStart = shake.queryStart
    this.passkeyStart = shake.passkeyStart
    this.passkeyEnd = shake.passkeyEnd
    this.#socket = socket
    this.#front = front
    this.#budget = front.limits.messageBurst
    const now = front.monotonicMs()
    this.#heardMs = now
    this.#messageMs = now
    this.#expiredMs = now
    // Resets are everyday; `close` follows.
    socket.on('error', () => {})
    socket.on('close', () => this.#end())
    // Sockets may be half open: who sends no more is gone.
    socket.on('end', () => this.destroy())
    socket.on('drain', () => this.#noteUnsent())
    if ('onBytes' in socket) socket.onBytes = (memory, bytes) => this.receive(memory, bytes)
    else socket.on('data', (chunk: Buffer) => this.receive(chunk, chunk.length))
    this.#write(Buffer.from(shake.response, 'latin1'))
  }

  /** The first `bytes` of a chunk, whose memory is the caller's again when this returns. */
  receive(chunk: Buffer, bytes: number): void {
    if (this.#gone || this.#endsMs >= 0) return
    const front = this.#front
    front.nowMs = front.monotonicMs()
    this.#heardMs = front.nowMs
    this.#pongDueMs = -1
    if (this.#restBytes === 0) {
      const read = this.#read(chunk, bytes)
      this.#keep(chunk, read, bytes)
    } else {
      this.#append(chunk, bytes)
      this.#readRest()
    }
  }

  /** What is said in one turn is written at its end, or earlier where it is much. */
  send(out: Buffer): void {
    if (this.#gone || this.#endsMs >= 0) return
    if (this.#queueBytes > FLUSH_BYTES) this.flush()
    if (this.#isBehind()) {
      this.#front.counters.websocket.slow++
      this.destroy()
      return
    }
    if (this.#queue.length === 0) this.#front.flushLater(this)
    this.#queue.push(out)
    this.#queueBytes += out.length
  }

  /** Whether the system has taken all that was ever written. */
  flush(): boolean {
    const queue = this.#queue
    if (this.#gone) return false
    if (queue.length > 0) {
      const out = queue.length === 1 ? queue[0]! : this.#joined(queue)
      queue.length = 0
      this.#queueBytes = 0
      this.#write(out)
    }
    return this.#unsentBytes === 0
  }

  #write(out: Buffer): void {
    const sent = this.#socket.sendNow?.(out) ?? 0
    if (sent < out.length) this.#socket.write(sent === 0 ? out : out.subarray(sent))
    this.#noteUnsent()
  }

  #joined(frames: readonly Buffer[]): Buffer {
    const out = this.#front.arena.room(this.#queueBytes)
    let at = 0
    for (const one of frames) {
      out.set(one, at)
      at += one.length
    }
    return out
  }

  #isBehind(): boolean {
    const unsent = this.#socket.writableLength
    if (unsent === 0) return false
    return unsent > this.#front.limits.maxQueueBytes || this.#front.unsentBytes > MAX_UNSENT_BYTES
  }

  challenge(): void {
    this.#ask(CHALLENGE_MS)
  }

  /** Says why, and ends; the other side has a moment to say goodbye. */
  close(code: number): void {
    if (this.#gone || this.#endsMs >= 0) return
    this.flush()
    this.#endsMs = this.#front.monotonicMs() + CLOSING_MS
    this.#socket.end(closeFrame(code))
    this.#leaveAll()
  }

  destroy(): void {
    this.#socket.destroy()
    this.#end()
  }

  /** Once a second: what is due. */
  sweep(now: number): void {
    const { limits, counters } = this.#front
    if (this.#endsMs >= 0) {
      if (now >= this.#endsMs) this.destroy()
      return
    }
    const lateMessage = this.#partSinceMs >= 0 && now - this.#partSinceMs > limits.messageTimeoutMs
    const silent = this.#pongDueMs >= 0 && now > this.#pongDueMs
    if (lateMessage || silent) {
      counters.transports[this.address.length === 4 ? 'ws4' : 'ws6'].dropped++
      this.destroy()
      return
    }
    if (this.members.length === 0 && now - this.#messageMs > limits.idleTimeoutMs) {
      this.close(CLOSE_NORMAL)
      return
    }
    this.#noteUnsent()
    if (now - this.#heardMs > limits.pingIntervalMs) this.#ask(limits.pingIntervalMs)
    if (now - this.#expiredMs > EXPIRY_MS) {
      this.#expiredMs = now
      this.#expire(Math.floor((now - limits.peerLifetimeMs) / 1000))
    }
    const starved = this.#budget <= 0
    this.#budget = Math.min(limits.messageBurst, this.#budget + limits.messagesPerSecond)
    if (starved && this.#budget > 0) {
      this.#socket.resume()
      this.#readRest()
    }
  }

  #ask(patienceMs: number): void {
    if (this.#pongDueMs >= 0) return
    this.#pongDueMs = this.#front.monotonicMs() + patienceMs
    this.send(PING)
  }

  #expire(beforeSecond: number): void {
    const { members } = this
    for (let i = members.length - 1; i >= 0; i--) {
      if (members[i]!.seenSecond < beforeSecond) this.#front.leave(members[i]!)
    }
  }

  #noteUnsent(): void {
    const unsentBytes = this.#gone ? 0 : this.#socket.writableLength
    this.#front.unsentBytes += unsentBytes - this.#unsentBytes
    this.#unsentBytes = unsentBytes
  }

  #end(): void {
    if (this.#gone) return
    this.#gone = true
    this.#queue.length = 0
    this.#queueBytes = 0
    this.#rest = NOTHING
    this.#restBytes = 0
    this.#message = null
    this.#noteUnsent()
    this.#leaveAll()
    this.#front.forget(this)
  }

  #leaveAll(): void {
    while (this.members.length > 0) this.#front.leave(this.members.at(-1)!)
  }

  #readRest(): void {
    const rest = this.#rest
    const bytes = this.#restBytes
    if (bytes === 0) return
    const read = this.#read(rest, bytes)
    if (this.#gone) return
    this.#restBytes = 0
    if (read === bytes) this.#rest = NOTHING
    this.#keep(rest, read, bytes)
  }

  /** Reads frames as long as they are whole and may be read; returns how many bytes. */
  #read(bytes: Buffer, end: number): number {
    const { maxMessageBytes } = this.#front.limits
    let at = 0
    while (at < end && this.#budget > 0 && !this.#gone && this.#endsMs < 0) {
      const parsed = parseFrame(bytes, at, end, maxMessageBytes, frame)
      if (parsed === 'more') return at
      if (parsed !== 'frame') {
        this.#refuse(parsed)
        return end
      }
      this.#budget--
      at = frame.end
      this.#take(bytes)
    }
    if (this.#budget <= 0) this.#socket.pause()
    return this.#endsMs >= 0 ? end : at
  }

  /** Keeps a copy: the memory of a read is 64 KiB, too much for a few bytes. */
  #keep(bytes: Buffer, from: number, end: number): void {
    if (this.#gone) return
    if (from < end) {
      if (bytes === this.#rest) bytes.copyWithin(0, from, end)
      else this.#rest = Buffer.from(bytes.subarray(from, end))
      this.#restBytes = end - from
    }
    const isPart = this.#message !== null || (this.#restBytes > 0 && this.#budget > 0)
    if (!isPart) this.#partSinceMs = -1
    else if (this.#partSinceMs < 0) this.#partSinceMs = this.#front.nowMs
  }

  /** Doubles, so that a message in single bytes is copied twice and not a thousand times. */
  #append(chunk: Buffer, bytes: number): void {
    const needed = this.#restBytes + bytes
    if (needed > this.#rest.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#rest.length))
      this.#rest.copy(larger, 0, 0, this.#restBytes)
      this.#rest = larger
    }
    chunk.copy(this.#rest, this.#restBytes, 0, bytes)
    this.#restBytes = needed
  }

  #take(bytes: Buffer): void {
    const { opcode, start, end, final } = frame
    switch (opcode) {
      case OP_TEXT:
      case OP_BINARY:
        if (this.#message !== null) this.#refuse(CLOSE_PROTOCOL)
        else if (final) this.#hear(bytes, start, end)
        else this.#gather(bytes, start, end)
        return
      case OP_CONTINUATION:
        if (this.#message === null) this.#refuse(CLOSE_PROTOCOL)
        else if (this.#gather(bytes, start, end) && final) {
          const message = this.#message
          this.#message = null
          this.#hear(message, 0, this.#messageBytes)
          this.#messageBytes = 0
        }
        return
      case OP_PING:
        this.#pong(bytes, start, end)
        return
      case OP_CLOSE:
        this.#heardClose(bytes, start, end)
        return
      default:
    }
  }

  /** False when that is too much. */
  #gather(bytes: Buffer, start: number, end: number): boolean {
    const needed = this.#messageBytes + end - start
    if (needed > this.#front.limits.maxMessageBytes) {
      this.#refuse(CLOSE_TOO_BIG)
      return false
    }
    const message = this.#message ?? NOTHING
    if (needed > message.length || this.#message === null) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * message.length, 256))
      message.copy(larger, 0, 0, this.#messageBytes)
      this.#message = larger
    }
    bytes.copy(this.#message!, this.#messageBytes, start, end)
    this.#messageBytes = needed
    return true
  }

  #hear(bytes: Buffer, start: number, end: number): void {
    const { handler, limits, counters, monotonicMs } = this.#front
    const begunMs = limits.timed ? monotonicMs() : 0
    this.#messageMs = this.#heardMs
    const understood = handler.handle(bytes, start, end, this)
    const elapsedMs = limits.timed ? monotonicMs() - begunMs : -1
    const family = this.address.length === 4 ? 4 : 6
    counters.responses.note('ws', handler.action, family, handler.reason, elapsedMs)
    if (understood || this.#gone) return
    if (isUtf8(bytes.subarray(start, end))) handler.failMalformed(this)
    else this.#refuse(CLOSE_NOT_UTF8)
  }

  #pong(bytes: Buffer, start: number, end: number): void {
    const pong = Buffer.allocUnsafe(2 + end - start)
    const at = writeFrameHead(pong, 0, OP_PONG, end - start)
    bytes.copy(pong, at, start, end)
    this.send(pong)
  }

  /** Both have said goodbye, then, and it is for us to end the connection (RFC 6455, 7.1.1): at once where the system takes our frame. */
  #answerClose(code: number): void {
    this.flush()
    const sent = this.#socket.sendNow?.(closeFrame(code)) ?? 0
    if (sent > 0) this.destroy()
    else this.close(code)
  }

  #heardClose(bytes: Buffer, start: number, end: number): void {
    if (end - start === 0) {
      this.#answerClose(CLOSE_NORMAL)
      return
    }
    const code = end - start === 1 ? 0 : bytes.readUInt16BE(start)
    if (!isCloseCode(code)) this.#refuse(CLOSE_PROTOCOL)
    else if (!isUtf8(bytes.subarray(start + 2, end))) this.#refuse(CLOSE_NOT_UTF8)
    else this.#answerClose(code)
  }

  /** Ends a connection that broke a rule. */
  #refuse(code: number): void {
    const { counters } = this.#front
    const family = this.address.length === 4 ? 4 : 6
    counters.transports[family === 4 ? 'ws4' : 'ws6'].dropped++
    counters.responses.note('ws', OTHER_ACTION, family, `close ${code}`, -1)
    this.close(code)
  }
}
