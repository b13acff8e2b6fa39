/**
 * The messages between peers (BEP 3, BEP 6, BEP 10) as bytes to send. Writers fill a buffer of the
 * caller's, allocate nothing, and return the number of bytes written; that the buffer has the room
 * is the caller's to see to.
 *
 * ```
 * +-----------+------+----------------------------+
 * | length  4 | id 1 | payload, length - 1        |   big endian; length 0 is a keep-alive
 * +-----------+------+----------------------------+
 * have, suggest, allowedFast       piece 4
 * request, cancel, reject          piece 4, begin 4, length 4
 * piece                            piece 4, begin 4, the chunk
 * port                             port 2
 * bitfield                         one bit a piece
 * extended                         extension's id 1, its payload
 * ```
 */
import { writeU32BE } from '../../base/index.ts'

export const MessageId = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  notInterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  /** BEP 5: where the DHT is spoken. */
  port: 9,
  suggest: 13,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  allowedFast: 17,
  extended: 20,
  /** BEP 52. */
  hashRequest: 21,
  hashes: 22,
  hashReject: 23,
} as const

/** What everybody requests at a time; larger requests are refused by most peers. */
export const CHUNK_BYTES = 16_384

export const KEEP_ALIVE_BYTES = 4
/** choke, unchoke, interested, notInterested, haveAll, haveNone. */
export const BARE_BYTES = 5
/** have, suggest, allowedFast. */
export const HAVE_BYTES = 9
/** request, cancel, reject. */
export const REQUEST_BYTES = 17
export const PORT_BYTES = 7
/** What precedes a chunk in a piece message. */
export const PIECE_HEADER_BYTES = 13
/** What precedes the bits in a bitfield message. */
export const BITFIELD_HEADER_BYTES = 5
/** What precedes the payload in an extended message. */
export const EXTENDED_HEADER_BYTES = 6

export function writeKeepAlive(target: Uint8Array, offset: number): number {
  writeU32BE(target, offset, 0)
  return KEEP_ALIVE_BYTES
}

function writeBare(target: Uint8Array, offset: number, id: number): number {
  writeU32BE(target, offset, 1)
  target[offset + 4] = id
  return BARE_BYTES
}

function writeOfPiece(target: Uint8Array, offset: number, id: number, piece: number): number {
  writeU32BE(target, offset, 5)
  target[offset + 4] = id
  writeU32BE(target, offset + 5, piece)
  return HAVE_BYTES
}

function writeOfChunk(
  target: Uint8Array,
  offset: number,
  id: number,
  piece: number,
  begin: number,
  length: number,
): number {
  writeU32BE(target, offset, 13)
  target[offset + 4] = id
  writeU32BE(target, offset + 5, piece)
  writeU32BE(target, offset + 9, begin)
  writeU32BE(target, offset + 13, length)
  return REQUEST_BYTES
}

export function writeChoke(target: Uint8Array, offset: number): number {
  return writeBare(target, offset, MessageId.choke)
}

export function writeUnchoke(target: Uint8Array, offset: number): number {
  return writeBare(target, offset, MessageId.unchoke)
}

export function writeInterested(target: Uint8Array, offset: number): number {
  return writeBare(target, offset, MessageId.interested)
}

export function writeNotInterested(target: Uint8Array, offset: number): number {
  return writeBare(target, offset, MessageId.notInterested)
}

/** BEP 6: only to a peer that supports it, in place of a bitfield. */
export function writeHaveAll(target: Uint8Array, offset: number): number {
  return writeBare(target, offset, MessageId.haveAll)
}

/** BEP 6: only to a peer that supports it, in place of a bitfield. */
export function writeHaveNone(target: Uint8Array, offset: number): number {
  return writeBare(target, offset, MessageId.haveNone)
}

export function writeHave(target: Uint8Array, offset: number, piece: number): number {
  return writeOfPiece(target, offset, MessageId.have, piece)
}

/** BEP 6. */
export function writeSuggest(target: Uint8Array, offset: number, piece: number): number {
  return writeOfPiece(target, offset, MessageId.suggest, piece)
}

/** BEP 6. */
export function writeAllowedFast(target: Uint8Array, offset: number, piece: number): number {
  return writeOfPiece(target, offset, MessageId.allowedFast, piece)
}

export function writeRequest(
  target: Uint8Array,
  offset: number,
  piece: number,
  begin: number,
  length: number,
): number {
  return writeOfChunk(target, offset, MessageId.request, piece, begin, length)
}

export function writeCancel(
  target: Uint8Array,
  offset: number,
  piece: number,
  begin: number,
  length: number,
): number {
  return writeOfChunk(target, offset, MessageId.cancel, piece, begin, length)
}

/** BEP 6. */
export function writeReject(
  target: Uint8Array,
  offset: number,
  piece: number,
  begin: number,
  length: number,
): number {
  return writeOfChunk(target, offset, MessageId.reject, piece, begin, length)
}

/** BEP 5: only to a peer that is in the DHT. */
export function writePort(target: Uint8Array, offset: number, port: number): number {
  writeU32BE(target, offset, 3)
  target[offset + 4] = MessageId.port
  target[offset + 5] = port >>> 8
  target[offset + 6] = port
  return PORT_BYTES
}

/** The 13 bytes before a chunk of `length` bytes, which the caller sends after them, uncopied. */
export function writePieceHeader(
  target: Uint8Array,
  offset: number,
  piece: number,
  begin: number,
  length: number,
): number {
  writeU32BE(target, offset, 9 + length)
  target[offset + 4] = MessageId.piece
  writeU32BE(target, offset + 5, piece)
  writeU32BE(target, offset + 9, begin)
  return PIECE_HEADER_BYTES
}

/** The whole message, bits copied: 5 bytes and `bits.length`. */
export function writeBitfield(target: Uint8Array, offset: number, bits: Uint8Array): number {
  writeU32BE(target, offset, 1 + bits.length)
  target[offset + 4] = MessageId.bitfield
  target.set(bits, offset + BITFIELD_HEADER_BYTES)
  return BITFIELD_HEADER_BYTES + bits.length
}

/**
 * The whole message (BEP 10), payload copied: 6 bytes and `payload.length`. `id` is 0 for the extended
 * handshake, otherwise the number that the receiver chose in its own.
 */
export function writeExtended(
  target: Uint8Array,
  offset: number,
  id: number,
  payload: Uint8Array,
): number {
  writeU32BE(target, offset, 2 + payload.length)
  target[offset + 4] = MessageId.extended
  target[offset + 5] = id
  target.set(payload, offset + EXTENDED_HEADER_BYTES)
  return EXTENDED_HEADER_BYTES + payload.length
}
