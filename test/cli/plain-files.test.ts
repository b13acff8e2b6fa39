/** A node over a folder of ordinary files: shares from where files lie, mirrors, is killed, and is scrubbed. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Running, seedbed, start } from './run.ts'

let root = ''
let source = ''
const running: Running[] = []

function up(name: string, ...args: string[]): Running {
  const child = start([
    ...['up', ...args, '--files', join(root, name), '--data', join(root, `${name}.data`)],
    ...['--tracker-port', '0', '--peer-port', '0', '--host', '127.0.0.1', '--bind', '127.0.0.1'],
    '--json',
  ])
  running.push(child)
  return child
}

before(() => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-plain-'))
  source = join(root, 'source')
  mkdirSync(join(source, 'deep'), { recursive: true })
  writeFileSync(join(source, 'large'), randomFillSync(Buffer.alloc(9 * 2 ** 20 + 17)))
  writeFileSync(join(source, 'deep', 'small'), 'x')
  writeFileSync(join(source, 'empty'), '')
})
after(async () => {
  for (const child of running) child.process.kill('SIGKILL')
  await Promise.all(running.map((child) => child.ended))
  rmSync(root, { recursive: true, force: true })
})

function assertSame(copy: string): void {
  const list = (path: string): string[] =>
    readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
  assert.deepEqual(list(copy), list(source))
  for (const name of list(source)) {
    if (!statSync(join(source, name)).isFile()) continue
    assert.ok(readFileSync(join(copy, name)).equals(readFileSync(join(source, name))), name)
  }
}

test('shared in place, mirrored as files, killed, restarted, listed, scrubbed, removed', async () => {
  const sharer = up('sharer', source)
  const ready = await sharer.event('ready')
  assert.equal(ready.created, true)
  assert.ok(ready.freeBytes > 0)
  const shared = await sharer.event('shared')
  assert.deepEqual(readdirSync(join(root, 'sharer')), ['.seedbed'], 'nothing was copied')

  const mirror = up('mirror', shared.magnet)
  const complete = await mirror.event('complete')
  assert.equal(complete.path, join(root, 'mirror', 'source'))
  assertSame(complete.path)
  // In use: nobody else may open it.
  const busy = await seedbed(['ls', join(root, 'mirror'), '--json'])
  assert.equal(JSON.parse(busy.stderr).error.code, 'DEVICE_BUSY')
  mirror.process.kill('SIGKILL')
  await mirror.ended

  // Known again, without a byte being read.
  const again = up('mirror')
  assert.equal((await again.event('ready')).torrents, 1)
  assert.equal((await again.stop()).status, 0)
  const listed = await seedbed(['ls', join(root, 'mirror'), '--json'])
  assert.deepEqual(
    listed.objects.map(({ infoHash, complete: whole }) => [infoHash, whole]),
    [[shared.infoHash, true]],
  )
  const told = await seedbed(['info', join(root, 'mirror'), shared.infoHash.slice(0, 8), '--json'])
  assert.equal(told.objects[0]!.allocatedBlocks, null)

  // A byte rots and the time with it: found, healed by the sharer.
  const large = join(root, 'mirror', 'source', 'large')
  const bytes = readFileSync(large)
  bytes[1_000_000]! ^= 1
  writeFileSync(large, bytes)
  const scrubbed = await seedbed(['scrub', join(root, 'mirror'), '--json'])
  assert.equal(scrubbed.status, 12)
  assert.equal(scrubbed.objects.at(-1)!.rottenPieces.length, 1)
  const healing = up('mirror', shared.magnet)
  await healing.event('complete')
  assert.equal((await healing.stop()).status, 0)
  assertSame(join(root, 'mirror', 'source'))

  // A file of what is shared is touched: it is read again, and is the same torrent.
  assert.equal((await sharer.stop()).status, 0)
  utimesSync(join(source, 'large'), new Date(), new Date())
  const sharing = up('sharer', source)
  const sharedAgain = await sharing.event('shared')
  assert.equal(sharedAgain.infoHash, shared.infoHash)
  const got = await seedbed(['get', sharedAgain.magnet, '--out', join(root, 'got'), '--json'])
  assert.equal(got.status, 0, got.stderr)
  assertSame(join(root, 'got', 'source'))
  assert.deepEqual(readdirSync(join(root, 'got')), ['source'])
  const one = ['get', sharedAgain.magnet, '--out', join(root, 'one'), '--sequential', '--json']
  const missing = await seedbed([...one, '--only', '*.iso'])
  assert.equal(JSON.parse(missing.stderr.trim().split('\n').at(-1)!).error.code, 'NODE_NO_FILES')
  const only = await seedbed([...one, '--only', 'deep/*', 'empty'])
  assert.equal(only.status, 0, only.stderr)
  const tree = readdirSync(join(root, 'one', 'source'), { recursive: true }) as string[]
  assert.deepEqual(tree.sort(), ['deep', 'deep/small'])
  assert.equal((await sharing.stop()).status, 0)

  // To an image, and back to another folder.
  const image = join(root, 'image')
  assert.equal((await seedbed(['mkfs', image, '--size', '256MiB', '--json'])).status, 0)
  const hash = shared.infoHash
  const there = await seedbed(['mv', join(root, 'mirror'), hash, '--to', image, '--json'])
  assert.equal(there.status, 0, there.stderr)
  assert.equal(there.objects.at(-1)!.event, 'moved')
  assert.deepEqual(readdirSync(join(root, 'mirror')), ['.seedbed'])
  const back = await seedbed(['mv', image, hash, '--to-files', join(root, 'moved'), '--json'])
  assert.equal(back.status, 0, back.stderr)
  assertSame(join(root, 'moved', 'source'))

  const removed = await seedbed(['rm', join(root, 'moved'), shared.infoHash, '--json'])
  assert.equal(removed.status, 0, removed.stderr)
  assert.ok(removed.objects[0]!.freedBytes >= bytes.length)
  assert.deepEqual(readdirSync(join(root, 'moved')), ['.seedbed'])
  assertSame(source)
})
