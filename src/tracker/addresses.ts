/** IP addresses between text and bytes. IPv4-mapped IPv6 addresses are IPv4 everywhere. */
import { HEX_OF } from './http-bytes.ts'

/** The longest text of an address that is read; with a zone it may be longer than 45. */
const MAX_TEXT_BYTES = 64
const DOT = 0x2e
const COLON = 0x3a
const ZONE = 0x25

const textScratch = new Uint8Array(MAX_TEXT_BYTES)
const addressScratch = new Uint8Array(16)

/** 4 or 16 bytes, or null when the text is no address. A zone (`%eth0`) is dropped. */
export function parseAddress(text: string): Uint8Array | null {
  if (text.length > MAX_TEXT_BYTES) return null
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return null
    textScratch[i] = code
  }
  const length = readAddress(textScratch, 0, text.length, addressScratch)
  return length === 0 ? null : addressScratch.slice(0, length)
}

/**
 * Reads the address in `bytes[start…end)` into `target`, 16 bytes: returns 4 or 16, how many of them it has, or 0 when
 * it is none. Allocates nothing.
 */
export function readAddress(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): 0 | 4 | 16 {
  if (end - start > MAX_TEXT_BYTES) return 0
  for (let at = start; at < end; at++) {
    if (bytes[at] === COLON) return readIpv6(bytes, start, end, target)
  }
  return readIpv4(bytes, start, end, target, 0) ? 4 : 0
}

/** The IPv4 address in an IPv4-mapped one; any other as it is. */
export function unmapped(address: Uint8Array): Uint8Array {
  return address.length === 16 && isMapped(address, 0) ? address.slice(12) : address
}

/** Whether the 16 bytes at `bytes[at…]` are an IPv4-mapped address: `::ffff:0:0/96` (RFC 4291, section 2.5.5.2). */
export function isMapped(bytes: Uint8Array, at: number): boolean {
  if (bytes[at + 10] !== 0xff || bytes[at + 11] !== 0xff) return false
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false
  return true
}

/** Writes the text of an address of 4 or 16 bytes as ASCII; returns the offset behind it (at most 39 more). */
export function writeAddressText(
  address: Uint8Array,
  from: number,
  length: number,
  target: Uint8Array,
  offset: number,
): number {
  let at = offset
  if (length === 4) {
    for (let i = 0; i < 4; i++) {
      if (i > 0) target[at++] = 0x2e
      at = writeDecimal(address[from + i]!, target, at)
    }
    return at
  }
  for (let i = 0; i < 16; i += 2) {
    if (i > 0) target[at++] = 0x3a
    const group = (address[from + i]! << 8) | address[from + i + 1]!
    for (let shift = group > 0xfff ? 12 : group > 0xff ? 8 : group > 0xf ? 4 : 0; shift >= 0; ) {
      const digit = (group >>> shift) & 15
      target[at++] = digit < 10 ? 0x30 + digit : 0x57 + digit
      shift -= 4
    }
  }
  return at
}

/** Writes a whole number below 2^53 in decimal; returns the offset behind it. */
export function writeDecimal(value: number, target: Uint8Array, offset: number): number {
  let digits = 1
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++
  let rest = value
  for (let at = offset + digits - 1; at >= offset; at--) {
    const next = Math.floor(rest / 10)
    target[at] = 0x30 + (rest - next * 10)
    rest = next
  }
  return offset + digits
}

function readIpv4(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  to: number,
): boolean {
  let part = 0
  let digits = 0
  let value = 0
  for (let at = start; at <= end; at++) {
    const byte = at < end ? bytes[at]! : DOT
    if (byte === DOT) {
      if (digits === 0 || part === 4) return false
      target[to + part++] = value
      digits = 0
      value = 0
      continue
    }
    // A leading zero is octal to some and decimal to others: refused.
    if (byte < 0x30 || byte > 0x39 || (digits > 0 && value === 0)) return false
    value = value * 10 + byte - 0x30
    digits++
    if (value > 255) return false
  }
  return part === 4
}

function readIpv6(bytes: Uint8Array, start: number, end: number, target: Uint8Array): 0 | 4 | 16 {
  let stop = start
  while (stop < end && bytes[stop] !== ZONE) stop++
  // A zone has a name.
  if (stop === end - 1) return 0
  let at = start
  let bytesRead = 0
  // Where `::` stands, in bytes of the address.
  let gap = -1
  if (bytes[at] === COLON) {
    if (at + 1 >= stop || bytes[at + 1] !== COLON) return 0
    gap = 0
    at += 2
  }
  while (at < stop) {
    if (bytesRead === 16) return 0
    const from = at
    let value = 0
    for (; at < stop && at - from < 5 && HEX_OF[bytes[at]!]! < 16; at++) {
      value = (value << 4) | HEX_OF[bytes[at]!]!
    }
    if (at < stop && bytes[at] === DOT) {
      if (bytesRead > 12 || !readIpv4(bytes, from, stop, target, bytesRead)) return 0
      bytesRead += 4
      break
    }
    if (at === from || at - from > 4) return 0
    target[bytesRead++] = value >>> 8
    target[bytesRead++] = value
    if (at === stop) break
    if (bytes[at++] !== COLON || at === stop) return 0
    if (bytes[at] === COLON) {
      if (gap >= 0) return 0
      gap = bytesRead
      at++
    }
  }
  if (gap < 0 ? bytesRead !== 16 : bytesRead > 14) return 0
  if (gap >= 0) {
    const moved = bytesRead - gap
    target.copyWithin(16 - moved, gap, bytesRead)
    target.fill(0, gap, 16 - moved)
  }
  return unmapInPlace(target)
}

/** An IPv4-mapped address moves to the front. */
function unmapInPlace(address: Uint8Array): 4 | 16 {
  if (address[10] !== 0xff || address[11] !== 0xff) return 16
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return 16
  address.copyWithin(0, 12, 16)
  return 4
}
