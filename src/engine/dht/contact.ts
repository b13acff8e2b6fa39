/**
 * A node of the DHT as others tell of it: its id and where it is reached.
 *
 * ```
 * compact form (BEP 5, BEP 32)   id 20 | address 4 or 16 | port 2
 * ```
 */
import { readU16BE, writeU16BE } from '../../base/index.ts'
import { formatAddress, parseAddress } from '../wire/address.ts'

export const ID_BYTES = 20

export interface Contact {
  /** 20 bytes. */
  readonly id: Uint8Array
  readonly host: string
  readonly port: number
}

export const addressBytesOf = (family: 4 | 6): 4 | 16 => (family === 4 ? 4 : 16)

/** At most `most` contacts; those without a port, and a rest too short for one, are left out. */
export function parseContacts(bytes: Uint8Array, family: 4 | 6, most: number): Contact[] {
  const addressBytes = addressBytesOf(family)
  const size = ID_BYTES + addressBytes + 2
  const contacts: Contact[] = []
  for (let at = 0; at + size <= bytes.length && contacts.length < most; at += size) {
    const port = readU16BE(bytes, at + ID_BYTES + addressBytes)
    if (port === 0) continue
    contacts.push({
      id: bytes.slice(at, at + ID_BYTES),
      host: formatAddress(bytes, at + ID_BYTES, addressBytes),
      port,
    })
  }
  return contacts
}

/** Contacts of another family are left out. */
export function writeContacts(contacts: readonly Contact[], family: 4 | 6): Uint8Array {
  const addressBytes = addressBytesOf(family)
  const size = ID_BYTES + addressBytes + 2
  const bytes = new Uint8Array(size * contacts.length)
  let at = 0
  for (const { id, host, port } of contacts) {
    const endpoint = writeEndpoint(host, port)
    if (endpoint?.length !== addressBytes + 2) continue
    bytes.set(id, at)
    bytes.set(endpoint, at + ID_BYTES)
    at += size
  }
  return bytes.subarray(0, at)
}

/** Address and port, 6 or 18 bytes (BEP 23, BEP 7); null when the host is no address. */
export function writeEndpoint(host: string, port: number): Uint8Array | null {
  const address = parseAddress(host)
  if (address === null) return null
  const bytes = new Uint8Array(address.length + 2)
  bytes.set(address)
  writeU16BE(bytes, address.length, port)
  return bytes
}

/** Bits that two ids share from the left: 160 when they are the same. */
export function sharedBits(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < ID_BYTES; i++) {
    const difference = a[i]! ^ b[i]!
    if (difference !== 0) return 8 * i + Math.clz32(difference) - 24
  }
  return 8 * ID_BYTES
}

/** Negative when `a` is closer to `target` than `b`, by the XOR metric. */
export function compareDistance(target: Uint8Array, a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < ID_BYTES; i++) {
    const difference = (a[i]! ^ target[i]!) - (b[i]! ^ target[i]!)
    if (difference !== 0) return difference
  }
  return 0
}
