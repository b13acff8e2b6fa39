/** The FUSE protocol of the simulated disk: what the kernel asks, and the bytes that it gets. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  FILE_NAME,
  HEADER_BYTES,
  type Reaction,
  react,
  type Transfer,
} from '../../bench/disk/fuse.ts'

const FILE_BYTES = 8192
const ENOENT = -2
const ENOSYS = -38
const ENOSPC = -28

function ask(opcode: number, node: number, body: Uint8Array): Reaction {
  const request = Buffer.alloc(HEADER_BYTES + body.length)
  request.writeUInt32LE(request.length, 0)
  request.writeUInt32LE(opcode, 4)
  request.writeBigUInt64LE(77n, 8)
  request.writeBigUInt64LE(BigInt(node), 16)
  request.set(body, HEADER_BYTES)
  return react(request, request.length, FILE_BYTES)
}

/** Body of an answer that says no error; its header is checked. */
function bodyOf(reaction: Reaction): Buffer {
  const { status, body } = answerOf(reaction)
  assert.equal(status, 0)
  return body
}

function answerOf(reaction: Reaction): { status: number; body: Buffer } {
  assert.equal(reaction?.kind, 'answer')
  const { bytes } = reaction as { bytes: Buffer }
  assert.equal(bytes.readUInt32LE(0), bytes.length)
  assert.equal(bytes.readBigUInt64LE(8), 77n)
  return { status: bytes.readInt32LE(4), body: bytes.subarray(16) }
}

function transfer(opcode: number, offset: number, bytes: number, data = 0): Reaction {
  const body = Buffer.alloc(40 + data, 0xab)
  body.fill(0, 0, 40)
  body.writeBigUInt64LE(BigInt(offset), 8)
  body.writeUInt32LE(bytes, 16)
  return ask(opcode, 2, body)
}

describe('the protocol of the simulated disk', () => {
  test('the beginning agrees on direct I/O that overlaps, a MiB at a time', () => {
    const hello = Buffer.alloc(16)
    hello.writeUInt32LE(7, 0)
    hello.writeUInt32LE(41, 4)
    const body = bodyOf(ask(26, 0, hello))
    assert.equal(body.readUInt32LE(0), 7)
    assert.ok(body.readUInt32LE(4) <= 41)
    assert.ok(body.readUInt32LE(12) & (1 << 15))
    assert.equal(body.readUInt32LE(20), 2 ** 20)
    assert.equal(body.readUInt16LE(28) * 4096, 2 ** 20)
  })

  test('the folder has one file, of the size of the disk', () => {
    const entry = bodyOf(ask(1, 1, Buffer.from(`${FILE_NAME}\0`)))
    assert.equal(entry.readBigUInt64LE(0), 2n)
    assert.equal(entry.readBigUInt64LE(40 + 8), BigInt(FILE_BYTES))
    assert.equal(answerOf(ask(1, 1, Buffer.from('other\0'))).status, ENOENT)
    const attributes = bodyOf(ask(3, 1, Buffer.alloc(16)))
    assert.equal(attributes.readUInt32LE(16 + 60) & 0o170000, 0o040000)
    const entries = bodyOf(ask(28, 1, Buffer.alloc(40)))
    assert.equal(entries.toString('latin1', 24, 24 + FILE_NAME.length), FILE_NAME)
    assert.equal(bodyOf(transfer(28, 1, 4096)).length, 0)
  })

  test('reads and writes are passed on with their place and their bytes', () => {
    assert.deepEqual(transfer(15, 4096, 512), {
      kind: 'read',
      unique: 77n,
      offset: 4096,
      bytes: 512,
    })
    const write = transfer(16, 512, 1024, 1024)
    assert.equal(write?.kind, 'write')
    const { data } = write as Transfer
    assert.deepEqual(Uint8Array.from(data!), new Uint8Array(1024).fill(0xab))
  })

  test('nothing lies behind the end', () => {
    assert.equal((transfer(15, FILE_BYTES - 512, 4096) as { bytes: number }).bytes, 512)
    assert.equal(bodyOf(transfer(15, FILE_BYTES, 512)).length, 0)
    assert.equal(answerOf(transfer(16, FILE_BYTES, 512, 512)).status, ENOSPC)
  })

  test('what wants no answer gets none, and what is not known is refused', () => {
    assert.equal(ask(2, 2, Buffer.alloc(8)), undefined)
    assert.equal(answerOf(ask(43, 2, Buffer.alloc(32))).status, ENOSYS)
  })
})
