/**
 * Whose request it is when a proxy brings it: the value of a header (`X-Real-IP`, `X-Forwarded-For`), believed
 * only from proxies that are trusted.
 *
 * A header may hold a chain, `client, proxy, proxy`, each hop adding who it heard from. It is read from the right: trusted
 * hops are passed over, the first other address is the client. What stands left of it is its own invention.
 */
import { parseAddress, readAddress } from './addresses.ts'
import type { HttpHead } from './http-codec.ts'

const SPACE = 0x20
const COMMA = 0x2c
const COLON = 0x3a
const OPEN = 0x5b
const CLOSE = 0x5d

interface Network {
  readonly address: Uint8Array
  readonly bits: number
}

/** Loopback and the addresses of private networks: where a proxy of one's own usually is. */
export const PRIVATE_NETWORKS: readonly string[] = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '::1',
  'fc00::/7',
  'fe80::/10',
]

/** An address, or one with `/bits`; undefined when it is neither. */
export function parseNetwork(text: string): Network | undefined {
  const [host, bitsText, more] = text.split('/')
  const address = parseAddress(host!)
  if (address === null || more !== undefined) return undefined
  const most = address.length * 8
  if (bitsText === undefined) return { address, bits: most }
  if (!/^\d{1,3}$/.test(bitsText) || Number(bitsText) > most) return undefined
  return { address, bits: Number(bitsText) }
}

export class TrustedProxies {
  readonly #networks: readonly Network[]
  readonly #client4 = new Uint8Array(4)
  readonly #client6 = new Uint8Array(16)

  /** Each must be one that `parseNetwork` takes; others are left out. */
  constructor(networks: readonly string[]) {
    this.#networks = networks.flatMap((text) => parseNetwork(text) ?? [])
  }

  has(address: Uint8Array): boolean {
    for (let i = 0; i < this.#networks.length; i++) {
      if (contains(this.#networks[i]!, address)) return true
    }
    return false
  }

  /**
   * The client behind `remote`, by the header lines noted in `head`; good until the next call. `remote` itself when it is
   * not trusted or there is no such header; null when what the header says is no address. Allocates nothing.
   */
  clientOf(remote: Uint8Array, bytes: Uint8Array, head: HttpHead): Uint8Array | null {
    if (head.notedCount === 0 || !this.has(remote)) return remote
    let client: Uint8Array | null = null
    for (let line = head.notedCount - 1; line >= 0; line--) {
      const start = head.noted[line * 2]!
      for (let end = head.noted[line * 2 + 1]!; end >= start; ) {
        let comma = end - 1
        while (comma >= start && bytes[comma] !== COMMA) comma--
        client = this.#read(bytes, comma + 1, end)
        if (client === null || !this.has(client)) return client
        end = comma
      }
    }
    return client
  }

  /** An address, or as some proxies write it: `1.2.3.4:5`, `[::1]:5`, `[::1]`. */
  #read(bytes: Uint8Array, from: number, to: number): Uint8Array | null {
    let start = from
    let end = to
    while (start < end && bytes[start]! <= SPACE) start++
    while (end > start && bytes[end - 1]! <= SPACE) end--
    const colon = portColon(bytes, start, end)
    if (start < end && bytes[start] === OPEN) {
      const close = (colon < 0 ? end : colon) - 1
      if (bytes[close] !== CLOSE) return null
      start++
      end = close
    } else if (colon >= 0 && !hasColon(bytes, start, colon)) {
      end = colon
    }
    const length = readAddress(bytes, start, end, this.#client6)
    if (length !== 4) return length === 0 ? null : this.#client6
    for (let i = 0; i < 4; i++) this.#client4[i] = this.#client6[i]!
    return this.#client4
  }
}

/** Of the colon before a port at the end, 1 to 5 digits; -1 when there is none. */
function portColon(bytes: Uint8Array, start: number, end: number): number {
  let at = end - 1
  while (at >= start && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at--
  const digits = end - 1 - at
  return at >= start && bytes[at] === COLON && digits >= 1 && digits <= 5 ? at : -1
}

function hasColon(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === COLON) return true
  return false
}

function contains(network: Network, address: Uint8Array): boolean {
  if (network.address.length !== address.length) return false
  const whole = network.bits >>> 3
  for (let i = 0; i < whole; i++) if (network.address[i] !== address[i]) return false
  const rest = network.bits & 7
  if (rest === 0) return true
  const mask = 0xff00 >>> rest
  return (network.address[whole]! & mask & 0xff) === (address[whole]! & mask & 0xff)
}
