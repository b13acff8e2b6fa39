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
import type { Counters } from '../counters.ts'
import { OTHER_ACTION } from '../responses.ts'
import type { Arena } from './arena.ts'
import {
  CLOSE_BYTES,
  CLOSE_NORMAL,
  CLOSE_NOT_UTF8,
  CLOSE_PROTOCOL,
  CLOSE_TOO_BIG,
  Frame,
  isCloseCode,
  OP_BINARY,
  OP_CLOSE,
  OP_CONTINUATION,
  OP_PING,
  OP_PONG,
  OP_TEXT,
  parseFrame,
  writeClose,
  writeFrameHead,
} from './frames.ts'
import type { SignalHandler, SignalPeer } from './handler.ts'
import type { Handshake } from './handshake.ts'
import type { SignalSocket, SocketOwner } from './signal-socket.ts'
import type { Member } from './swarms.ts'

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
  /** For timing answers; may be finer than the clock above. */
  exactMs(): number
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
const NOTHING: Buffer = Buffer.alloc(0)

const frame = new Frame()

export class Connection implements SignalPeer, SocketOwner {
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
  /** Frames of this turn: from and to where they lie in the arena. */
  readonly #frames: number[] = []
  #frameCount = 0
  #frameBytes = 0
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
  /** It is gone, and its socket may still hold memory of a turn. */
  #leavesUnsent = false

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
    socket.attach(this)
    const { arena } = front
    const { response } = shake
    const start = arena.room(response.length)
    arena.memory.write(response, start, 'latin1')
    this.send(start, start + response.length)
    this.flush()
  }

  received(chunk: Buffer, bytes: number): void {
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

  /** Sockets may be half open: who sends no more is gone. */
  ended(): void {
    this.destroy()
  }

  drained(): void {
    this.#noteUnsent()
  }

  closed(): void {
    this.#end()
  }

  /** What is said in one turn is written at its end, or earlier where it is much. */
  send(start: number, end: number): void {
    if (this.#gone || this.#endsMs >= 0) return
    if (this.#frameBytes > FLUSH_BYTES) this.flush()
    if (this.#isBehind()) {
      this.#front.counters.websocket.slow++
      this.destroy()
      return
    }
    const count = this.#frameCount
    if (count === 0) this.#front.flushLater(this)
    this.#frames[2 * count] = start
    this.#frames[2 * count + 1] = end
    this.#frameCount = count + 1
    this.#frameBytes += end - start
  }

  /** Whether the system has taken all that was ever written. */
  flush(): boolean {
    const count = this.#frameCount
    if (this.#gone) return !this.#leavesUnsent
    if (count > 0) {
      const { arena } = this.#front
      this.#frameCount = 0
      if (count === 1) this.#write(arena.memory, this.#frames[0]!, this.#frames[1]!)
      else this.#writeRow(count)
      this.#frameBytes = 0
    }
    return this.#unsentBytes === 0
  }

  #write(memory: Buffer, start: number, end: number): void {
    this.#socket.send(memory, start, end)
    this.#noteUnsent()
  }

  #writeRow(count: number): void {
    const { arena } = this.#front
    const row = arena.rowOf(this.#frameBytes)
    let at = 0
    for (let i = 0; i < count; i++) {
      at += arena.memory.copy(row, at, this.#frames[2 * i]!, this.#frames[2 * i + 1]!)
    }
    this.#write(row, 0, at)
    if (this.#unsentBytes > 0) arena.leaveRow()
  }

  #isBehind(): boolean {
    const unsent = this.#socket.unsentBytes
    if (unsent === 0) return false
    return unsent > this.#front.limits.maxQueueBytes || this.#front.unsentBytes > MAX_UNSENT_BYTES
  }

  challenge(): void {
    this.#ask(CHALLENGE_MS)
  }

  /** Says why, and ends; the other side has a moment to say goodbye. */
  close(code: number): void {
    if (this.#gone || this.#endsMs >= 0) return
    this.#sendClose(code)
    this.#finish()
  }

  #sendClose(code: number): void {
    const { arena } = this.#front
    const start = arena.room(CLOSE_BYTES)
    writeClose(arena.memory, start, code)
    this.send(start, start + CLOSE_BYTES)
    this.flush()
  }

  #finish(): void {
    if (this.#gone) return
    this.#endsMs = this.#front.monotonicMs() + CLOSING_MS
    this.#socket.finish()
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
    if (this.#pongDueMs >= 0 || this.#gone) return
    this.#pongDueMs = this.#front.monotonicMs() + patienceMs
    const { arena } = this.#front
    const start = arena.room(2)
    this.send(start, writeFrameHead(arena.memory, start, OP_PING, 0))
  }

  #expire(beforeSecond: number): void {
    const { members } = this
    for (let i = members.length - 1; i >= 0; i--) {
      if (members[i]!.seenSecond < beforeSecond) this.#front.leave(members[i]!)
    }
  }

  #noteUnsent(): void {
    const unsentBytes = this.#gone ? 0 : this.#socket.unsentBytes
    this.#front.unsentBytes += unsentBytes - this.#unsentBytes
    this.#unsentBytes = unsentBytes
  }

  #end(): void {
    if (this.#gone) return
    this.#gone = true
    this.#leavesUnsent = this.#unsentBytes > 0
    this.#frameCount = 0
    this.#frameBytes = 0
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
    const { handler, limits, counters, exactMs } = this.#front
    const begunMs = limits.timed ? exactMs() : 0
    this.#messageMs = this.#heardMs
    const understood = handler.handle(bytes, start, end, this)
    const elapsedMs = limits.timed ? exactMs() - begunMs : -1
    const family = this.address.length === 4 ? 4 : 6
    counters.responses.note('ws', handler.action, family, handler.reason, elapsedMs)
    if (understood || this.#gone) return
    if (isUtf8(bytes.subarray(start, end))) handler.failMalformed(this)
    else this.#refuse(CLOSE_NOT_UTF8)
  }

  #pong(bytes: Buffer, start: number, end: number): void {
    const { arena } = this.#front
    const from = arena.room(2 + end - start)
    const at = writeFrameHead(arena.memory, from, OP_PONG, end - start)
    bytes.copy(arena.memory, at, start, end)
    this.send(from, at + end - start)
  }

  /** Both have said goodbye, then, and it is for us to end the connection (RFC 6455, 7.1.1): at once where the system takes our frame. */
  #answerClose(code: number): void {
    this.#sendClose(code)
    if (this.#unsentBytes === 0) this.destroy()
    else this.#finish()
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
