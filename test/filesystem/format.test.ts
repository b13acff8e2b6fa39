/** docs/internals/format.md is true: its hex dump is what a volume made here holds. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ManualClock, type Random } from '../../src/base/index.ts'
import { MemoryDevice } from '../../src/block-device/index.ts'
import { formatVolume, mountVolume } from '../../src/filesystem/index.ts'
import { BLOCK } from './support.ts'

const page = new URL('../../../docs/internals/format.md', import.meta.url)

/** Chance that counts: bytes 0, 1, 2, ... and numbers 1, 2, 3, ... */
function counting(): Random {
  let number = 0
  return {
    uint32: () => ++number,
    fill: (target) => {
      for (let i = 0; i < target.length; i++) target[i] = i
    },
  }
}

/** Lines of 16 bytes; a run of zero lines is one line with a star. */
function dump(bytes: Uint8Array): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16)
    if (row.every((byte) => byte === 0)) {
      if (lines.at(-1) !== '   *') lines.push('   *')
      continue
    }
    const hex = Buffer.from(row)
      .toString('hex')
      .replace(/(..)(?!$)/g, '$1 ')
    const text = Buffer.from(row)
      .toString('latin1')
      .replace(/[^ -~]/g, '.')
    lines.push(`${at.toString(16).padStart(4, '0')} ${hex}  ${text}`)
  }
  return lines.join('\n')
}

async function example(): Promise<string> {
  const clock = new ManualClock(1_000_000_000_000)
  const device = new MemoryDevice({ sizeBytes: 16 * BLOCK })
  await formatVolume(device, { random: counting(), clock, blockBytes: BLOCK, label: 'example' })
  const volume = await mountVolume(device, { random: counting(), clock })
  const data = new Uint8Array(100_000).fill(0x61)
  const sha1 = (bytes: Uint8Array): Buffer => createHash('sha1').update(bytes).digest()
  const info = Buffer.concat([
    Buffer.from('d6:lengthi100000e4:name4:seed12:piece lengthi65536e6:pieces40:'),
    sha1(data.subarray(0, BLOCK)),
    sha1(data.subarray(BLOCK)),
    Buffer.from('e'),
  ])
  const geometry = { infoHash: sha1(info), totalBytes: data.length, pieceBytes: BLOCK }
  const stored = await volume.create(geometry, info, Buffer.from('de'))
  await stored.write(BLOCK, data.subarray(BLOCK))
  stored.markHave(1)
  stored.downloadedBytes = data.length - BLOCK
  await volume.sync()
  const parts: string[] = []
  for (const [title, at] of [
    ['header, copy A: byte 0, generation 1', 0],
    ['root list, twin 0, copy B: byte 0x8000, generation 2', BLOCK / 2],
    ['i-node, copy B: block 1, slot 0, second half; generation 2', BLOCK + 512],
    ['info record: block 1, slot 1', BLOCK + 1024],
  ] as const) {
    const sector = new Uint8Array(512)
    await device.read(at, sector)
    parts.push(`${title}\n${dump(sector)}`)
  }
  return parts.join('\n\n')
}

test('the hex dump of format.md is that of a real volume', async () => {
  const text = readFileSync(page, 'utf8')
  const expected = await example()
  assert.ok(text.includes(`\n${expected}\n`), `the page should hold:\n${expected}`)
})
