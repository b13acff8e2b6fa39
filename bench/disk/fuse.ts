/**
 * The kernel's FUSE protocol (7.x, <linux/fuse.h>), as far as a folder with one file in it needs it.
 * Bytes in, bytes out: who reads /dev/fuse and when an answer is due is the business of server.ts.
 *
 * ```
 * request: 40 bytes of header, then a body             answer: 16 bytes of header, then a body
 *  0 u32 length     16 u64 node                          0 u32 length
 *  4 u32 opcode     24 u32 uid, gid, pid, padding        4 i32 0 or -errno
 *  8 u64 unique     40 body                              8 u64 unique
 * ```
 *
 * The file is opened for direct I/O: every read and write of the loop device above it comes here, as large as
 * the device made it and as many at a time. Without ASYNC_DIO they would come one by one, and nothing would be
 * there to sort.
 *
 * Numbers are in the byte order of the host, which is little-endian wherever this runs.
 */
import { constants } from 'node:os'

export const HEADER_BYTES = 40
export const ANSWER_BYTES = 16
/** The largest read or write; the loop device is told to ask for no more. */
export const TRANSFER_BYTES: number = 1 << 20
/** What one read of /dev/fuse may bring. */
export const REQUEST_BYTES: number = TRANSFER_BYTES + 4096
export const FILE_NAME = 'disk'

const WRITE_HEADER_BYTES = 40
const FOLDER = 1n
const FILE = 2n
const BACKGROUND = 64
/** Seconds for which the kernel may believe names and sizes: they never change. */
const VALID_SECONDS = 3600n

const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
} as const

const ASYNC_READ = 1 << 0
const BIG_WRITES = 1 << 5
const ASYNC_DIO = 1 << 15
const PARALLEL_DIROPS = 1 << 18
const MAX_PAGES = 1 << 22
const OPEN_DIRECT_IO = 1 << 0
const OPEN_PARALLEL_WRITES = 1 << 6

/** A request to the file's bytes; `data` is that of a write, in the buffer that was handed in. */
export interface Transfer {
  readonly kind: 'read' | 'write'
  readonly unique: bigint
  readonly offset: number
  readonly bytes: number
  readonly data?: Uint8Array
}

/** What to do with a request: pass it on, send these bytes, or nothing at all. */
export type Reaction = Transfer | { readonly kind: 'answer'; readonly bytes: Buffer } | undefined

/** The first `length` bytes of `request` are what one read of /dev/fuse brought. */
export function react(request: Buffer, length: number, fileBytes: number): Reaction {
  const opcode = request.readUInt32LE(4)
  const unique = request.readBigUInt64LE(8)
  const node = request.readBigUInt64LE(16)
  const ok = (body?: Buffer): Reaction => ({ kind: 'answer', bytes: answer(unique, 0, body) })
  const fail = (errno: number): Reaction => ({ kind: 'answer', bytes: answer(unique, errno) })
  switch (opcode) {
    case opcodes.read:
    case opcodes.write: {
      const offset = Number(request.readBigUInt64LE(HEADER_BYTES + 8))
      const bytes = request.readUInt32LE(HEADER_BYTES + 16)
      if (opcode === opcodes.read) {
        const there = Math.max(0, Math.min(bytes, fileBytes - offset))
        return there === 0 ? ok() : { kind: 'read', unique, offset, bytes: there }
      }
      if (offset + bytes > fileBytes) return fail(constants.errno.ENOSPC)
      const from = HEADER_BYTES + WRITE_HEADER_BYTES
      return { kind: 'write', unique, offset, bytes, data: request.subarray(from, from + bytes) }
    }
    case opcodes.init:
      return ok(initialisation(request))
    case opcodes.lookup: {
      const name = request.toString('latin1', HEADER_BYTES, length - 1)
      if (node !== FOLDER || name !== FILE_NAME) return fail(constants.errno.ENOENT)
      const entry = Buffer.alloc(128)
      entry.writeBigUInt64LE(FILE, 0)
      entry.writeBigUInt64LE(VALID_SECONDS, 16)
      entry.writeBigUInt64LE(VALID_SECONDS, 24)
      attributes(FILE, fileBytes).copy(entry, 40)
      return ok(entry)
    }
    case opcodes.getattr:
    case opcodes.setattr: {
      const body = Buffer.alloc(104)
      body.writeBigUInt64LE(VALID_SECONDS, 0)
      attributes(node, fileBytes).copy(body, 16)
      return ok(body)
    }
    case opcodes.open:
    case opcodes.opendir: {
      const body = Buffer.alloc(16)
      const flags = opcode === opcodes.open ? OPEN_DIRECT_IO | OPEN_PARALLEL_WRITES : 0
      body.writeUInt32LE(flags, 8)
      return ok(body)
    }
    case opcodes.readdir:
      return ok(entries(Number(request.readBigUInt64LE(HEADER_BYTES + 8))))
    case opcodes.statfs: {
      const body = Buffer.alloc(80)
      body.writeUInt32LE(4096, 40)
      body.writeUInt32LE(255, 44)
      return ok(body)
    }
    case opcodes.release:
    case opcodes.releasedir:
    case opcodes.flush:
    // What the disk acknowledged is on the platter.
    case opcodes.fsync:
    case opcodes.destroy:
      return ok()
    case opcodes.forget:
    case opcodes.batchForget:
    case opcodes.interrupt:
      return undefined
    default:
      return fail(constants.errno.ENOSYS)
  }
}

/** The header alone, or with a body behind it. */
export function answer(unique: bigint, errno: number, body?: Uint8Array): Buffer {
  const bytes = Buffer.alloc(ANSWER_BYTES + (body?.length ?? 0))
  writeAnswerHeader(bytes, unique, errno, body?.length ?? 0)
  if (body !== undefined) bytes.set(body, ANSWER_BYTES)
  return bytes
}

export function writeAnswerHeader(
  target: Buffer,
  unique: bigint,
  errno: number,
  bodyBytes: number,
): void {
  target.writeUInt32LE(ANSWER_BYTES + bodyBytes, 0)
  target.writeInt32LE(-errno, 4)
  target.writeBigUInt64LE(unique, 8)
}

/** How many bytes were written. */
export function writeAnswer(unique: bigint, bytes: number): Buffer {
  const body = Buffer.alloc(8)
  body.writeUInt32LE(bytes, 0)
  return answer(unique, 0, body)
}

function initialisation(request: Buffer): Buffer {
  const body = Buffer.alloc(64)
  body.writeUInt32LE(7, 0)
  body.writeUInt32LE(Math.min(request.readUInt32LE(HEADER_BYTES + 4), 36), 4)
  body.writeUInt32LE(0, 8)
  body.writeUInt32LE(ASYNC_READ | BIG_WRITES | ASYNC_DIO | PARALLEL_DIROPS | MAX_PAGES, 12)
  body.writeUInt16LE(BACKGROUND, 16)
  body.writeUInt16LE(BACKGROUND, 18)
  body.writeUInt32LE(TRANSFER_BYTES, 20)
  body.writeUInt32LE(1, 24)
  body.writeUInt16LE(TRANSFER_BYTES / 4096, 28)
  return body
}

function attributes(node: bigint, fileBytes: number): Buffer {
  const body = Buffer.alloc(88)
  body.writeBigUInt64LE(node, 0)
  const isFile = node === FILE
  if (isFile) {
    body.writeBigUInt64LE(BigInt(fileBytes), 8)
    body.writeBigUInt64LE(BigInt(Math.ceil(fileBytes / 512)), 16)
  }
  body.writeUInt32LE(isFile ? 0o100600 : 0o040700, 60)
  body.writeUInt32LE(isFile ? 1 : 2, 64)
  body.writeUInt32LE(4096, 80)
  return body
}

function entries(cookie: number): Buffer {
  if (cookie !== 0) return Buffer.alloc(0)
  const padded = Math.ceil(FILE_NAME.length / 8) * 8
  const entry = Buffer.alloc(24 + padded)
  entry.writeBigUInt64LE(FILE, 0)
  entry.writeBigUInt64LE(1n, 8)
  entry.writeUInt32LE(FILE_NAME.length, 16)
  entry.writeUInt32LE(8, 20)
  entry.write(FILE_NAME, 24, 'latin1')
  return entry
}
