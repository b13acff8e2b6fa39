/** When the volume is made durable: at once for who waits, and rarely enough for a busy disk. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { delay, ManualClock } from '../../src/base/index.ts'
import { SYNC_INTERVAL_MS, SyncPolicy } from '../../src/engine/sync-policy.ts'

const rest = () => new Promise((resolve) => setImmediate(resolve))

/** A disk on which a sync takes `syncMs`, and that has other work while `busy`. */
class Disk {
  readonly clock = new ManualClock(1_000)
  readonly begun: number[] = []
  readonly policy: SyncPolicy
  busy = false
  #shared: Promise<void> | undefined

  readonly #syncMs: number

  constructor(syncMs: number) {
    this.#syncMs = syncMs
    this.policy = new SyncPolicy(
      () => this.sync(),
      this.clock,
      (error) => assert.fail(error),
      () => this.busy,
    )
  }

  /** Those who call in one turn share it, as they do on a volume. */
  sync(): Promise<void> {
    this.#shared ??= Promise.resolve().then(async () => {
      this.#shared = undefined
      this.begun.push(this.clock.monotonicMs())
      await delay(this.clock, this.#syncMs)
    })
    return this.#shared
  }

  soon(): Promise<void> {
    return this.policy.soon(this, () => this.sync())
  }

  async pass(ms: number): Promise<void> {
    for (const endMs = this.clock.monotonicMs() + ms; this.clock.monotonicMs() < endMs; ) {
      this.clock.advance(10)
      await rest()
    }
  }
}

test('without other work every sync is at once', async () => {
  const disk = new Disk(100)
  const first = disk.soon()
  await disk.pass(200)
  await first
  const second = disk.soon()
  await disk.pass(200)
  await second
  assert.equal(disk.begun.length, 2)
  assert.ok(disk.begun[1]! - disk.begun[0]! <= 210)
})

test('on a busy disk those who can wait share a sync, and it rests between two', async () => {
  const disk = new Disk(100)
  disk.busy = true
  let told = 0
  for (let i = 0; i < 40; i++) {
    void disk.soon().then(() => told++)
    await disk.pass(100)
  }
  await disk.pass(8_000)
  assert.equal(told, 40)
  assert.ok(disk.begun.length <= 3, `${disk.begun.length} syncs`)
  for (const [i, ms] of disk.begun.entries()) {
    assert.ok(i === 0 || ms - disk.begun[i - 1]! >= 4_900, `${disk.begun}`)
  }
})

test('who cannot wait does not, and who can is served as soon as the disk is idle', async () => {
  const disk = new Disk(100)
  disk.busy = true
  await Promise.all([disk.policy.now(), disk.pass(200)])
  const second = disk.soon()
  await disk.pass(500)
  assert.equal(disk.begun.length, 1)
  await Promise.all([disk.policy.now(), disk.pass(200)])
  assert.equal(disk.begun.length, 2)
  disk.busy = false
  await Promise.all([second, disk.pass(300)])
  assert.equal(disk.begun.length, 3)
})

test('changes are durable after the interval at the latest, however busy the disk is', async () => {
  const disk = new Disk(1_000)
  disk.busy = true
  await Promise.all([disk.policy.now(), disk.pass(1_100)])
  disk.policy.changed()
  await disk.pass(SYNC_INTERVAL_MS + 100)
  assert.equal(disk.begun.length, 2)
})

test('what a sync that could wait has made durable is not synced again at the interval', async () => {
  const disk = new Disk(100)
  disk.policy.changed(disk)
  await disk.pass(SYNC_INTERVAL_MS - 200)
  await Promise.all([disk.soon(), disk.pass(150)])
  await disk.pass(2 * SYNC_INTERVAL_MS)
  assert.equal(disk.begun.length, 1)
  assert.equal(disk.clock.step(), false, 'no timer is left')
})

test('what changed since, on another disk, or nobody knows where, is', async () => {
  for (const place of ['since', 'elsewhere', 'anywhere']) {
    const disk = new Disk(100)
    disk.policy.changed(disk)
    if (place === 'elsewhere') disk.policy.changed({})
    if (place === 'anywhere') disk.policy.changed()
    await Promise.all([disk.soon(), disk.pass(150)])
    if (place === 'since') disk.policy.changed(disk)
    await disk.pass(SYNC_INTERVAL_MS + 100)
    assert.equal(disk.begun.length, 2, place)
  }
})

test('a sync that failed has made nothing durable', async () => {
  const disk = new Disk(100)
  disk.policy.changed(disk)
  const failed = disk.policy.soon(disk, () => Promise.reject(new Error('no such sector')))
  await assert.rejects(failed, /no such sector/)
  await disk.pass(SYNC_INTERVAL_MS + 100)
  assert.equal(disk.begun.length, 1)
})

test('after a stop nobody waits for a rest', async () => {
  const disk = new Disk(100)
  disk.busy = true
  await Promise.all([disk.policy.now(), disk.pass(200)])
  const second = disk.soon()
  disk.policy.stop()
  await Promise.all([second, disk.pass(150)])
  assert.equal(disk.begun.length, 2)
  assert.equal(disk.clock.step(), false, 'no timer is left')
})
