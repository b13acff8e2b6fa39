/** A real process on a real image file, killed in the middle of its work. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { openFileDevice } from '../../src/block-device/index.ts'
import { formatVolume, fsck, mountVolume } from '../../src/filesystem/index.ts'
import { assertVerifies, BLOCK, formatOptions, KIB, mountOptions, sample } from './support.ts'

const folder = mkdtempSync(join(tmpdir(), 'seedbed-kill-'))
after(() => rmSync(folder, { recursive: true }))

const from = sample(1, 40 * BLOCK + 300, 48 * KIB)

/** Writes piece after piece for ever, and says after each sync how many are promised. */
const PROGRAM = `
  const support = await import(process.argv[2])
  const { openFileDevice } = await import(process.argv[3])
  const { mountVolume } = await import(process.argv[4])
  const volume = await mountVolume(await openFileDevice(process.argv[1]), support.mountOptions())
  const from = support.sample(1, 40 * support.BLOCK + 300, 48 * support.KIB)
  const stored = volume.get(from.infoHash) ?? (await volume.create(from, from.info))
  for (let piece = stored.have.count; ; piece = (piece + 1) % from.pieces) {
    await support.putPiece(stored, from, piece)
    stored.uploadedBytes++
    await volume.sync()
    console.log(stored.have.count)
  }`

const module = (path: string): string => new URL(path, import.meta.url).href

test('whatever moment the process is killed at, what it had synced is there', async () => {
  const path = join(folder, 'image')
  const device = await openFileDevice(path, { create: { bytes: 64 * BLOCK } })
  await formatVolume(device, formatOptions())
  await device.close()
  let promised = 0
  for (const lines of [1, 3, 6, 10, 15]) {
    const args = [path, module('./support.js')]
    args.push(module('../../src/block-device/index.js'), module('../../src/filesystem/index.js'))
    const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'exit')
    let seen = 0
    for await (const line of createInterface({ input: child.stdout })) {
      promised = Number(line)
      if (++seen === lines) child.kill('SIGKILL')
    }
    await ended
    assert.ok(seen >= lines)
    const report = await openFileDevice(path, { readOnly: true }).then(async (reader) => {
      const found = await fsck(reader)
      await reader.close()
      return found
    })
    assert.deepEqual(
      report.problems.filter((problem) => problem.severity !== 'notice'),
      [],
    )
    const volume = await mountVolume(await openFileDevice(path), mountOptions())
    const stored = volume.get(from.infoHash)!
    assert.ok(stored.have.count >= promised, `${stored.have.count} of ${promised} promised`)
    await assertVerifies(stored, from)
    await volume.close()
  }
})
