/**
 * Internet addresses as the protocols carry them, 4 or 16 bytes, and as text in the one canonical form
 * (RFC 5952) that sockets report, so that equal addresses are equal strings. An IPv4 address mapped
 * into IPv6 is the IPv4 address.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { readU16BE } from '../../base/index.ts'

/** Text of the 4 or 16 bytes at `offset`. */
export function formatAddress(bytes: Uint8Array, offset: number, size: 4 | 16): string {
  if (size === 4) return formatIPv4(bytes, offset)
  if (isMapped(bytes, offset)) return formatIPv4(bytes, offset + 12)
  const words: number[] = []
  for (let i = 0; i < 16; i += 2) words.push(readU16BE(bytes, offset + i))
  const [from, to] = longestZeros(words)
  const hex = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(':')
  if (to - from < 2) return hex(words)
  return `${hex(words.slice(0, from))}::${hex(words.slice(to))}`
}

/** 4 or 16 bytes of an address, or null when the text is none. A zone (`%eth0`) is left out. */
export function parseAddress(text: string): Uint8Array | null {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number)
  if (!isIPv6(text)) return null
  const bytes = new Uint8Array(16)
  const [front, back] = text.replace(/%.*$/, '').split('::')
  const head = groupBytes(front!)
  const tail = groupBytes(back ?? '')
  bytes.set(head)
  bytes.set(tail, 16 - tail.length)
  return isMapped(bytes, 0) ? bytes.slice(12) : bytes
}

function formatIPv4(bytes: Uint8Array, offset: number): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`
}

function isMapped(bytes: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[offset + i] !== 0) return false
  return bytes[offset + 10] === 0xff && bytes[offset + 11] === 0xff
}

/** The first of the longest runs of zero words: from, and before where. */
function longestZeros(words: readonly number[]): readonly [number, number] {
  let best: readonly [number, number] = [0, 0]
  for (let from = 0; from < words.length; from++) {
    let to = from
    while (to < words.length && words[to] === 0) to++
    if (to - from > best[1] - best[0]) best = [from, to]
    from = Math.max(from, to - 1)
  }
  return best
}

/** Bytes of `20:a:1.2.3.4`: hexadecimal words, perhaps an IPv4 address at the end. */
function groupBytes(groups: string): number[] {
  if (groups === '') return []
  return groups.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const word = Number.parseInt(group, 16)
    return [word >>> 8, word & 0xff]
  })
}
