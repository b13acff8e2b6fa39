/** IP addresses between text and bytes. IPv4-mapped IPv6 addresses are IPv4 everywhere. */

/** 4 or 16 bytes, or null when the text is no address. A zone (`%eth0`) is dropped. */
export function parseAddress(text: string): Uint8Array | null {
  if (text.length > 64) return null
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text)
}

/** The IPv4 address in an IPv4-mapped one; any other as it is. */
export function unmapped(address: Uint8Array): Uint8Array {
  if (address.length !== 16 || address[10] !== 0xff || address[11] !== 0xff) return address
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return address
  return address.slice(12)
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

function parseIpv4(text: string): Uint8Array | null {
  const address = new Uint8Array(4)
  let part = 0
  let digits = 0
  let value = 0
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 0x2e
    if (code === 0x2e) {
      if (digits === 0 || part === 4) return null
      address[part++] = value
      digits = 0
      value = 0
      continue
    }
    // A leading zero is octal to some and decimal to others: refused.
    if (code < 0x30 || code > 0x39 || (digits > 0 && value === 0)) return null
    value = value * 10 + code - 0x30
    digits++
    if (value > 255) return null
  }
  return part === 4 ? address : null
}

function parseIpv6(text: string): Uint8Array | null {
  const zone = text.indexOf('%')
  let rest = zone < 0 ? text : text.slice(0, zone)
  if (zone === text.length - 1) return null
  const address = new Uint8Array(16)
  let end = 16
  const lastColon = rest.lastIndexOf(':')
  if (rest.includes('.')) {
    const tail = parseIpv4(rest.slice(lastColon + 1))
    if (tail === null) return null
    address.set(tail, 12)
    end = 12
    // Keeps `::` in front of the IPv4 part, drops a single colon.
    rest = rest.slice(0, rest[lastColon - 1] === ':' ? lastColon + 1 : lastColon)
  }
  const halves = rest.split('::')
  if (halves.length > 2) return null
  const head = groups(halves[0]!)
  const tail = halves.length === 2 ? groups(halves[1]!) : []
  if (head === null || tail === null) return null
  const room = end / 2 - head.length - tail.length
  if (halves.length === 2 ? room < 1 : room !== 0) return null
  for (const [i, group] of head.entries()) {
    address[i * 2] = group >>> 8
    address[i * 2 + 1] = group
  }
  for (const [i, group] of tail.entries()) {
    const at = end - (tail.length - i) * 2
    address[at] = group >>> 8
    address[at + 1] = group
  }
  return unmapped(address)
}

function groups(text: string): number[] | null {
  if (text === '') return []
  const found: number[] = []
  for (const group of text.split(':')) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return null
    found.push(Number.parseInt(group, 16))
  }
  return found
}
