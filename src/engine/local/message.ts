/**
 * What is said to a local network (BEP 14): datagrams that look like HTTP.
 *
 * ```
 * BT-SEARCH * HTTP/1.1
 * Host: 239.192.152.143:6771
 * Port: 6881
 * Infohash: 40 hexadecimal digits        once or several times
 * cookie: whose it is, to know one's own
 * ```
 */
import { fromHex, fromLatin1, toHex, toLatin1 } from '../../base/index.ts'

/** Above it nothing is read: it fits an Ethernet frame (BEP 14). */
export const MAX_DATAGRAM_BYTES = 1400
/** In one message of ours; with all lines it stays below 1400 bytes. */
export const MAX_HASHES = 20
const MAX_COOKIE_CHARACTERS = 64

export interface LocalMessage {
  readonly port: number
  /** 20 bytes each. */
  readonly infoHashes: readonly Uint8Array[]
  readonly cookie: string | undefined
}

/** At most MAX_HASHES info-hashes; `host` is the group's address and port. */
export function encodeLocal(host: string, { port, infoHashes, cookie }: LocalMessage): Uint8Array {
  const lines = ['BT-SEARCH * HTTP/1.1', `Host: ${host}`, `Port: ${port}`]
  for (const infoHash of infoHashes) lines.push(`Infohash: ${toHex(infoHash)}`)
  if (cookie !== undefined) lines.push(`cookie: ${cookie}`)
  return fromLatin1(`${lines.join('\r\n')}\r\n\r\n\r\n`)
}

/** Null when it is none. What is unknown in it is not looked at. */
export function parseLocal(bytes: Uint8Array): LocalMessage | null {
  if (bytes.length > MAX_DATAGRAM_BYTES) return null
  const [first, ...lines] = toLatin1(bytes).split('\r\n')
  if (first !== 'BT-SEARCH * HTTP/1.1') return null
  let port = 0
  let cookie: string | undefined
  const infoHashes: Uint8Array[] = []
  for (const line of lines) {
    const [, name, value] = /^([A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    switch (name?.toLowerCase()) {
      case 'port':
        port = /^\d{1,5}$/.test(value!) ? Number(value) : 0
        break
      case 'infohash':
        if (/^[0-9A-Fa-f]{40}$/.test(value!)) infoHashes.push(fromHex(value!.toLowerCase())!)
        break
      case 'cookie':
        cookie = value!.slice(0, MAX_COOKIE_CHARACTERS)
        break
    }
  }
  if (port < 1 || port > 65_535 || infoHashes.length === 0) return null
  return { port, infoHashes, cookie }
}
