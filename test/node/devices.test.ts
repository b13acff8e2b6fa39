/** Devices of a running node that fail, go and come back. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { silentLogger, systemClock, systemRandom } from '../../src/base/index.ts'
import type { Pool } from '../../src/filesystem/index.ts'
import {
  Devices,
  type NodeEvent,
  nodeNetwork,
  openStorage,
  readSource,
  SeedbedNode,
} from '../../src/node/index.ts'
import { BLOCK, hasCode, MIB, sample } from '../filesystem/support.ts'

const root = mkdtempSync(join(tmpdir(), 'seedbed-devices-'))
after(() => rmSync(root, { recursive: true, force: true }))

const base = { clock: systemClock, random: systemRandom() }

async function made(path: string, imageBytes: number): Promise<string> {
  const { volume } = await openStorage(path, { ...base, create: true, imageBytes })
  await volume.close()
  return path
}

function startNode(devices: readonly string[], events: NodeEvent[]): Promise<SeedbedNode> {
  return SeedbedNode.start({
    ...base,
    devices,
    dataDir: root,
    peerPort: 0,
    bind: ['127.0.0.1'],
    cacheBytes: 16 * MIB,
    maxConnections: 10,
    network: nodeNetwork({ clock: systemClock, logger: silentLogger }),
    logger: silentLogger,
    onEvent: (event) => void events.push(event),
  })
}

test('a device that fails is told once, passed over, and taken back when it is well', {
  skip: process.getuid?.() !== 0 && 'needs root, for a disk of its own',
}, async (context) => {
  const small = join(root, 'small')
  mkdirSync(small)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', small]).status !== 0) {
    context.skip('mount is not allowed')
    return
  }
  try {
    const failing = await made(join(small, 'a.img'), 512 * MIB)
    const roomy = await made(join(root, 'b.img'), 64 * MIB)
    const file = join(root, 'content')
    writeFileSync(file, Buffer.alloc(5 * MIB, 'content'))
    const events: NodeEvent[] = []
    const node = await startNode([failing, roomy], events)
    const pool = node.store as Pool
    await node.sharing.share(await readSource(file))
    const [stored] = [...pool.torrents()]
    const there = pool.volumeOf(stored!)
    // Every byte of the small disk: not even an i-node can be written there.
    assert.throws(() => writeFileSync(join(small, 'filler'), Buffer.alloc(64 * MIB)))
    const broken = pool.volumes.find(({ path }) => path === failing)!
    for (let seed = 1; broken.failure === undefined; seed++) {
      assert.ok(seed < 50, 'a disk without a free byte took 50 torrents')
      const from = sample(seed, 40_000 * BLOCK, BLOCK)
      await broken.create(from, from.info).catch((error) => assert.ok(hasCode('FS_FAILED')(error)))
    }
    const failed = events.filter((event) => event.event === 'device')
    assert.deepEqual(
      failed.map((event) => [event.state, event.device]),
      [['failed', failing]],
    )
    assert.equal(pool.choose(1)!.path, roomy)
    // What it holds is served on.
    assert.ok(node.engine.get(stored!.infoHash) !== undefined)

    rmSync(join(small, 'filler'))
    await node.upkeep.refresh()
    const back = events.filter((event) => event.event === 'device').at(-1)!
    assert.deepEqual([back.state, back.device], ['open', failing])
    assert.equal(pool.volumes.length, 2)
    const again = pool.get(stored!.infoHash)!
    assert.ok(again.complete)
    assert.equal(pool.volumeOf(again).path, there.path)
    assert.equal(node.engine.get(again.infoHash)!.progress().state, 'seeding')
    assert.ok(pool.volumes.every((volume) => volume.failure === undefined))
    await node.upkeep.refresh()
    assert.equal(events.filter((event) => event.event === 'device').length, 2)
    await node.stop()
  } finally {
    spawnSync('umount', ['-l', small])
  }
})

test('none of the devices: an error; an image is made only then', async () => {
  const [a, b] = ['fresh a.img', 'fresh b.img'].map((name) => join(root, name)) as [string, string]
  await assert.rejects(Devices.open([a, b], base), hasCode('NODE_NO_VOLUME'))
  const both = await Devices.open([a, b], { ...base, create: true, imageBytes: 64 * MIB })
  assert.ok(both.pool.volumes.every((volume) => both.wasCreated(volume)))
  // The run could not start: what was made goes again.
  await both.discard()
  await made(a, 64 * MIB)
  const one = await Devices.open([a, b], { ...base, create: true })
  assert.deepEqual(
    one.absent.map(({ path, error }) => [path, error.code]),
    [[b, 'NODE_NO_VOLUME']],
  )
  const [change] = await one.refresh()
  assert.equal(change!.state, 'absent')
  await made(b, 64 * MIB)
  assert.deepEqual(
    (await one.refresh()).map(({ state }) => state),
    ['open'],
  )
  assert.deepEqual(one.absent, [])
  assert.deepEqual(await one.refresh(), [])
  await one.pool.close()
})

test('a device that is named twice is one; another way to it is in use', async () => {
  const path = await made(join(root, 'once.img'), 64 * MIB)
  const twice = await Devices.open([path, path], base)
  assert.equal(twice.pool.volumes.length, 1)
  assert.deepEqual(twice.absent, [])
  await twice.pool.close()
  const link = join(root, 'link.img')
  symlinkSync(path, link)
  const linked = await Devices.open([path, link], base)
  assert.deepEqual(
    linked.absent.map(({ error }) => error.code),
    ['DEVICE_BUSY'],
  )
  await linked.pool.close()
})
