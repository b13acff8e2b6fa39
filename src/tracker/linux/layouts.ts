/**
 * The kernel's structures as bytes: for Linux, little endian, LP64 (pointers and longs of 8 bytes), which x64 and arm64 are.
 *
 *     struct iovec      0 base (pointer)   8 length (u64)                                             16 bytes
 *
 *     struct mmsghdr    0 name (pointer)   8 namelen (u32)   16 iov (pointer)   24 iovlen (u64)
 *                      32 control (pointer)   40 controllen (u64)   48 flags (i32)
 *                      56 bytes of the message, set by the kernel (u32)                               64 bytes
 *
 *     cmsghdr           0 length (u64)   8 level (i32)   12 type (i32)   16 data …
 *     in_pktinfo        0 interface (u32)   4 local address (4)   8 destination (4)                   12 bytes, 32 with its head
 *     in6_pktinfo       0 local address (16)   16 interface (u32)                                     20 bytes, 40 with its head
 *
 *     sockaddr_in       0 family (u16) = 2    2 port (big endian)   4 address (4)   8 zeros (8)       16 bytes
 *     sockaddr_in6      0 family (u16) = 10   2 port (big endian)   4 flow (u32)
 *                       8 address (16)   24 scope (u32)                                               28 bytes
 *
 *     epoll_event       0 events (u32)   data (u64), of which the first half is used here
 *                       x64: packed, data at 4, 12 bytes; elsewhere: data at 8, 16 bytes
 *
 *     timeval           0 seconds (i64)   8 microseconds (i64)                                        16 bytes
 *
 * musl declares the two 64-bit lengths of msghdr as 32 bits with padding: the same bytes, as long as the padding is zero.
 */
import { arch } from 'node:process'

export const IOVEC_BYTES = 16
export const IOVEC_LENGTH = 8

export const MMSGHDR_BYTES = 64
export const MSG_NAME = 0
export const MSG_NAMELEN = 8
export const MSG_IOV = 16
export const MSG_IOVLEN = 24
export const MSG_CONTROL = 32
export const MSG_CONTROLLEN = 40
export const MSG_FLAGS_FIELD = 48
export const MSG_BYTES = 56

/** Where in a control message the number of the interface is. */
export const PKTINFO_INTERFACE: Readonly<Record<4 | 6, number>> = { 4: 16, 6: 32 }

export const SOCKADDR_BYTES: Readonly<Record<4 | 6, number>> = { 4: 16, 6: 28 }
export const SOCKADDR_PORT = 2
/** Where the address begins. */
export const SOCKADDR_ADDRESS: Readonly<Record<4 | 6, number>> = { 4: 4, 6: 8 }

const EPOLL_IS_PACKED: boolean = arch === 'x64'
export const EPOLL_EVENT_BYTES: number = EPOLL_IS_PACKED ? 12 : 16
export const EPOLL_EVENT_DATA: number = EPOLL_IS_PACKED ? 4 : 8

export const AF_INET = 2
export const AF_INET6 = 10
export const FAMILY_CODE: Readonly<Record<4 | 6, number>> = { 4: AF_INET, 6: AF_INET6 }

/** The bytes of a socket address; `address` has 4 or 16. */
export function sockaddrOf(address: Uint8Array, port: number): Uint8Array {
  const family = address.length === 4 ? 4 : 6
  const bytes = new Uint8Array(SOCKADDR_BYTES[family])
  bytes[0] = FAMILY_CODE[family]
  bytes[SOCKADDR_PORT] = port >>> 8
  bytes[SOCKADDR_PORT + 1] = port
  bytes.set(address, SOCKADDR_ADDRESS[family])
  return bytes
}

/** The port of a socket address of either family. */
export function portOf(bytes: Uint8Array): number {
  return (bytes[SOCKADDR_PORT]! << 8) | bytes[SOCKADDR_PORT + 1]!
}
