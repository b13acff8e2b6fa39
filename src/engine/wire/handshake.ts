/**
 * The first 68 bytes of a connection (BEP 3), which both sides send.
 *
 * ```
 * 0    1                       20           28             48            68
 * +----+-----------------------+------------+--------------+-------------+
 * | 19 | "BitTorrent protocol" | reserved 8 | info-hash 20 | peer id 20  |
 * +----+-----------------------+------------+--------------+-------------+
 * reserved[5] & 0x10  extension protocol (BEP 10)
 * reserved[7] & 0x04  fast extension (BEP 6)
 * reserved[7] & 0x10  v2 (BEP 52): the answer may name the torrent by its v2 info-hash
 * reserved[7] & 0x01  DHT (BEP 5): tell me your port
 * ```
 */
import { fromLatin1, type Random } from '../../base/index.ts'

export const HANDSHAKE_BYTES = 68

/** What every handshake begins with. */
export const PROTOCOL_PREFIX: Uint8Array = fromLatin1('\x13BitTorrent protocol')

const RESERVED = 20
const INFO_HASH = 28
const PEER_ID = 48
const EXTENDED_BIT = 0x10
const FAST_BIT = 0x04
const V2_BIT = 0x10
const DHT_BIT = 0x01

export interface Handshake {
  /** 20 bytes, a copy. */
  readonly infoHash: Uint8Array
  /** 20 bytes, a copy. */
  readonly peerId: Uint8Array
  /** BEP 10. */
  readonly supportsExtended: boolean
  /** BEP 6. */
  readonly supportsFast: boolean
  /** BEP 52. */
  readonly supportsV2: boolean
  /** BEP 5. */
  readonly supportsDht: boolean
}

/** Writes our handshake at the start of `target`, both extensions offered; returns its 68 bytes' length. */
export function writeHandshake(
  target: Uint8Array,
  handshake: {
    readonly infoHash: Uint8Array
    readonly peerId: Uint8Array
    /** The torrent has a v2 part. */
    readonly supportsV2?: boolean
    /** We are in the DHT, and this is not kept from it. */
    readonly supportsDht?: boolean
  },
): number {
  target.set(PROTOCOL_PREFIX)
  target.fill(0, RESERVED, INFO_HASH)
  target[RESERVED + 5] = EXTENDED_BIT
  const v2 = handshake.supportsV2 === true ? V2_BIT : 0
  const dht = handshake.supportsDht === true ? DHT_BIT : 0
  target[RESERVED + 7] = FAST_BIT | v2 | dht
  target.set(handshake.infoHash, INFO_HASH)
  target.set(handshake.peerId, PEER_ID)
  return HANDSHAKE_BYTES
}

/** Null when `bytes` is not 68 bytes that begin as a handshake does. */
export function parseHandshake(bytes: Uint8Array): Handshake | null {
  if (bytes.length !== HANDSHAKE_BYTES || !beginsAsHandshake(bytes, 0, bytes.length)) return null
  return {
    infoHash: Uint8Array.from(bytes.subarray(INFO_HASH, PEER_ID)),
    peerId: Uint8Array.from(bytes.subarray(PEER_ID)),
    supportsExtended: (bytes[RESERVED + 5]! & EXTENDED_BIT) !== 0,
    supportsFast: (bytes[RESERVED + 7]! & FAST_BIT) !== 0,
    supportsV2: (bytes[RESERVED + 7]! & V2_BIT) !== 0,
    supportsDht: (bytes[RESERVED + 7]! & DHT_BIT) !== 0,
  }
}

/** Whether the `count` bytes at `offset`, perhaps too few yet, can still become a handshake. */
export function beginsAsHandshake(bytes: Uint8Array, offset: number, count: number): boolean {
  const known = Math.min(count, PROTOCOL_PREFIX.length)
  for (let i = 0; i < known; i++) if (bytes[offset + i] !== PROTOCOL_PREFIX[i]) return false
  return true
}

/** `SE` stands for nobody in the tables of libtorrent, Transmission and BiglyBT; `SB` is Swiftbit's. */
const PEER_ID_PREFIX = fromLatin1('-SE0100-')

/** Our peer id (BEP 20, Azureus style): `-SE0100-` and twelve random bytes. */
export function makePeerId(random: Random): Uint8Array {
  const peerId = new Uint8Array(20)
  random.fill(peerId)
  peerId.set(PEER_ID_PREFIX)
  return peerId
}
