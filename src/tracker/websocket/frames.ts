/**
 * Frames of WebSocket (RFC 6455, section 5) as a server reads and writes them. Bytes only, without extensions.
 *
 *     0   FIN, RSV (3, zero), opcode (4)
 *     1   MASK, length (7): 126 and 127 say that 2 or 8 bytes of length follow
 *         mask (4), in what clients send and never in what servers send
 *         payload
 *
 * Strict: a frame that breaks a rule ends the connection, because where the next one begins would be a guess.
 */
import { readU16BE, readU32BE, writeU16BE, writeU32BE } from '../../base/index.ts'
import { LITTLE_ENDIAN, wordsUnder } from './words.ts'

export const OP_CONTINUATION = 0
export const OP_TEXT = 1
export const OP_BINARY = 2
export const OP_CLOSE = 8
export const OP_PING = 9
export const OP_PONG = 10

/** Why a connection is closed: RFC 6455, section 7.4.1. */
export const CLOSE_NORMAL = 1000
export const CLOSE_GOING_AWAY = 1001
export const CLOSE_PROTOCOL = 1002
export const CLOSE_NOT_UTF8 = 1007
export const CLOSE_POLICY = 1008
export const CLOSE_TOO_BIG = 1009

/** Payload of a control frame. */
export const MAX_CONTROL_BYTES = 125

/** A parsed frame; one object is filled again and again. */
export class Frame {
  opcode = 0
  final = false
  /** Bounds of the payload in the buffer. */
  start = 0
  end = 0
}

/** `more`: not whole yet. A number is a code to close with. */
export type FrameParse = 'more' | 'frame' | typeof CLOSE_PROTOCOL | typeof CLOSE_TOO_BIG

/**
 * Reads the frame that begins at `bytes[at]`, and takes the mask off its payload, in place. A length beyond `maxBytes` is
 * refused as soon as it is said. Allocates nothing, throws nothing.
 */
export function parseFrame(
  bytes: Uint8Array,
  at: number,
  end: number,
  maxBytes: number,
  frame: Frame,
): FrameParse {
  if (end - at < 2) return 'more'
  const first = bytes[at]!
  const second = bytes[at + 1]!
  const opcode = first & 15
  const isControl = opcode >= OP_CLOSE
  if ((first & 0x70) !== 0 || second < 0x80) return CLOSE_PROTOCOL
  if (isControl ? opcode > OP_PONG || first < 0x80 : opcode > OP_BINARY) return CLOSE_PROTOCOL
  let length = second & 127
  let start = at + 2
  if (isControl && length > MAX_CONTROL_BYTES) return CLOSE_PROTOCOL
  if (length === 126) {
    if (end - at < 4) return 'more'
    length = readU16BE(bytes, start)
    if (length < 126) return CLOSE_PROTOCOL
    start += 2
  } else if (length === 127) {
    if (end - at < 10) return 'more'
    const high = readU32BE(bytes, start)
    length = readU32BE(bytes, start + 4)
    if (high === 0 && length < 65_536) return CLOSE_PROTOCOL
    if (high !== 0) return CLOSE_TOO_BIG
    start += 8
  }
  if (length > maxBytes) return CLOSE_TOO_BIG
  if (end - start < 4 + length) return 'more'
  frame.opcode = opcode
  frame.final = first >= 0x80
  frame.start = start + 4
  frame.end = start + 4 + length
  unmask(bytes, start, frame.start, frame.end)
  return 'frame'
}

const WORDS_FROM_BYTES = 64

/** Word by word where that pays: four times as fast as byte by byte. */
function unmask(bytes: Uint8Array, mask: number, start: number, end: number): void {
  const m0 = bytes[mask]!
  const m1 = bytes[mask + 1]!
  const m2 = bytes[mask + 2]!
  const m3 = bytes[mask + 3]!
  let at = start
  if (end - start >= WORDS_FROM_BYTES && LITTLE_ENDIAN) {
    // Up to a multiple of four in memory the mask turns along.
    const skew = (4 - ((bytes.byteOffset + start) & 3)) & 3
    for (let i = 0; i < skew; i++) bytes[at++]! ^= i === 0 ? m0 : i === 1 ? m1 : m2
    const word =
      skew === 0
        ? m0 | (m1 << 8) | (m2 << 16) | (m3 << 24)
        : skew === 1
          ? m1 | (m2 << 8) | (m3 << 16) | (m0 << 24)
          : skew === 2
            ? m2 | (m3 << 8) | (m0 << 16) | (m1 << 24)
            : m3 | (m0 << 8) | (m1 << 16) | (m2 << 24)
    const count = (end - at) >>> 2
    const words = wordsUnder(bytes)
    const first = (bytes.byteOffset + at) >>> 2
    const last = first + count
    let i = first
    // Four in a row take two thirds of the time.
    for (; i + 3 < last; i += 4) {
      words[i]! ^= word
      words[i + 1]! ^= word
      words[i + 2]! ^= word
      words[i + 3]! ^= word
    }
    for (; i < last; i++) words[i]! ^= word
    at += count * 4
  }
  for (; at < end; at++) {
    const turn = (at - start) & 3
    bytes[at]! ^= turn === 0 ? m0 : turn === 1 ? m1 : turn === 2 ? m2 : m3
  }
}

/** Bytes of the head of a frame with so much payload. */
export function frameHeadBytes(payloadBytes: number): number {
  return payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10
}

/** Writes the head of a final frame; returns the offset behind it. */
export function writeFrameHead(
  target: Uint8Array,
  offset: number,
  opcode: number,
  payloadBytes: number,
): number {
  target[offset] = 0x80 | opcode
  if (payloadBytes < 126) {
    target[offset + 1] = payloadBytes
    return offset + 2
  }
  if (payloadBytes < 65_536) {
    target[offset + 1] = 126
    writeU16BE(target, offset + 2, payloadBytes)
    return offset + 4
  }
  target[offset + 1] = 127
  writeU32BE(target, offset + 2, 0)
  writeU32BE(target, offset + 6, payloadBytes)
  return offset + 10
}

export const CLOSE_BYTES = 4

/** Writes a close frame with its code. */
export function writeClose(target: Uint8Array, offset: number, code: number): void {
  writeU16BE(target, writeFrameHead(target, offset, OP_CLOSE, 2), code)
}

/** Whether a close frame may carry this code (RFC 6455, section 7.4). */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code < 5000
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006
}
