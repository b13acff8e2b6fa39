/** Several devices as one pool, and what a running node does when it is asked: by the command, as a user would. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type JsonObject, type Running, seedbed, start } from './run.ts'

const MIB = 2 ** 20
let root = ''
const running: Running[] = []

const inRoot = (...names: string[]): string => join(root, ...names)
const devicesOf = (names: readonly string[]): string[] =>
  names.flatMap((name) => ['--device', inRoot(name)])

function up(data: string, ...args: string[]): Running {
  const child = start([
    'up',
    ...args,
    ...['--data', inRoot(data), '--tracker-port', '0', '--peer-port', '0', '--host', '127.0.0.1'],
    ...['--bind', '127.0.0.1', '--image-size', '64MiB', '--json'],
  ])
  running.push(child)
  return child
}

/** A file of random bytes, to be shared. */
function content(name: string, bytes: number): string {
  mkdirSync(inRoot('shared'), { recursive: true })
  const path = inRoot('shared', name)
  writeFileSync(path, randomFillSync(Buffer.alloc(bytes)))
  return path
}

async function fetched(link: string, out: string): Promise<number | null> {
  const { status, stderr } = await seedbed([
    ...['get', link, '--out', inRoot(out), '--bind', '127.0.0.1'],
  ])
  assert.equal(status, 0, stderr)
  return status
}

function same(path: string, out: string, name: string): void {
  assert.ok(readFileSync(path).equals(readFileSync(inRoot(out, name))))
}

before(() => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-pool-'))
})
after(async () => {
  for (const child of running) child.process.kill('SIGKILL')
  await Promise.all(running.map((child) => child.ended))
  rmSync(root, { recursive: true, force: true })
})

test('three images are one place: shared, listed, exported, removed; one that is missing is told', async () => {
  const names = ['a.img', 'b.img', 'c.img']
  const files = [1, 2, 3].map((i) => content(`file ${i}`, 11 * MIB + i))
  let node = up('one', ...devicesOf(names), ...files)
  const ready = await node.event('ready')
  assert.equal(ready.created, true)
  assert.deepEqual(
    (ready.devices as JsonObject[]).map(({ device }) => device),
    names.map((name) => inRoot(name)),
  )
  const shared: JsonObject[] = []
  for (const _ of files) shared.push(await node.event('shared'))
  await fetched(shared[1]!.magnet, 'out1')
  same(files[1]!, 'out1', 'file 2')
  await node.stop()

  // One on each: where most room is.
  const listed = await seedbed(['ls', ...names.map((name) => inRoot(name)), '--json'])
  assert.equal(listed.status, 0, listed.stderr)
  assert.deepEqual(
    listed.objects.map(({ device }) => device).sort(),
    names.map((name) => inRoot(name)),
  )
  const told = await seedbed(['df', ...devicesOf(names), '--json'])
  const total = told.objects.at(-1)!
  assert.equal(total.devices, 3)
  assert.equal(total.totalBytes, 3 * 64 * MIB)
  assert.equal(total.torrents, 3)
  const exported = await seedbed([
    ...['export', ...names.map((name) => inRoot(name)), shared[2]!.infoHash],
    ...['--out', inRoot('out2')],
  ])
  assert.equal(exported.status, 0, exported.stderr)
  same(files[2]!, 'out2', 'file 3')
  const checked = await seedbed(['fsck', ...names.map((name) => inRoot(name)), '--json'])
  assert.equal(checked.status, 0)
  assert.equal(checked.objects.length, 3)
  const scrubbed = await seedbed(['scrub', ...devicesOf(names), '--json'])
  assert.equal(scrubbed.status, 0, scrubbed.stderr)
  assert.equal(scrubbed.objects.filter(({ event }) => event === 'scrubbed').length, 3)

  // Without one of them: it is told, nothing is made in its place, and the others go on.
  const of = (infoHash: string): string =>
    listed.objects.find((entry) => entry.infoHash === infoHash)!.device
  const gone = of(shared[1]!.infoHash)
  renameSync(gone, inRoot('gone'))
  const partly = await seedbed(['ls', ...names.map((name) => inRoot(name)), '--json'])
  assert.equal(partly.status, 11)
  assert.match(partly.stderr, /NODE_NO_VOLUME/)
  assert.equal(partly.objects.length, 2)
  node = up('one', ...devicesOf(names))
  const absent = await node.event('device')
  assert.deepEqual([absent.state, absent.device, absent.code], ['absent', gone, 'NODE_NO_VOLUME'])
  assert.equal((await node.event('ready')).torrents, 2)
  assert.equal(existsSync(gone), false)

  // It is plugged in again.
  renameSync(inRoot('gone'), gone)
  node.process.kill('SIGHUP')
  const back = await node.event('device')
  assert.deepEqual([back.state, back.device, back.torrents], ['open', gone, 1])
  const ended = await node.stop()
  assert.equal(ended.status, 0)

  const removed = await seedbed(['rm', ...devicesOf(names), shared[0]!.infoHash, '--json'])
  assert.equal(removed.status, 0, removed.stderr)
  const left = await seedbed(['ls', ...devicesOf(names), '--json'])
  assert.deepEqual(
    left.objects.map(({ infoHash }) => infoHash).sort(),
    [shared[1]!.infoHash, shared[2]!.infoHash].sort(),
  )
})

test('the same torrent on two devices is one, and is removed from both', async () => {
  const file = content('twice', 5 * MIB)
  for (const name of ['d.img', 'e.img']) {
    const node = up(`alone ${name}`, ...devicesOf([name]), file)
    await node.event('shared')
    await node.stop()
  }
  const listed = await seedbed(['ls', ...devicesOf(['d.img', 'e.img']), '--json'])
  assert.equal(listed.objects.length, 1)
  const { infoHash } = listed.objects[0]!
  const node = up('both', ...devicesOf(['d.img', 'e.img']))
  assert.equal((await node.event('ready')).torrents, 1)
  const { stderr } = await node.stop()
  assert.match(stderr, /lies on .*d\.img as well/)
  assert.equal((await seedbed(['rm', ...devicesOf(['d.img', 'e.img']), infoHash])).status, 0)
  for (const name of ['d.img', 'e.img']) {
    assert.deepEqual((await seedbed(['ls', inRoot(name), '--json'])).objects, [])
  }
  // A copy of a device is another matter.
  copyFileSync(inRoot('d.img'), inRoot('copy.img'))
  const copied = await seedbed(['ls', ...devicesOf(['d.img', 'copy.img']), '--json'])
  assert.equal(copied.status, 10)
  assert.match(copied.stderr, /FS_SAME_VOLUME/)
})

test('a running node takes what its image gained, and what had no room then has', async () => {
  const node = up('growing', ...devicesOf(['f.img']), content('first', 20 * MIB))
  await node.event('shared')
  truncateSync(inRoot('f.img'), 256 * MIB)
  node.process.kill('SIGHUP')
  const grown = await node.event('device')
  assert.deepEqual([grown.state, grown.totalBytes], ['grown', 256 * MIB])
  assert.ok(grown.freeBytes > 200 * MIB)
  assert.equal((await node.stop()).status, 0)
  const checked = await seedbed(['fsck', inRoot('f.img'), '--json'])
  assert.equal(checked.objects[0]!.totalBlocks, 64)
  const large = up('growing', ...devicesOf(['f.img']), content('second', 150 * MIB))
  await large.event('shared')
  await large.stop()
})

test('an image whose disk is full is passed over', {
  skip: process.getuid?.() !== 0 && 'needs root, for a disk of its own',
}, async (context) => {
  const small = inRoot('small')
  mkdirSync(small)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', small]).status !== 0) {
    context.skip('mount is not allowed')
    return
  }
  try {
    const names = ['small/a.img', 'roomy.img']
    for (const [i, name] of names.entries()) {
      const made = await seedbed(['mkfs', inRoot(name), '--size', ['512MiB', '256MiB'][i]!])
      assert.equal(made.status, 0, made.stderr)
    }
    const origin = up('origin of full', content('for the full', 9 * MIB))
    const { magnet } = await origin.event('shared')
    // Every byte of the small disk: not even an i-node can be written there.
    assert.throws(() => writeFileSync(inRoot('small', 'filler'), Buffer.alloc(32 * MIB)))
    const mirror = up('mirror of full', magnet, ...devicesOf(names))
    await mirror.event('ready')
    const complete = await mirror.event('complete')
    assert.equal(complete.path, inRoot('roomy.img'))
    await origin.stop()
    assert.equal((await mirror.stop()).status, 0)
  } finally {
    spawnSync('umount', ['-l', small])
  }
})

test('the access log begins and ends with SIGUSR2', async () => {
  const file = content('logged', 9 * MIB)
  const node = up('logging', ...devicesOf(['g.img', 'h.img']), file)
  const { magnet } = await node.event('shared')
  node.process.kill('SIGUSR2')
  const logs = [await node.event('access-log'), await node.event('access-log')]
  assert.deepEqual(
    logs.map(({ on, path }) => [on, path]),
    [1, 2].map((number) => [true, inRoot('logging', `access.log.${number}`)]),
  )
  await fetched(magnet, 'out3')
  node.process.kill('SIGUSR2')
  assert.equal((await node.event('access-log')).on, false)
  assert.equal((await node.event('access-log')).on, false)
  const sizes = logs.map(({ path }) => statSync(path).size)
  assert.ok(Math.max(...sizes) > 32, 'what was read to be uploaded is in the log of its device')
  await node.stop()
  assert.deepEqual(
    logs.map(({ path }) => statSync(path).size),
    sizes,
  )
  const busiest = logs[sizes[0]! > sizes[1]! ? 0 : 1]!.path
  const drawn = await seedbed(['plot', busiest, '--out', inRoot('log.svg'), '--json'])
  assert.equal(drawn.status, 0, drawn.stderr)
  assert.ok(drawn.objects[0]!.readBytes >= 9 * MIB)
})

test('rot is found and healed while the node runs', async () => {
  const file = content('rotting', 6 * MIB)
  const origin = up('origin', file)
  const { torrentFile, infoHash } = await origin.event('shared')
  let mirror = up('mirror', torrentFile)
  await mirror.event('complete')
  await mirror.stop()
  const image = inRoot('mirror', 'seedbed.img')
  const at = readFileSync(image).indexOf(readFileSync(file).subarray(4 * MIB, 4 * MIB + 64))
  assert.ok(at > 0)
  const fd = openSync(image, 'r+')
  writeSync(fd, 'rot', at)
  closeSync(fd)
  mirror = up('mirror', '--scrub-rate', '200MiB')
  const found = await mirror.event('scrubbed')
  assert.equal(found.infoHash, infoHash)
  assert.equal(found.rottenPieces.length, 1)
  assert.equal(found.cleared, true)
  assert.equal((await mirror.event('complete')).infoHash, infoHash)
  await mirror.stop()
  await origin.stop()
  const again = await seedbed(['scrub', image, '--json'])
  assert.equal(again.status, 0)
  assert.deepEqual(again.objects.at(-1)!.rottenPieces, [])
})
