/**
 * NAT-PMP (RFC 6886): what came before PCP, on the same port, for IPv4 alone.
 *
 * ```
 *            0      1      2      4             8             12          16
 * ask        | 0    | 0    |                                                  which address has the gateway outside?
 * map        | 0    | 1, 2 | 0    | inner, outer port | lifetime, s |         UDP is 1, TCP is 2; a lifetime of 0 takes it away
 * answer     | 0    |128+op|result| epoch, s    | address     |               to ask; also said to all when it starts
 *            | 0    |128+op|result| epoch, s    | inner, outer | lifetime, s| to map
 * ```
 *
 * An answer with an error may end behind its epoch.
 */
import { readU16BE, readU32BE, writeU16BE, writeU32BE } from '../../base/index.ts'
import { formatAddress } from '../wire/address.ts'
import { TransportNumber } from './types.ts'

const VERSION = 0
const ANSWER_BIT = 0x80
const HEADER_BYTES = 8
const ADDRESS_BYTES = 12
const MAP_BYTES = 16

export const NatPmpOpcode = { address: 0, mapUdp: 1, mapTcp: 2 } as const
export type NatPmpOpcode = (typeof NatPmpOpcode)[keyof typeof NatPmpOpcode]

/** Section 3.5, by number. */
const RESULTS: readonly string[] = [
  'success',
  'unsupported version',
  'not authorized',
  'network failure',
  'out of resources',
  'unsupported opcode',
]

export interface NatPmpMapRequest {
  readonly transport: TransportNumber
  readonly innerPort: number
  /** A suggestion. */
  readonly outerPort: number
  /** Seconds; 0 takes the mapping away. */
  readonly lifetimeS: number
}

export interface NatPmpAnswer {
  /** Of the request. */
  readonly opcode: NatPmpOpcode
  /** 0 is success. */
  readonly result: number
  readonly epochS: number
  /** Of success, when the address was asked for. */
  readonly address: string | undefined
  /** Of success, when a port was to be mapped. */
  readonly mapping: Omit<NatPmpMapRequest, 'transport'> | undefined
}

export function opcodeOf(transport: TransportNumber): NatPmpOpcode {
  return transport === TransportNumber.udp ? NatPmpOpcode.mapUdp : NatPmpOpcode.mapTcp
}

/** Two bytes. */
export function encodeNatPmpAsk(): Uint8Array {
  return Uint8Array.of(VERSION, NatPmpOpcode.address)
}

/** Twelve bytes. */
export function encodeNatPmpMap(request: NatPmpMapRequest): Uint8Array {
  const bytes = new Uint8Array(12)
  bytes[0] = VERSION
  bytes[1] = opcodeOf(request.transport)
  writeU16BE(bytes, 4, request.innerPort)
  writeU16BE(bytes, 6, request.outerPort)
  writeU32BE(bytes, 8, request.lifetimeS)
  return bytes
}

/** Null for what is no answer of a gateway. */
export function parseNatPmp(bytes: Uint8Array): NatPmpAnswer | null {
  const { length } = bytes
  if (length < HEADER_BYTES || length > MAP_BYTES || bytes[0] !== VERSION) return null
  const opcode = bytes[1]! - ANSWER_BIT
  if (!isOpcode(opcode)) return null
  const result = readU16BE(bytes, 2)
  const asksAddress = opcode === NatPmpOpcode.address
  if (result === 0 && length < (asksAddress ? ADDRESS_BYTES : MAP_BYTES)) return null
  const mapping = { innerPort: 0, outerPort: 0, lifetimeS: 0 }
  if (result === 0 && !asksAddress) {
    mapping.innerPort = readU16BE(bytes, 8)
    mapping.outerPort = readU16BE(bytes, 10)
    mapping.lifetimeS = readU32BE(bytes, 12)
  }
  return {
    opcode,
    result,
    epochS: readU32BE(bytes, 4),
    address: result === 0 && asksAddress ? formatAddress(bytes, 8, 4) : undefined,
    mapping: result === 0 && !asksAddress ? mapping : undefined,
  }
}

export function natPmpResultName(result: number): string {
  return RESULTS[result] ?? `NAT-PMP result ${result}`
}

function isOpcode(opcode: number): opcode is NatPmpOpcode {
  return opcode >= NatPmpOpcode.address && opcode <= NatPmpOpcode.mapTcp
}
