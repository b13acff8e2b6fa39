/**
 * The routes of Linux, as /proc/net tells them: of them the default one of each family, by which the gateway is known.
 *
 * ```
 * route       Iface Destination Gateway Flags RefCnt Use Metric Mask …     one line a route, a head line first; addresses are words in
 *             eth0  00000000    0101A8C0 0003 0     0   100    00000000     the byte order of the machine, here little-endian: 192.168.1.1
 * ipv6_route  destination length source length next-hop metric refs use flags interface     no head line; all in hexadecimal
 * ```
 */
import { fromHex } from '../../base/index.ts'
import { formatAddress } from '../wire/address.ts'

/** Flags of a route (linux/route.h). */
const UP = 0x1
const HAS_GATEWAY = 0x2
const REJECT = 0x200
/** A head of the table: default routes come first in that of IPv4. */
const MAX_LINES = 4_096

export interface DefaultRoute {
  readonly interfaceName: string
  /** Undefined where everything behind the interface is reached straight. */
  readonly gateway: string | undefined
}

interface Candidate extends DefaultRoute {
  /** Bits of the destination that are given: 0, or 1 where two routes stand for all, as VPNs have them. */
  readonly length: number
  readonly metric: number
}

/** Of IPv4; undefined when there is none. Lines that are no routes are passed over. */
export function parseRoutes(text: string, littleEndian: boolean): DefaultRoute | undefined {
  const candidates: Candidate[] = []
  for (const line of linesOf(text)) {
    const [interfaceName = '', to = '', by = '', flagDigits = '', , , metric = '', mask = ''] =
      line.split(/\s+/)
    const destination = wordOf(to, littleEndian)
    const gateway = wordOf(by, littleEndian)
    const length = ['0.0.0.0', '128.0.0.0'].indexOf(wordOf(mask, littleEndian) ?? '')
    const flags = /^[0-9A-F]{1,8}$/i.test(flagDigits) ? Number.parseInt(flagDigits, 16) : 0
    if (destination !== '0.0.0.0' || length < 0 || gateway === undefined) continue
    if (!isUsed(flags) || !/^\d{1,10}$/.test(metric)) continue
    candidates.push({
      interfaceName,
      gateway: (flags & HAS_GATEWAY) !== 0 ? gateway : undefined,
      length,
      metric: Number(metric),
    })
  }
  return bestOf(candidates)
}

/** As `parseRoutes`, of IPv6. */
export function parseRoutes6(text: string): DefaultRoute | undefined {
  const candidates: Candidate[] = []
  for (const line of linesOf(text)) {
    const columns = line.split(/\s+/)
    const [
      to = '',
      digits = '',
      ,
      ,
      by = '',
      metric = '',
      ,
      ,
      flagDigits = '',
      interfaceName = '',
    ] = columns
    const nextHop = /^[0-9a-f]{32}$/i.test(by) ? fromHex(by) : null
    const length = ['00', '01'].indexOf(digits)
    if (!/^0{32}$/.test(to) || length < 0 || nextHop === null || interfaceName === '') continue
    if (!/^[0-9a-f]{8}$/i.test(metric) || !/^[0-9a-f]{8}$/i.test(flagDigits)) continue
    const flags = Number.parseInt(flagDigits, 16)
    if (!isUsed(flags)) continue
    candidates.push({
      interfaceName,
      gateway: (flags & HAS_GATEWAY) !== 0 ? formatAddress(nextHop, 0, 16) : undefined,
      length,
      metric: Number.parseInt(metric, 16),
    })
  }
  return bestOf(candidates)
}

function linesOf(text: string): string[] {
  return text
    .split('\n', MAX_LINES)
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

function isUsed(flags: number): boolean {
  return (flags & UP) !== 0 && (flags & REJECT) === 0
}

/** An address of IPv4 from a word in hexadecimal. */
function wordOf(digits: string, littleEndian: boolean): string | undefined {
  const bytes = /^[0-9A-F]{8}$/i.test(digits) ? fromHex(digits) : null
  if (bytes === null) return undefined
  return formatAddress(littleEndian ? bytes.reverse() : bytes, 0, 4)
}

/** The more specific one, and of those alike the one of the lower metric: as the system chooses. */
function bestOf(candidates: readonly Candidate[]): DefaultRoute | undefined {
  const [best] = [...candidates].sort((a, b) => b.length - a.length || a.metric - b.metric)
  return best && { interfaceName: best.interfaceName, gateway: best.gateway }
}
