/**
 * The Port Control Protocol, version 2 (RFC 6887), as far as opcode MAP: a port of ours is opened in a NAT or a firewall.
 *
 * ```
 *  0       1       2       3                       0       1       2       3
 * +-------+-------+---------------+               +-------+-------+-------+-------+
 * | 2     |0| op  | 0             |   0           | 2     |1| op  | 0     |result |   0
 * | lifetime asked for, s         |   4           | lifetime, s                   |   4
 * | address of the client,        |   8           | epoch, s                      |   8
 * |   16 bytes                    |               | 0, 12 bytes                   |  12
 * +-------------------------------+               +-------------------------------+
 * | nonce, 12 bytes               |  24   MAP     | nonce, 12 bytes               |  24
 * | transport | 0, 3 bytes        |  36           | transport | 0, 3 bytes        |  36
 * | inner port    | outer port    |  40           | inner port    | outer port    |  40
 * | outer address, 16 bytes       |  44           | outer address, 16 bytes       |  44
 * +-------------------------------+  60           +-------------------------------+  60
 *   request, the outer place suggested              answer; options may follow
 * ```
 *
 * IPv4 addresses are mapped into IPv6 (`::ffff:a.b.c.d`).
 */
import { readU16BE, readU32BE, writeU16BE, writeU32BE } from '../../base/index.ts'
import { formatAddress, parseAddress } from '../wire/address.ts'
import type { TransportNumber } from './types.ts'

const VERSION = 2
const MAP = 1
const ANSWER_BIT = 0x80
export const NONCE_BYTES = 12
const HEADER_BYTES = 24
const MAP_BYTES = 60
/** Of a message (section 7). */
const MAX_BYTES = 1100

/** Section 7.4, by number. */
const RESULTS: readonly string[] = [
  'SUCCESS',
  'UNSUPP_VERSION',
  'NOT_AUTHORIZED',
  'MALFORMED_REQUEST',
  'UNSUPP_OPCODE',
  'UNSUPP_OPTION',
  'MALFORMED_OPTION',
  'NETWORK_FAILURE',
  'NO_RESOURCES',
  'UNSUPP_PROTOCOL',
  'USER_EX_QUOTA',
  'CANNOT_PROVIDE_EXTERNAL',
  'ADDRESS_MISMATCH',
  'EXCESSIVE_REMOTE_PEERS',
]

export interface PcpMapRequest {
  /** Seconds; 0 takes the mapping away. */
  readonly lifetimeS: number
  /** Ours, from which this is sent. */
  readonly client: string
  /** NONCE_BYTES, the same for as long as there is the mapping. */
  readonly nonce: Uint8Array
  readonly transport: TransportNumber
  readonly innerPort: number
  readonly outerPort: number
}

export interface PcpMapping {
  readonly nonce: Uint8Array
  readonly transport: number
  readonly innerPort: number
  readonly outerPort: number
  readonly outerAddress: string
}

export interface PcpAnswer {
  readonly kind: 'answer'
  /** 0 is success. */
  readonly result: number
  /** Of the mapping, or for how long the same error is to be expected. */
  readonly lifetimeS: number
  readonly epochS: number
  /** Of an answer to MAP. */
  readonly mapping: PcpMapping | undefined
}

/** Who sent it does not speak our version: maybe that of NAT-PMP, which is 0. */
export interface PcpRefusal {
  readonly kind: 'version'
  readonly version: number
}

/** 60 bytes. */
export function encodePcpMap(request: PcpMapRequest): Uint8Array {
  const bytes = new Uint8Array(MAP_BYTES)
  bytes[0] = VERSION
  bytes[1] = MAP
  writeU32BE(bytes, 4, request.lifetimeS)
  writeAddress(bytes, 8, request.client)
  bytes.set(request.nonce, 24)
  bytes[36] = request.transport
  writeU16BE(bytes, 40, request.innerPort)
  writeU16BE(bytes, 42, request.outerPort)
  // Any address of that family (section 11.1).
  if (!request.client.includes(':')) writeAddress(bytes, 44, '0.0.0.0')
  return bytes
}

/** Null for what is no answer of a gateway, or of an opcode that nobody was asked for here. */
export function parsePcp(bytes: Uint8Array): PcpAnswer | PcpRefusal | null {
  const { length } = bytes
  if (length < 4 || length > MAX_BYTES || (bytes[1]! & ANSWER_BIT) === 0) return null
  const version = bytes[0]!
  if (version !== VERSION) {
    // The result is in two bytes in version 0, and in the second of them in the others.
    return bytes[3] === 0 ? null : { kind: 'version', version }
  }
  if (length < HEADER_BYTES || length % 4 !== 0) return null
  const opcode = bytes[1]! & ~ANSWER_BIT
  if (opcode > MAP || (opcode === MAP && length < MAP_BYTES)) return null
  return {
    kind: 'answer',
    result: bytes[3]!,
    lifetimeS: readU32BE(bytes, 4),
    epochS: readU32BE(bytes, 8),
    mapping: opcode === MAP ? readMapping(bytes) : undefined,
  }
}

function readMapping(bytes: Uint8Array): PcpMapping {
  return {
    nonce: bytes.slice(24, 24 + NONCE_BYTES),
    transport: bytes[36]!,
    innerPort: readU16BE(bytes, 40),
    outerPort: readU16BE(bytes, 42),
    outerAddress: formatAddress(bytes, 44, 16),
  }
}

export function pcpResultName(result: number): string {
  return RESULTS[result] ?? `PCP result ${result}`
}

function writeAddress(bytes: Uint8Array, offset: number, text: string): void {
  const address = parseAddress(text)!
  if (address.length === 4) bytes.fill(0xff, offset + 10, offset + 12)
  bytes.set(address, offset + 16 - address.length)
}
