/** The structures as drawn are those of the C compiler's rules, as koffi knows them for this machine. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as layouts from '../../../src/tracker/linux/layouts.ts'
import { koffi, onLinux } from './linux.ts'

test('iovec, mmsghdr and socket addresses lie as the ABI lays them', onLinux, () => {
  const { struct, pack, sizeof, offsetof } = koffi()
  const iovec = struct({ base: 'void*', length: 'size_t' })
  assert.equal(sizeof(iovec), layouts.IOVEC_BYTES)
  assert.equal(offsetof(iovec, 'length'), layouts.IOVEC_LENGTH)
  const message = struct({
    name: 'void*',
    namelen: 'uint32_t',
    iov: 'void*',
    iovlen: 'size_t',
    control: 'void*',
    controllen: 'size_t',
    flags: 'int',
  })
  const many = struct({ header: message, bytes: 'unsigned int' })
  assert.equal(sizeof(many), layouts.MMSGHDR_BYTES)
  assert.equal(offsetof(many, 'bytes'), layouts.MSG_BYTES)
  for (const [member, offset] of [
    ['name', layouts.MSG_NAME],
    ['namelen', layouts.MSG_NAMELEN],
    ['iov', layouts.MSG_IOV],
    ['iovlen', layouts.MSG_IOVLEN],
    ['flags', layouts.MSG_FLAGS_FIELD],
  ] as const) {
    assert.equal(offsetof(message, member), offset, member)
  }
  const event = process.arch === 'x64' ? pack : struct
  const epollEvent = event({ events: 'uint32_t', data: 'uint64_t' })
  assert.equal(sizeof(epollEvent), layouts.EPOLL_EVENT_BYTES)
  assert.equal(offsetof(epollEvent, 'data'), layouts.EPOLL_EVENT_DATA)
  const sockaddr6 = struct({
    family: 'uint16_t',
    port: 'uint16_t',
    flow: 'uint32_t',
    address: koffi().array('uint8_t', 16),
    scope: 'uint32_t',
  })
  assert.equal(sizeof(sockaddr6), layouts.SOCKADDR_BYTES[6])
  assert.equal(offsetof(sockaddr6, 'address'), layouts.SOCKADDR_ADDRESS[6])
})

test('a socket address holds family, port and address', () => {
  assert.deepEqual(
    [...layouts.sockaddrOf(Uint8Array.of(192, 0, 2, 7), 51_413)],
    [2, 0, 0xc8, 0xd5, 192, 0, 2, 7, ...new Array(8).fill(0)],
  )
  const six = layouts.sockaddrOf(new Uint8Array(16).fill(9), 1)
  assert.deepEqual([...six], [10, 0, 0, 1, 0, 0, 0, 0, ...new Array(16).fill(9), 0, 0, 0, 0])
  assert.equal(layouts.portOf(six), 1)
})
