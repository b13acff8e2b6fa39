/**
 * Whose request it is when a proxy brings it: the value of a header (`X-Real-IP`, `X-Forwarded-For`), believed
 * only from proxies that are trusted.
 *
 * A header may hold a chain, `client, proxy, proxy`, each hop adding who it heard from. It is read from the right: trusted
 * hops are passed over, the first other address is the client. What stands left of it is its own invention.
 */
import { toLatin1 } from '../base/index.ts'
import { parseAddress } from './addresses.ts'
import type { HttpHead } from './http-codec.ts'

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

  /** Each must be one that `parseNetwork` takes; others are left out. */
  constructor(networks: readonly string[]) {
    this.#networks = networks.flatMap((text) => parseNetwork(text) ?? [])
  }

  has(address: Uint8Array): boolean {
    return this.#networks.some((network) => contains(network, address))
  }

  /**
   * The client behind `remote`, by the header lines noted in `head`. `remote` itself when it is not trusted or there is no
   * such header; null when what the header says is no address.
   */
  clientOf(remote: Uint8Array, bytes: Uint8Array, head: HttpHead): Uint8Array | null {
    if (head.notedCount === 0 || !this.has(remote)) return remote
    let client: Uint8Array | null = null
    for (let line = head.notedCount - 1; line >= 0; line--) {
      const [start, end] = [head.noted[line * 2]!, head.noted[line * 2 + 1]!]
      for (const part of toLatin1(bytes.subarray(start, end)).split(',').reverse()) {
        client = parseAddress(withoutPort(part.trim()))
        if (client === null || !this.has(client)) return client
      }
    }
    return client
  }
}

/** `1.2.3.4:5`, `[::1]:5` and `[::1]` are what some proxies write. */
function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text)
  if (bracketed !== null) return bracketed[1]!
  return /^[^:]*:\d{1,5}$/.test(text) ? text.slice(0, text.indexOf(':')) : text
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
