/**
 * Packets of uTP (BEP 29), version 1.
 *
 * ```
 * 0        type << 4 | version 1
 * 1        kind of the first extension, 0: none
 * 2  u16   connection id, the receiver's
 * 4  u32   when it was sent, microseconds of the sender's clock
 * 8  u32   how long the last packet of the other side was under way, by the two clocks; 0: not known yet
 * 12 u32   bytes that the sender would take beyond what it acknowledges
 * 16 u16   number of this packet; of a STATE: of the next one that will be counted
 * 18 u16   the last packet up to which all have arrived
 * 20       extensions: { next kind, length, bytes }, then the payload
 * ```
 *
 * A selective acknowledgement is an extension of kind 1: bit i, from the lowest of the first byte, stands for packet
 * ack + 2 + i.
 *
 * Invariant: nothing is read beyond the datagram, and at most MAX_EXTENSIONS are walked.
 */

export const HEADER_BYTES = 20

export const ST_DATA = 0
export const ST_FIN = 1
export const ST_STATE = 2
export const ST_RESET = 3
export const ST_SYN = 4

const VERSION = 1
export const EXTENSION_SACK = 1
/** libtorrent sends three kinds at most. */
const MAX_EXTENSIONS = 8

/** Sequence numbers and ids wrap here. */
export const U16 = 0xffff

/** How far `seq` is ahead of `from`, 0 to 65535. */
export function ahead(seq: number, from: number): number {
  return (seq - from) & U16
}

/** Whether a datagram is for uTP; those of the DHT are dictionaries and begin with `d`. */
export function isUtp(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_BYTES && (bytes[0]! & 0x0f) === VERSION && bytes[0]! >> 4 <= ST_SYN
}

/** A packet as it was read; one is filled again and again, its bytes are the datagram's. */
export class Packet {
  bytes: Uint8Array = new Uint8Array(0)
  type = 0
  id = 0
  sentMicros = 0
  /** How long our last packet was under way, as the other side sees it; 0: it cannot say. */
  delayMicros = 0
  windowBytes = 0
  seq = 0
  ack = 0
  /** Where the bits of the selective acknowledgement are; no bytes: there is none. */
  sackAt = 0
  sackBytes = 0
  payloadAt = 0

  /** False when it is no packet of uTP, or its extensions do not end. Allocates nothing. */
  read(bytes: Uint8Array): boolean {
    if (!isUtp(bytes)) return false
    this.bytes = bytes
    this.type = bytes[0]! >> 4
    this.id = u16(bytes, 2)
    this.sentMicros = u32(bytes, 4)
    this.delayMicros = u32(bytes, 8)
    this.windowBytes = u32(bytes, 12)
    this.seq = u16(bytes, 16)
    this.ack = u16(bytes, 18)
    this.sackBytes = 0
    let kind = bytes[1]!
    let at = HEADER_BYTES
    for (let count = 0; kind !== 0; count++) {
      if (count === MAX_EXTENSIONS || at + 2 > bytes.length) return false
      const length = bytes[at + 1]!
      if (at + 2 + length > bytes.length) return false
      if (kind === EXTENSION_SACK) {
        this.sackAt = at + 2
        this.sackBytes = length
      }
      kind = bytes[at]!
      at += 2 + length
    }
    this.payloadAt = at
    return true
  }
}

/** Writes the 20 bytes, without an extension. Allocates nothing. */
export function writeHeader(target: Uint8Array, type: number, id: number, seq: number): void {
  target[0] = (type << 4) | VERSION
  target[1] = 0
  target[2] = id >> 8
  target[3] = id
  target[16] = seq >> 8
  target[17] = seq
}

/** Writes what changes each time that a packet is sent. Allocates nothing. */
export function stampHeader(
  target: Uint8Array,
  sentMicros: number,
  delayMicros: number,
  windowBytes: number,
  ack: number,
): void {
  putU32(target, 4, sentMicros)
  putU32(target, 8, delayMicros)
  putU32(target, 12, windowBytes)
  target[18] = ack >> 8
  target[19] = ack
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  )
}

function putU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}
