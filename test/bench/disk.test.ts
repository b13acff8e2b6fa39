/**
 * The disk that spins as a block device: it keeps what is written, takes a disk's time, and leaves nothing behind; and
 * a download to it goes all the way, from the seeders to the bytes that are read back. Linux and root.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { CONTENDERS } from '../../bench/disk/contenders.ts'
import { runContender } from '../../bench/disk/run.ts'
import { startSeeders } from '../../bench/disk/seeders.ts'
import { recoverDisks, SimulatedDisk, whyNoDisk } from '../../bench/disk/simulated-disk.ts'
import { SCALED, type Scenario } from '../../bench/spin/scenario.ts'
import { seededRandom } from '../../src/base/index.ts'
import { allocateAligned, openFileDevice } from '../../src/block-device/index.ts'
import { Child } from '../interop/peers/child.ts'

const MIB = 2 ** 20
const LIMIT_MS = 120_000
const DISK = { sizeBytes: 64 * MIB, queueDepth: 32, seed: 1, dirtyBytes: 16 * MIB }

function haveDisk(t: TestContext): boolean {
  const why = whyNoDisk()
  if (why !== undefined) t.skip(why)
  return why === undefined
}

/** Places in memory of disks that the process `pid` made. */
const leftBy = (pid: number): string[] =>
  readdirSync('/dev/shm').filter((name) => name.startsWith(`seedbed-disk-${pid}-`))

function backedBy(pid: number): string[] {
  return readdirSync('/sys/block').filter((name) => {
    try {
      const backing = readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8')
      return backing.includes(`seedbed-disk-${pid}-`)
    } catch {
      return false
    }
  })
}

describe('the simulated disk', () => {
  test('keeps what is written and says what it did, in the time of its model', async (t) => {
    if (!haveDisk(t)) return
    const disk = await SimulatedDisk.start(DISK)
    try {
      const device = await openFileDevice(disk.device)
      const written = allocateAligned(2 * MIB)
      seededRandom(1).fill(written)
      await disk.begin()
      await device.write(8 * MIB, written)
      await device.write(40 * MIB, written)
      const read = allocateAligned(2 * MIB)
      await device.read(8 * MIB, read)
      assert.deepEqual(read, written)
      await device.close()
      const stats = await disk.stats()
      assert.equal(stats.writtenBytes, 4 * MIB)
      assert.ok(stats.readBytes >= 2 * MIB)
      assert.ok(stats.seeks >= 3)
      // Four times the rate of the disk and three seeks; elapsed time is never less than what the head was busy.
      assert.ok(stats.busyMs > (6 * MIB) / 150_000 + 3)
      assert.ok(stats.elapsedMs >= stats.busyMs)
      // Others may look at a device that was closed: what they asked for since is behind.
      const log = (await disk.log()).slice(0, stats.requests)
      assert.equal(log.length, stats.requests)
      const bytes = log.reduce((sum, access) => sum + access.bytes, 0)
      assert.equal(bytes, stats.readBytes + stats.writtenBytes)
      assert.ok(log.every(({ ms }, i) => i === 0 || ms >= log[i - 1]!.ms))
    } finally {
      await disk.stop()
    }
    assert.deepEqual(leftBy(process.pid), [])
    assert.deepEqual(backedBy(process.pid), [])
  })

  test('its bytes may lie in a folder, where nothing is seen of them', async (t) => {
    if (!haveDisk(t)) return
    const directory = mkdtempSync(join(tmpdir(), 'seedbed-disk-test-'))
    const disk = await SimulatedDisk.start({ ...DISK, backing: directory })
    try {
      assert.deepEqual(readdirSync(directory), [])
      const device = await openFileDevice(disk.device)
      const written = allocateAligned(MIB)
      seededRandom(1).fill(written)
      await disk.begin()
      await device.write(8 * MIB, written)
      const read = allocateAligned(MIB)
      await device.read(8 * MIB, read)
      assert.deepEqual(read, written)
      await device.close()
      assert.ok((await disk.stats()).backingMs > 0)
    } finally {
      await disk.stop()
      rmSync(directory, { recursive: true })
    }
    assert.deepEqual(leftBy(process.pid), [])
  })

  test('what a killed process left is taken away by the next', async (t) => {
    if (!haveDisk(t)) return
    const module = new URL('../../bench/disk/simulated-disk.js', import.meta.url).href
    const program = `
      const { SimulatedDisk } = await import(${JSON.stringify(module)})
      await SimulatedDisk.start(${JSON.stringify(DISK)})
      console.log(JSON.stringify({ event: 'started' }))`
    const child = new Child('owner', process.execPath, ['--input-type=module', '-e', program])
    await child.event('started', LIMIT_MS)
    const pid = child.pid!
    assert.equal(leftBy(pid).length, 1)
    assert.equal(backedBy(pid).length, 1)
    await child.kill()
    recoverDisks()
    assert.deepEqual(leftBy(pid), [])
    assert.deepEqual(backedBy(pid), [])
  })

  test('a torrent is downloaded to it and read back', async (t) => {
    if (!haveDisk(t)) return
    const directory = mkdtempSync(join(tmpdir(), 'seedbed-disk-test-'))
    const scenario: Scenario = {
      ...SCALED,
      name: 'small',
      torrents: 2,
      torrentBytes: 8 * MIB,
      parallel: 2,
      cacheBytes: 32 * MIB,
      diskBytes: 64 * MIB,
    }
    const seeders = await startSeeders({ directory, ...scenario, count: 3, share: 0.5 })
    try {
      const contender = CONTENDERS.find(({ name }) => name === 'seedbed')!
      const { write, read, accesses } = await runContender(contender, scenario, seeders, directory)
      assert.ok(write.stats.writtenBytes >= 16 * MIB)
      assert.ok(read.stats.readBytes >= 16 * MIB)
      assert.ok(accesses.length > 0)
    } finally {
      await seeders.end()
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
