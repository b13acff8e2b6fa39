/**
 * Sockets that a service manager opened and hands in, as systemd does (sd_listen_fds(3)): they are there before the tracker and while it is
 * replaced, so packets and connections of a restart wait in the kernel.
 *
 *     LISTEN_PID       whom they are for
 *     LISTEN_FDS       how many: descriptors 3, 4, …
 *     LISTEN_FDNAMES   their names, with colons between; `https` and `metrics` say what a socket of TCP is for
 *
 * What a descriptor is stands in /proc/self/net, by its inode: so nothing is believed but that it is there.
 *
 *     sl  local_address           rem_address  st  tx:rx  tr:tm  retrnsmt  uid  timeout  inode
 *     0:  0100007F:1B39           …            07  …                                    12345      st 0A: it listens
 */
import { fstatSync, readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { unmapped, writeAddressText } from './addresses.ts'
import type { Endpoint } from './config/fields.ts'
import { trackerError } from './errors.ts'

const FIRST_FD = 3
const MAX_SOCKETS = 256
const STATE_LISTENS = '0A'

export type SocketRole = 'udp' | 'http' | 'https' | 'metrics'

export interface HandedSocket extends Endpoint {
  readonly fd: number
  readonly role: SocketRole
}

/** None when the environment hands none to this process. Throws TRACKER_HANDED_SOCKET. */
export function handedSockets(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): readonly HandedSocket[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' } = environment
  if (LISTEN_FDS === undefined || Number(LISTEN_PID) !== pid) return []
  const count = Number(LISTEN_FDS)
  if (!Number.isInteger(count) || count < 0 || count > MAX_SOCKETS) {
    throw trackerError(
      'TRACKER_HANDED_SOCKET',
      `LISTEN_FDS is ${LISTEN_FDS}: it is a number of sockets`,
    )
  }
  const names = LISTEN_FDNAMES.split(':')
  return Array.from({ length: count }, (_, i) => describe(FIRST_FD + i, names[i] ?? ''))
}

function describe(fd: number, name: string): HandedSocket {
  let inode: number
  try {
    inode = fstatSync(fd).ino
  } catch (cause) {
    throw trackerError('TRACKER_HANDED_SOCKET', `descriptor ${fd} is not open`, { cause })
  }
  for (const protocol of ['udp', 'tcp'] as const) {
    for (const table of [protocol, `${protocol}6`]) {
      const row = rowOf(table, inode)
      if (row === undefined) continue
      if (protocol === 'tcp' && row.state !== STATE_LISTENS) break
      const { address, port } = row
      return { fd, address, port, role: roleOf(protocol, name) }
    }
  }
  throw trackerError(
    'TRACKER_HANDED_SOCKET',
    `descriptor ${fd}${name === '' ? '' : ` (${name})`} is neither a UDP socket nor one that listens for TCP`,
    {
      mend: 'The socket unit should have ListenDatagram= for UDP and ListenStream= for HTTP, with addresses and ports.',
    },
  )
}

function roleOf(protocol: 'udp' | 'tcp', name: string): SocketRole {
  if (protocol === 'udp') return 'udp'
  return name === 'https' || name === 'metrics' ? name : 'http'
}

function rowOf(
  table: string,
  inode: number,
): { address: string; port: number; state: string } | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/self/net/${table}`, 'latin1')
  } catch {
    // A host without IPv6 has no table of it.
    return undefined
  }
  for (const line of text.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/)
    if (Number(fields[9]) !== inode) continue
    const [address = '', port = ''] = fields[1]!.split(':')
    return { address: addressText(address), port: Number.parseInt(port, 16), state: fields[3]! }
  }
  return undefined
}

/** Words of the machine's byte order, in hexadecimal. */
function addressText(words: string): string {
  const bytes = new Uint8Array(Buffer.from(words, 'hex'))
  if (endianness() === 'LE') {
    for (let i = 0; i < bytes.length; i += 4) bytes.subarray(i, i + 4).reverse()
  }
  const address = unmapped(bytes)
  if (address.length === 16 && address.every((byte) => byte === 0)) return '::'
  const text = new Uint8Array(64)
  return Buffer.from(
    text.subarray(0, writeAddressText(address, 0, address.length, text, 0)),
  ).toString('latin1')
}
