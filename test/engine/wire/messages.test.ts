import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../../src/base/index.ts'
import * as wire from '../../../src/engine/wire/messages.ts'

type Writer = (target: Uint8Array, offset: number) => number

const GOLDEN: readonly (readonly [string, Writer, string])[] = [
  ['keep-alive', wire.writeKeepAlive, '00000000'],
  ['choke', wire.writeChoke, '0000000100'],
  ['unchoke', wire.writeUnchoke, '0000000101'],
  ['interested', wire.writeInterested, '0000000102'],
  ['not interested', wire.writeNotInterested, '0000000103'],
  ['have', (t, o) => wire.writeHave(t, o, 0x01020304), '000000050401020304'],
  ['bitfield', (t, o) => wire.writeBitfield(t, o, Uint8Array.of(0xff, 0x80)), '0000000305ff80'],
  [
    'request',
    (t, o) => wire.writeRequest(t, o, 1, 0x4000, 0x4000),
    '0000000d06000000010000400000004000',
  ],
  [
    'piece header',
    (t, o) => wire.writePieceHeader(t, o, 0xfffffffe, 0x8000, 0x4000),
    '0000400907fffffffe00008000',
  ],
  [
    'cancel',
    (t, o) => wire.writeCancel(t, o, 1, 0x4000, 0x4000),
    '0000000d08000000010000400000004000',
  ],
  ['port', (t, o) => wire.writePort(t, o, 0x1ae1), '00000003091ae1'],
  ['suggest', (t, o) => wire.writeSuggest(t, o, 7), '000000050d00000007'],
  ['have all', wire.writeHaveAll, '000000010e'],
  ['have none', wire.writeHaveNone, '000000010f'],
  [
    'reject',
    (t, o) => wire.writeReject(t, o, 1, 0x4000, 0x4000),
    '0000000d10000000010000400000004000',
  ],
  ['allowed fast', (t, o) => wire.writeAllowedFast(t, o, 7), '000000051100000007'],
  [
    'extended',
    (t, o) => wire.writeExtended(t, o, 3, Uint8Array.of(0x64, 0x65)),
    '0000000414036465',
  ],
]

for (const [name, write, hex] of GOLDEN) {
  test(`${name} is these bytes, written where it was asked for and nowhere else`, () => {
    const target = new Uint8Array(64).fill(0xee)
    const length = write(target, 5)
    assert.equal(length, hex.length / 2)
    assert.equal(toHex(target.subarray(5, 5 + length)), hex)
    assert.ok(target.subarray(0, 5).every((byte) => byte === 0xee))
    assert.ok(target.subarray(5 + length).every((byte) => byte === 0xee))
  })
}
