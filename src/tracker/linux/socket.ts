/**
 * Sockets as descriptors: opened here, by the thread that answers for them, and served by any.
 *
 * Those of one address share it (SO_REUSEPORT): the kernel gives each packet or connection to one of them by a hash of who it is
 * from and to, so a client always meets the same worker. The first is bound without sharing, and shares from then on: so a second
 * tracker on the same address is refused instead of being given half of the packets.
 */
import type { NetworkInterfaceInfo } from 'node:os'
import { parseAddress } from '../addresses.ts'
import { FAMILY_CODE, portOf, SOCKADDR_ADDRESS, SOCKADDR_BYTES, sockaddrOf } from './layouts.ts'
import {
  errnoError,
  F_GETFL,
  F_SETFL,
  IP_MTU_DISCOVER,
  IP_PKTINFO,
  IP_PMTUDISC_OMIT,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_RECVPKTINFO,
  IPV6_V6ONLY,
  type Libc,
  MEMINFO_BYTES,
  MEMINFO_DROPS,
  MEMINFO_RECEIVE_BUFFER,
  MEMINFO_RECEIVE_QUEUE,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_DEFER_ACCEPT,
} from './libc.ts'

/** Several thousand packets: what comes in while a worker is held up for some milliseconds. */
const UDP_BUFFER_BYTES: number = 4 * 2 ** 20
const TCP_BACKLOG = 1024
/** A connection is accepted when its request is there, or after about so many seconds. */
const DEFER_ACCEPT_SECONDS = 1

export interface BoundSocket {
  readonly fd: number
  readonly family: 4 | 6
  readonly port: number
}

/**
 * A socket whose address others may share: `joins` those that are there, or must find nobody. Throws an error with the errno's
 * name as its code.
 */
export function openUdpSocket(
  libc: Libc,
  address: string,
  port: number,
  joins: boolean,
): BoundSocket {
  return open(libc, SOCK_DGRAM, address, port, joins, (fd) => {
    // More than the system's limit needs a privilege; without it the limit is taken.
    for (const [forced, asked] of [
      [SO_RCVBUFFORCE, SO_RCVBUF],
      [SO_SNDBUFFORCE, SO_SNDBUF],
    ] as const) {
      if (!setOption(libc, fd, SOL_SOCKET, forced, UDP_BUFFER_BYTES))
        setOption(libc, fd, SOL_SOCKET, asked, UDP_BUFFER_BYTES)
    }
    // As name servers do. No reply is too large for Ethernet; where a link takes less, a router may cut it up instead of refusing it, and who
    // forges such refusals achieves nothing. The kernel need not remember or look up what a path takes.
    if (!address.includes(':')) {
      setOption(libc, fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)
    }
  })
}

/** A socket that listens for connections; those that say nothing are not even accepted. Throws as above. */
export function openTcpListener(
  libc: Libc,
  address: string,
  port: number,
  joins: boolean,
): BoundSocket {
  const bound = open(libc, SOCK_STREAM, address, port, joins, (fd) => {
    setOption(libc, fd, SOL_SOCKET, SO_REUSEADDR, 1)
    setOption(libc, fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_ACCEPT_SECONDS)
  })
  if (libc.listen(bound.fd, TCP_BACKLOG) === 0) return bound
  const error = errnoError('listen', libc.errno())
  libc.close(bound.fd)
  throw error
}

function open(
  libc: Libc,
  type: number,
  address: string,
  port: number,
  joins: boolean,
  prepare: (fd: number) => void,
): BoundSocket {
  const bytes = parseAddress(address)
  if (bytes === null) throw Object.assign(new Error(`${address}: EINVAL`), { code: 'EINVAL' })
  const family = bytes.length === 4 ? 4 : 6
  const fd = libc.socket(FAMILY_CODE[family], type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd < 0) throw errnoError('socket', libc.errno())
  try {
    if (family === 6) mustSet(libc, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
    if (joins) mustSet(libc, fd, SOL_SOCKET, SO_REUSEPORT, 1)
    prepare(fd)
    const sockaddr = sockaddrOf(bytes, port)
    if (libc.bind(fd, sockaddr, sockaddr.length) !== 0) throw errnoError('bind', libc.errno())
    if (!joins) mustSet(libc, fd, SOL_SOCKET, SO_REUSEPORT, 1)
    return { fd, family, port: boundPort(libc, fd) }
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

/** Makes a socket that somebody else opened one that never waits. */
export function adoptSocket(libc: Libc, fd: number): void {
  const flags = libc.fcntl(fd, F_GETFL, 0)
  if (flags < 0 || libc.fcntl(fd, F_SETFL, flags | SOCK_NONBLOCK) < 0) {
    throw errnoError('fcntl', libc.errno())
  }
}

/**
 * Has the packets of a socket for all addresses say to which of them they came, so that answers leave from there: clients ignore those that
 * come from elsewhere. False: the socket is for one address, or the kernel refuses.
 */
export function noteDestinations(libc: Libc, fd: number, family: 4 | 6): boolean {
  const at = SOCKADDR_ADDRESS[family]
  const address = nameOf(libc, fd).subarray(at, at + (family === 4 ? 4 : 16))
  if (address.some((byte) => byte !== 0)) return false
  return family === 4
    ? setOption(libc, fd, IPPROTO_IP, IP_PKTINFO, 1)
    : setOption(libc, fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
}

/** Whether the system may choose another address of this host to answer from than the one that was asked. */
export function hasSeveralAddresses(
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
  family: 4 | 6,
): boolean {
  const addresses = Object.values(interfaces)
    .flatMap((one) => one ?? [])
    // An address of a service may lie on the loopback interface (anycast).
    .filter(
      (one) => one.family === `IPv${family}` && !one.scopeid && !/^127\.|^::1$/.test(one.address),
    )
    .map(({ address }) => address)
  return new Set(addresses).size > 1
}

function boundPort(libc: Libc, fd: number): number {
  return portOf(nameOf(libc, fd))
}

/** The address of a socket. */
function nameOf(libc: Libc, fd: number): Uint8Array {
  const name = new Uint8Array(SOCKADDR_BYTES[6])
  if (libc.getsockname(fd, name, numberBytes(name.length)) !== 0) {
    throw errnoError('getsockname', libc.errno())
  }
  return name
}

/** How full a socket's receive queue is, in the kernel's bytes, and how much it had no room for since it was opened. */
export class QueueGauge {
  queuedBytes = 0
  roomBytes = 0
  /** Packets; modulo 2^32. */
  dropped = 0
  readonly #libc: Libc
  readonly #info = new Uint32Array(new ArrayBuffer(MEMINFO_BYTES + 64), 0, MEMINFO_BYTES / 4)
  readonly #bytes = new Uint8Array(this.#info.buffer)

  constructor(libc: Libc) {
    this.#libc = libc
  }

  /** False where the kernel does not tell (before 4.12). */
  read(fd: number): boolean {
    const length = this.#bytes.subarray(MEMINFO_BYTES, MEMINFO_BYTES + 4)
    length.fill(0)
    length[0] = MEMINFO_BYTES
    if (this.#libc.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, this.#bytes, length) !== 0) return false
    this.queuedBytes = this.#info[MEMINFO_RECEIVE_QUEUE]!
    this.roomBytes = this.#info[MEMINFO_RECEIVE_BUFFER]!
    this.dropped = this.#info[MEMINFO_DROPS]!
    return true
  }
}

/** Sets an option that is a number; false when the kernel refuses. */
export function setOption(
  libc: Libc,
  fd: number,
  level: number,
  name: number,
  value: number,
): boolean {
  return libc.setsockopt(fd, level, name, numberBytes(value), 4) === 0
}

function mustSet(libc: Libc, fd: number, level: number, name: number, value: number): void {
  if (!setOption(libc, fd, level, name, value)) throw errnoError('setsockopt', libc.errno())
}

function numberBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, value, true)
  return bytes
}
