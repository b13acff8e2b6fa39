/**
 * Sixty-four datagrams in and sixty-four out, received with one call and sent with another. All headers are laid out once.
 *
 *     packets    64 slots of 8512 bytes: the largest request there is (an announce with all the URL data that is taken)
 *     replies    64 slots of 1600 bytes: the largest reply has 1472
 *     names      64 slots of 32 bytes: from whom each packet came, as a socket address
 *     controls   64 slots of 64 bytes: to which of our addresses, where that is noted (socket.ts)
 *     then       mmsghdr and iovec of both directions (layouts.ts)
 *
 * Both distances are odd numbers of cache lines, so that the heads of 64 slots do not fall on the same few sets of the cache.
 * Reply j lies in slot j; its header points to the name of the packet that it answers, so packets without a reply leave no gap. So it does to the
 * control message, which then says from which address the reply goes: the one that was asked.
 *
 * Invariants: nothing here allocates after it was made; a packet that was longer than its slot has length 0.
 */
import {
  IOVEC_BYTES,
  IOVEC_LENGTH,
  MMSGHDR_BYTES,
  MSG_BYTES,
  MSG_CONTROL,
  MSG_CONTROLLEN,
  MSG_FLAGS_FIELD,
  MSG_IOV,
  MSG_IOVLEN,
  MSG_NAME,
  MSG_NAMELEN,
  PKTINFO_INTERFACE,
  SOCKADDR_ADDRESS,
  SOCKADDR_BYTES,
  SOCKADDR_PORT,
  sockaddrOf,
} from './layouts.ts'
import { EAGAIN, EINTR, ENOBUFS, type Libc, MSG_DONTWAIT, MSG_TRUNC } from './libc.ts'
import { PinnedMemory } from './pinned-memory.ts'

export const BATCH = 64
const PACKET_BYTES = 8512
const REPLY_BYTES = 1600
const NAME_BYTES = 32
/** More than a control message with an address of either family has. */
const CONTROL_BYTES = 64

const PACKETS = 0
const REPLIES: number = PACKETS + BATCH * PACKET_BYTES
const NAMES: number = REPLIES + BATCH * REPLY_BYTES
const CONTROLS: number = NAMES + BATCH * NAME_BYTES
const RECEIVED: number = CONTROLS + BATCH * CONTROL_BYTES
const SENT: number = RECEIVED + BATCH * MMSGHDR_BYTES
const RECEIVED_IOV: number = SENT + BATCH * MMSGHDR_BYTES
const SENT_IOV: number = RECEIVED_IOV + BATCH * IOVEC_BYTES
const BYTES: number = SENT_IOV + BATCH * IOVEC_BYTES

export class DatagramBatch {
  /** Packets and replies lie here. */
  readonly bytes: Uint8Array
  readonly #libc: Libc
  readonly #memory: PinnedMemory
  readonly #words: Uint32Array
  readonly #addressAt: number
  readonly #addressBytes: number
  /** Of the headers of replies, by their number. */
  readonly #sendFrom: readonly bigint[]
  readonly #receiveInto: bigint
  readonly #notesDestinations: boolean
  readonly #interfaceAt: number
  #replies = 0

  /** `notesDestinations`: packets of the socket say to which address they came. */
  constructor(libc: Libc, family: 4 | 6, notesDestinations = false) {
    this.#notesDestinations = notesDestinations
    this.#interfaceAt = CONTROLS + PKTINFO_INTERFACE[family]
    this.#libc = libc
    this.#memory = new PinnedMemory(libc, BYTES)
    this.bytes = this.#memory.bytes
    this.#words = this.#memory.words
    this.#addressAt = NAMES + SOCKADDR_ADDRESS[family]
    this.#addressBytes = family === 4 ? 4 : 16
    this.#receiveInto = this.#memory.at(RECEIVED)
    this.#sendFrom = Array.from({ length: BATCH }, (_, i) =>
      this.#memory.at(SENT + i * MMSGHDR_BYTES),
    )
    for (let i = 0; i < BATCH; i++) {
      const received = RECEIVED + i * MMSGHDR_BYTES
      const sent = SENT + i * MMSGHDR_BYTES
      this.#lay(received, i, RECEIVED_IOV + i * IOVEC_BYTES, PACKETS + i * PACKET_BYTES, family)
      this.#lay(sent, i, SENT_IOV + i * IOVEC_BYTES, REPLIES + i * REPLY_BYTES, family)
      this.#memory.put(RECEIVED_IOV + i * IOVEC_BYTES + IOVEC_LENGTH, PACKET_BYTES)
      if (notesDestinations) {
        this.#memory.putPointer(received + MSG_CONTROL, CONTROLS + i * CONTROL_BYTES)
      }
    }
  }

  #lay(header: number, slot: number, iov: number, target: number, family: 4 | 6): void {
    const memory = this.#memory
    memory.putPointer(header + MSG_NAME, NAMES + slot * NAME_BYTES)
    memory.put(header + MSG_NAMELEN, SOCKADDR_BYTES[family])
    memory.putPointer(header + MSG_IOV, iov)
    memory.put(header + MSG_IOVLEN, 1)
    memory.putPointer(iov, target)
  }

  /** Takes what waits, up to BATCH packets; returns how many, 0 for none. Forgets the replies of before. */
  receive(fd: number): number {
    this.#replies = 0
    if (this.#notesDestinations) {
      // The kernel wrote there how much of it was used.
      for (let i = 0; i < BATCH; i++) {
        this.#words[(RECEIVED + i * MMSGHDR_BYTES + MSG_CONTROLLEN) >>> 2] = CONTROL_BYTES
      }
    }
    const count = this.#libc.recvmmsg(fd, this.#receiveInto, BATCH, MSG_DONTWAIT, null)
    return count < 0 ? 0 : count
  }

  /** Puts a packet where the kernel would: for tests. */
  put(packet: number, address: Uint8Array, port: number, bytes: Uint8Array): void {
    const name = NAMES + packet * NAME_BYTES
    this.bytes.set(sockaddrOf(address, port), name)
    this.bytes.set(bytes, this.startOf(packet))
    this.#words[(RECEIVED + packet * MMSGHDR_BYTES + MSG_BYTES) >>> 2] = bytes.length
  }

  startOf(packet: number): number {
    return PACKETS + packet * PACKET_BYTES
  }

  endOf(packet: number): number {
    const header = (RECEIVED + packet * MMSGHDR_BYTES) >>> 2
    const truncated = (this.#words[header + MSG_FLAGS_FIELD / 4]! & MSG_TRUNC) !== 0
    return PACKETS + packet * PACKET_BYTES + (truncated ? 0 : this.#words[header + MSG_BYTES / 4]!)
  }

  /** Copies the address that a packet came from: 4 or 16 bytes, as the family of the batch is. */
  readAddress(packet: number, target: Uint8Array): void {
    const at = this.#addressAt + packet * NAME_BYTES
    for (let i = 0; i < this.#addressBytes; i++) target[i] = this.bytes[at + i]!
  }

  /** Whether it came from port 0, which cannot be answered. */
  isForged(packet: number): boolean {
    const at = NAMES + packet * NAME_BYTES + SOCKADDR_PORT
    return (this.bytes[at]! | this.bytes[at + 1]!) === 0
  }

  /** Where the next reply is to be written. */
  get nextReply(): number {
    return REPLIES + this.#replies * REPLY_BYTES
  }

  /** Takes what was written there as the reply to a packet. */
  addReply(packet: number, length: number): void {
    const words = this.#words
    const reply = this.#replies++
    const from = (RECEIVED + packet * MMSGHDR_BYTES + MSG_NAME) >>> 2
    const header = (SENT + reply * MMSGHDR_BYTES + MSG_NAME) >>> 2
    words[header] = words[from]!
    words[header + 1] = words[from + 1]!
    words[(SENT_IOV + reply * IOVEC_BYTES + IOVEC_LENGTH) >>> 2] = length
    if (this.#notesDestinations) this.#answerFromThere(packet, reply)
  }

  #answerFromThere(packet: number, reply: number): void {
    const words = this.#words
    const from = (RECEIVED + packet * MMSGHDR_BYTES + MSG_CONTROL) >>> 2
    const to = (SENT + reply * MMSGHDR_BYTES + MSG_CONTROL) >>> 2
    words[to] = words[from]!
    words[to + 1] = words[from + 1]!
    const used = (MSG_CONTROLLEN - MSG_CONTROL) >>> 2
    words[to + used] = words[from + used]!
    // By the interface that routes say, not by the one that it came in at.
    words[(this.#interfaceAt + packet * CONTROL_BYTES) >>> 2] = 0
  }

  /**
   * Sends all replies; returns how many the system did not take. One that is refused (a filter, an address that cannot be reached)
   * is left out; when there is no room, so are those behind it, as the network would do.
   */
  send(fd: number): number {
    const replies = this.#replies
    let unsent = 0
    let next = 0
    while (next < replies) {
      const count = this.#libc.sendmmsg(fd, this.#sendFrom[next]!, replies - next, MSG_DONTWAIT)
      if (count > 0) {
        next += count
        continue
      }
      const errno = this.#libc.errno()
      if (errno === EINTR) continue
      if (errno === EAGAIN || errno === ENOBUFS) return unsent + replies - next
      unsent++
      next++
    }
    return unsent
  }
}
