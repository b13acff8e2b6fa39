/**
 * The C library's calls for sockets and memory, called from JavaScript through koffi, which is an optional dependency.
 *
 * A call costs about 60 ns more than in C; with 64 datagrams a call that is nothing. What fails returns -1 and leaves a number in
 * `errno()`, which must be asked before the next call. Pointers are addresses as BigInt, the cheapest form, or views over memory
 * that stays where it is (pinned-memory.ts).
 *
 * Invariant: nothing here is called unless `probeLibc` said that platform, byte order and sizes are those that layouts.ts draws.
 */
import { createRequire } from 'node:module'
import { endianness, constants as osConstants } from 'node:os'
import { arch, platform } from 'node:process'

export type Pointer = bigint | Uint8Array | null

/** All descriptors and lengths are plain numbers; see the manual page of each. */
export interface Libc {
  socket(family: number, type: number, protocol: number): number
  socketpair(family: number, type: number, protocol: number, pair: Pointer): number
  setsockopt(fd: number, level: number, name: number, value: Pointer, bytes: number): number
  getsockopt(fd: number, level: number, name: number, value: Pointer, bytes: Pointer): number
  bind(fd: number, address: Pointer, bytes: number): number
  listen(fd: number, backlog: number): number
  getsockname(fd: number, address: Pointer, bytes: Pointer): number
  accept4(fd: number, address: Pointer, bytes: Pointer, flags: number): number
  recv(fd: number, target: Pointer, bytes: number, flags: number): number
  send(fd: number, source: Pointer, bytes: number, flags: number): number
  shutdown(fd: number, how: number): number
  fcntl(fd: number, command: number, argument: number): number
  close(fd: number): number
  read(fd: number, target: Pointer, bytes: number): number
  write(fd: number, source: Pointer, bytes: number): number
  recvmmsg(fd: number, messages: Pointer, count: number, flags: number, timeout: Pointer): number
  sendmmsg(fd: number, messages: Pointer, count: number, flags: number): number
  epoll_create1(flags: number): number
  epoll_ctl(epoll: number, operation: number, fd: number, event: Pointer): number
  epoll_wait(epoll: number, events: Pointer, most: number, timeoutMs: number): number
  eventfd(initial: number, flags: number): number
  madvise(address: Pointer, bytes: bigint, advice: number): number
  /** Of the last call that failed. */
  errno(): number
  /** Where a view's memory is. */
  addressOf(view: Uint8Array): bigint
}

type Signatures = Record<keyof Omit<Libc, 'errno' | 'addressOf'>, string>

const SIGNATURES: Readonly<Signatures> = {
  socket: 'int socket(int, int, int)',
  socketpair: 'int socketpair(int, int, int, void*)',
  setsockopt: 'int setsockopt(int, int, int, void*, uint32_t)',
  getsockopt: 'int getsockopt(int, int, int, void*, void*)',
  bind: 'int bind(int, void*, uint32_t)',
  listen: 'int listen(int, int)',
  getsockname: 'int getsockname(int, void*, void*)',
  accept4: 'int accept4(int, void*, void*, int)',
  recv: 'int64_t recv(int, void*, uint64_t, int)',
  send: 'int64_t send(int, void*, uint64_t, int)',
  shutdown: 'int shutdown(int, int)',
  // Variadic in C, which on Linux passes a number just so.
  fcntl: 'int fcntl(int, int, int)',
  close: 'int close(int)',
  read: 'int64_t read(int, void*, uint64_t)',
  write: 'int64_t write(int, void*, uint64_t)',
  recvmmsg: 'int recvmmsg(int, void*, uint32_t, int, void*)',
  sendmmsg: 'int sendmmsg(int, void*, uint32_t, int)',
  epoll_create1: 'int epoll_create1(int)',
  epoll_ctl: 'int epoll_ctl(int, int, int, void*)',
  epoll_wait: 'int epoll_wait(int, void*, int, int)',
  eventfd: 'int eventfd(uint32_t, int)',
  madvise: 'int madvise(void*, uint64_t, int)',
}

// The same on x64 and arm64.
export const AF_UNIX = 1
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_SNDBUF = 7
export const SO_RCVBUF = 8
export const SO_REUSEPORT = 15
export const SO_SNDBUFFORCE = 32
export const SO_RCVBUFFORCE = 33
/** Nine words of 32 bits about a socket's memory. */
export const SO_MEMINFO = 55
export const MEMINFO_BYTES = 36
/** Words of it: what waits to be read, how much may wait, and how many packets there was no room for. */
export const MEMINFO_RECEIVE_QUEUE = 0
export const MEMINFO_RECEIVE_BUFFER = 1
export const MEMINFO_DROPS = 8
export const IPPROTO_IP = 0
/** Packets say to which address they came; in what is sent, from which it goes. */
export const IP_PKTINFO = 8
export const IP_MTU_DISCOVER = 10
/** Packets may be fragmented under way, and nobody is believed who says how large they may be. */
export const IP_PMTUDISC_OMIT = 5
export const IPPROTO_TCP = 6
export const TCP_NODELAY = 1
export const TCP_DEFER_ACCEPT = 9
export const IPPROTO_IPV6 = 41
export const IPV6_V6ONLY = 26
/** As IP_PKTINFO. */
export const IPV6_RECVPKTINFO = 49
export const F_GETFL = 3
export const F_SETFL = 4
export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000
/** More follows at once: what is sent waits for it. */
export const MSG_MORE = 0x8000
/** In the flags of a received message: it was longer than its buffer. */
export const MSG_TRUNC = 0x20
export const EPOLL_CTL_ADD = 1
export const EPOLL_CTL_DEL = 2
export const EPOLL_CTL_MOD = 3
export const EPOLLIN = 0x1
export const EPOLLOUT = 0x4
export const EPOLLERR = 0x8
export const EPOLLHUP = 0x10
export const EPOLLRDHUP = 0x2000
/** Told once for each change, not for as long as it lasts. */
export const EPOLLET = 0x80000000
/** With several epolls on one socket: wakes one of them, not all. */
export const EPOLLEXCLUSIVE = 0x10000000
export const SHUT_WR = 1
export const TCP_INFO = 11
/** In struct tcp_info: milliseconds since data came last. */
export const TCP_INFO_LAST_DATA_RECEIVED = 52
export const MADV_DONTNEED = 4
export const EPERM = 1
export const EINTR = 4
export const ENFILE = 23
export const EMFILE = 24
export const EPROTO = 71
export const ECONNABORTED = 103
export const ENOBUFS = 105
export const EAGAIN = 11

const ERRNO_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(osConstants.errno).map(([name, value]) => [value, name]),
)

/** `EADDRINUSE` for 98. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `errno ${errno}`
}

/** An error as node makes them: with the name of the errno as its code. */
export function errnoError(call: string, errno: number): Error {
  const code = errnoName(errno)
  return Object.assign(new Error(`${call}: ${code}`), { code })
}

/** The library, or in a few words why it cannot be had. */
export type LibcProbe =
  | { readonly libc: Libc; readonly reason?: undefined }
  | { readonly libc?: undefined; readonly reason: string }

let probed: LibcProbe | undefined

/** Looked at once in each thread. */
export function probeLibc(): LibcProbe {
  probed ??= probe()
  return probed
}

function probe(): LibcProbe {
  if (platform !== 'linux') return { reason: `the system is ${platform}, not linux` }
  if (arch !== 'x64' && arch !== 'arm64') return { reason: `the processor is ${arch}` }
  if (endianness() !== 'LE') return { reason: 'the processor is big endian' }
  let koffi: typeof import('koffi')
  try {
    koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  } catch (error) {
    const [why] = (error as Error).message.split('\n')
    return { reason: `the package koffi cannot be loaded (${why})` }
  }
  if (koffi.sizeof('void*') !== 8 || koffi.sizeof('long') !== 8) {
    return { reason: 'pointers and longs have not 8 bytes' }
  }
  try {
    const library = koffi.load(null)
    const calls = Object.entries(SIGNATURES).map(([name, signature]) => [
      name,
      library.func(signature),
    ])
    const libc: Libc = {
      ...(Object.fromEntries(calls) as Omit<Libc, 'errno' | 'addressOf'>),
      errno: () => koffi.errno(),
      addressOf: (view) => koffi.address(view),
    }
    return { libc }
  } catch (error) {
    return { reason: `the C library lacks a call (${(error as Error).message})` }
  }
}
