/**
 * The PROXY protocol, version 2: whose connection it is, said by a proxy before anything else.
 *
 *     0   0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a
 *     12  version 2 (4 bits), command: 0 local, 1 proxy
 *     13  family (4 bits): 1 IPv4, 2 IPv6; transport (4 bits): 1 stream
 *     14  bytes that follow (2)
 *     16  source address, destination address (4 or 16 each), source port, destination port (2 each), more fields …
 */
import { readU16BE } from '../base/index.ts'

const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
const FIXED_BYTES = 16
/** Addresses and as many further fields as proxies send. */
export const MAX_PROXY_HEADER_BYTES: number = FIXED_BYTES + 2048

export interface ProxyHeader {
  /** Bytes of the whole header. */
  readonly length: number
  /** 4 or 16 bytes; null when the proxy speaks for itself, or of something that is no IP. */
  readonly source: Uint8Array | null
}

/** `more`: not whole yet. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader | 'more' | 'invalid' {
  for (let i = 0; i < SIGNATURE.length && i < bytes.length; i++) {
    if (bytes[i] !== SIGNATURE[i]) return 'invalid'
  }
  if (bytes.length < FIXED_BYTES) return 'more'
  const command = bytes[12]! & 15
  if (bytes[12]! >>> 4 !== 2 || command > 1) return 'invalid'
  const length = FIXED_BYTES + readU16BE(bytes, 14)
  if (length > MAX_PROXY_HEADER_BYTES) return 'invalid'
  if (bytes.length < length) return 'more'
  const family = bytes[13]! >>> 4
  if (command === 0 || (family !== 1 && family !== 2)) return { length, source: null }
  const addressBytes = family === 1 ? 4 : 16
  if (length < FIXED_BYTES + 2 * addressBytes + 4) return 'invalid'
  return { length, source: bytes.slice(FIXED_BYTES, FIXED_BYTES + addressBytes) }
}
