/**
 * The datagrams of the UDP tracker protocol (BEP 15), big endian, and the options behind an announce
 * (BEP 41).
 *
 * ```
 * connect    0x41727101980 8, action 0 4, transaction 4
 *    reply   action 0 4, transaction 4, connection 8
 * announce   connection 8, action 1 4, transaction 4, info-hash 20, peer id 20,
 *            downloaded 8, left 8, uploaded 8, event 4, address 4, key 4, numwant 4, port 2
 *            then options: 2, length 1, a piece of path and query
 *    reply   action 1 4, transaction 4, interval 4, leechers 4, seeders 4, peers
 * error      action 3 4, transaction 4, text
 * ```
 */
import { asBuffer, fromLatin1, readU32BE, writeU16BE, writeU32BE } from '../../base/index.ts'
import { parseCompactPeers } from './compact.ts'
import {
  type AnnounceEvent,
  type AnnounceRequest,
  type AnnounceResult,
  announceIntervalMs,
  printable,
} from './types.ts'

export const UdpAction = { connect: 0, announce: 1, error: 3 } as const

/** Action and transaction: what every reply begins with. */
export const UDP_HEADER_BYTES = 8

const CONNECT_BYTES = 16
const ANNOUNCE_BYTES = 98
const CONNECT_REPLY_BYTES = 16
const ANNOUNCE_REPLY_BYTES = 20
const PROTOCOL_HIGH = 0x417
const PROTOCOL_LOW = 0x27101980
const EVENTS: Readonly<Record<AnnounceEvent, number>> = {
  none: 0,
  completed: 1,
  started: 2,
  stopped: 3,
  // BEP 15 has no number for it.
  paused: 0,
}
const OPTION_URL_DATA = 2
const OPTION_MAX_BYTES = 255

export function writeConnect(transaction: number): Uint8Array {
  const packet = new Uint8Array(CONNECT_BYTES)
  writeU32BE(packet, 0, PROTOCOL_HIGH)
  writeU32BE(packet, 4, PROTOCOL_LOW)
  writeU32BE(packet, 8, UdpAction.connect)
  writeU32BE(packet, 12, transaction)
  return packet
}

/** `path` is path and query of the announce URL, empty when it has none. */
export function writeAnnounce(
  connection: Uint8Array,
  transaction: number,
  request: AnnounceRequest,
  path: string,
): Uint8Array {
  const urlData = fromLatin1(path)
  const options = Math.ceil(urlData.length / OPTION_MAX_BYTES)
  const packet = new Uint8Array(ANNOUNCE_BYTES + 2 * options + urlData.length)
  packet.set(connection, 0)
  writeU32BE(packet, 8, UdpAction.announce)
  writeU32BE(packet, 12, transaction)
  packet.set(request.infoHash, 16)
  packet.set(request.peerId, 36)
  writeU64BE(packet, 56, request.downloaded)
  writeU64BE(packet, 64, request.left)
  writeU64BE(packet, 72, request.uploaded)
  writeU32BE(packet, 80, EVENTS[request.event])
  // 84: the address, 0 for the one that the datagram comes from.
  writeU32BE(packet, 88, request.key)
  writeU32BE(packet, 92, request.numWant)
  writeU16BE(packet, 96, request.port)
  let at = ANNOUNCE_BYTES
  for (let from = 0; from < urlData.length; from += OPTION_MAX_BYTES) {
    const part = urlData.subarray(from, from + OPTION_MAX_BYTES)
    packet[at] = OPTION_URL_DATA
    packet[at + 1] = part.length
    packet.set(part, at + 2)
    at += 2 + part.length
  }
  return packet
}

/** The connection's 8 bytes, or null when the reply is too short. */
export function parseConnectReply(reply: Uint8Array): Uint8Array | null {
  return reply.length < CONNECT_REPLY_BYTES ? null : Uint8Array.from(reply.subarray(8, 16))
}

/** Null when the reply is too short. `family` is the one that it came over: it decides the peers' size. */
export function parseAnnounceReply(reply: Uint8Array, family: 4 | 6): AnnounceResult | null {
  if (reply.length < ANNOUNCE_REPLY_BYTES) return null
  return {
    intervalMs: announceIntervalMs(readU32BE(reply, 8)),
    leechers: readU32BE(reply, 12),
    seeders: readU32BE(reply, 16),
    peers: parseCompactPeers(reply, ANNOUNCE_REPLY_BYTES, family),
  }
}

/** The reason in an error reply. */
export function parseErrorReply(reply: Uint8Array): string {
  return printable(asBuffer(reply.subarray(UDP_HEADER_BYTES)).toString('utf8'))
}

function writeU64BE(target: Uint8Array, offset: number, value: number): void {
  writeU32BE(target, offset, Math.floor(value / 2 ** 32))
  writeU32BE(target, offset + 4, value % 2 ** 32)
}
