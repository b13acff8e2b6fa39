/**
 * Whom to be connected to (BEP 40): a number for each pair of addresses, the same on both sides, that nobody can choose without choosing
 * where they are. Who keeps the peers of the highest numbers is in a swarm whose connections are spread evenly, and cannot be crowded
 * out by many addresses of one network.
 *
 * ```
 * crc32c of both addresses, masked, the lower one first; of both ports where the addresses are the same
 *
 * IPv4  ff.ff.55.55            in the same /16  ff.ff.ff.55     in the same /24  as it is
 * IPv6  ffff:ffff:ffff:5555:…  in the same /48  the first 7 bytes as they are   in the same /56  the first 8, and so on
 * ```
 */
import { CRC_START, finishCrc, updateCrc, writeU16BE } from '../base/index.ts'
import { parseAddress } from './wire/address.ts'

interface Endpoint {
  readonly host: string
  readonly port: number
}

/** Half of each byte beyond is the choice of who has the network. */
const MASK = 0x55
/** Bytes of a network that one cannot choose at will: of IPv4, of IPv6. */
const FIRM_BYTES: Readonly<Record<number, number>> = { 4: 2, 16: 6 }

/** 0 to 2^32 - 1, the higher the better; 0 when the two are not of one family. */
export function peerPriority(one: Endpoint, other: Endpoint): number {
  const a = parseAddress(one.host)
  const b = parseAddress(other.host)
  if (a === null || b === null || a.length !== b.length) return 0
  let same = 0
  while (same < a.length && a[same] === b[same]) same++
  if (same === a.length) return crcOf(portBytes(one.port), portBytes(other.port))
  const firm = FIRM_BYTES[a.length]!
  const kept = same < firm ? firm : Math.min(a.length, same + 1)
  for (let i = kept; i < a.length; i++) {
    a[i]! &= MASK
    b[i]! &= MASK
  }
  return crcOf(a, b)
}

function portBytes(port: number): Uint8Array {
  const bytes = new Uint8Array(2)
  writeU16BE(bytes, 0, port)
  return bytes
}

function crcOf(one: Uint8Array, other: Uint8Array): number {
  const [low, high] = Buffer.compare(one, other) <= 0 ? [one, other] : [other, one]
  const state = updateCrc(CRC_START, low, 0, low.length)
  return finishCrc(updateCrc(state, high, 0, high.length))
}
