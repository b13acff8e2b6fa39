/**
 * The whole path with ourselves on both ends: a folder is shared, downloaded by magnet link and by
 * .torrent file, the node restarts without reading it again, and the offline commands agree.
 */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Running, seedbed, start } from './run.ts'

let root = ''
let folder = ''
const running: Running[] = []

function up(data: string, ...args: string[]): Running {
  const child = start([
    'up',
    ...args,
    ...['--data', data, '--tracker-port', '0', '--peer-port', '0', '--host', '127.0.0.1'],
    ...['--bind', '127.0.0.1', '--image-size', '1GiB', '--json'],
  ])
  running.push(child)
  return child
}

function sameTree(a: string, b: string): void {
  const list = (path: string): string[] =>
    readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
  assert.deepEqual(list(a), list(b))
  for (const name of list(a)) {
    if (statSync(join(a, name)).isFile()) {
      assert.ok(readFileSync(join(a, name)).equals(readFileSync(join(b, name))), name)
    }
  }
}

before(() => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-path-'))
  folder = join(root, 'folder')
  mkdirSync(join(folder, 'deep/er'), { recursive: true })
  writeFileSync(join(folder, 'large'), randomFillSync(Buffer.alloc(11 * 2 ** 20 + 17)))
  writeFileSync(join(folder, 'deep/er/one byte'), 'x')
  writeFileSync(join(folder, 'empty'), '')
  for (let i = 0; i < 50; i++) {
    writeFileSync(join(folder, 'deep', `${i}`), randomFillSync(Buffer.alloc(i * 997)))
  }
})
after(async () => {
  for (const child of running) child.process.kill('SIGKILL')
  await Promise.all(running.map((child) => child.ended))
  rmSync(root, { recursive: true, force: true })
})

test('share, get by magnet, by file and by URL, restart, export, fsck, rm', async () => {
  const data = join(root, 'data')
  const image = join(data, 'seedbed.img')
  const node = up(data, folder)
  const ready = await node.event('ready')
  assert.equal(ready.created, true)
  assert.ok(ready.tracker.port > 0)
  const shared = await node.event('shared')
  assert.equal(shared.name, 'folder')
  assert.equal(shared.known, false)
  assert.ok(existsSync(shared.torrentFile))

  // By magnet link.
  const byMagnet = await seedbed(['get', shared.magnet, '--out', join(root, 'm'), '--json'])
  assert.equal(byMagnet.status, 0, byMagnet.stderr)
  const complete = byMagnet.objects.at(-1)!
  assert.deepEqual(
    { event: complete.event, infoHash: complete.infoHash, path: complete.path },
    { event: 'complete', infoHash: shared.infoHash, path: join(root, 'm', 'folder') },
  )
  sameTree(folder, join(root, 'm/folder'))
  assert.deepEqual(readdirSync(join(root, 'm')), ['folder'], 'the temporary image is gone')

  // By .torrent file, then again: what is there is not overwritten.
  const byFile = ['get', shared.torrentFile, '--out', join(root, 'f'), '--json']
  assert.equal((await seedbed(byFile)).status, 0)
  sameTree(folder, join(root, 'f/folder'))
  const again = await seedbed(byFile)
  assert.equal(again.status, 8)
  assert.equal(JSON.parse(again.stderr).error.code, 'OUT_EXISTS')

  // By URL.
  const server = createServer((_, response) => response.end(readFileSync(shared.torrentFile)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const byUrl = await seedbed([
    ...['get', `http://127.0.0.1:${port}/x`, '--out', join(root, 'u'), '--json'],
  ])
  server.close()
  assert.equal(byUrl.status, 0, byUrl.stderr)
  sameTree(folder, join(root, 'u/folder'))

  // In use: nobody else may open it.
  const busy = await seedbed(['ls', '--device', image, '--json'])
  assert.equal(busy.status, 4)
  assert.equal(JSON.parse(busy.stderr).error.code, 'DEVICE_BUSY')

  assert.equal((await node.stop()).status, 0)

  // A restart knows the folder, and seeds it even when it is not named.
  const second = up(data, folder)
  await second.event('ready')
  const known = await second.event('shared')
  assert.equal(known.known, true)
  assert.equal(known.infoHash, shared.infoHash)
  assert.equal((await second.stop('SIGINT')).status, 0)
  const third = up(data)
  const thirdReady = await third.event('ready')
  assert.equal(thirdReady.torrents, 1)
  const magnet = shared.magnet.replace(/&tr=[^&]*/g, '')
  const tracker = encodeURIComponent(thirdReady.tracker.urls[0])
  const late = await seedbed([
    ...['get', `${magnet}&tr=${tracker}`, '--out', join(root, 'late'), '--json'],
  ])
  assert.equal(late.status, 0, late.stderr)
  sameTree(folder, join(root, 'late/folder'))
  assert.equal((await third.stop()).status, 0)

  // Offline.
  const fsck = await seedbed(['fsck', image, '--json'])
  assert.equal(fsck.status, 0, fsck.stdout)
  const listed = await seedbed(['ls', '--data', data, '--json'])
  assert.deepEqual(
    listed.objects.map((object) => [object.infoHash, object.complete, object.name]),
    [[shared.infoHash, true, 'folder']],
  )
  const info = await seedbed(['info', image, shared.infoHash.slice(0, 8), '--json'])
  assert.equal(info.objects[0]!.files.length, 53)
  const out = await seedbed(['export', image, shared.infoHash, '--out', join(root, 'x')])
  assert.equal(out.status, 0, out.stderr)
  sameTree(folder, join(root, 'x/folder'))
  assert.equal((await seedbed(['rm', image, shared.infoHash])).status, 0)
  const volume = (await seedbed(['info', '--device', image, '--json'])).objects[0]!
  assert.equal(volume.torrents, 0)
  assert.equal(volume.dataBlocks, 0)
  assert.equal((await seedbed(['fsck', image])).status, 0)
})

test('a node mirrors a torrent, and goes on seeding it when the first one is gone', async () => {
  const first = up(join(root, 'first'), folder)
  const shared = await first.event('shared')
  const mirror = up(join(root, 'mirror'), shared.torrentFile)
  const complete = await mirror.event('complete')
  assert.equal(complete.infoHash, shared.infoHash)
  assert.equal((await first.stop()).status, 0)
  const { urls } = (await mirror.event('ready')).tracker
  const magnet = `magnet:?xt=urn:btih:${shared.infoHash}&tr=${encodeURIComponent(urls[1])}`
  const got = await seedbed(['get', magnet, '--out', join(root, 'fromMirror'), '--json'])
  assert.equal(got.status, 0, got.stderr)
  sameTree(folder, join(root, 'fromMirror/folder'))
  assert.equal((await mirror.stop()).status, 0)
})

test('a scrub finds rot, and the next start heals it from the swarm', async () => {
  const seeder = up(join(root, 'healthy'), folder)
  const shared = await seeder.event('shared')
  const data = join(root, 'rotten')
  const image = join(data, 'seedbed.img')
  const mirror = up(data, shared.torrentFile)
  await mirror.event('complete')
  assert.equal((await mirror.stop()).status, 0)
  const sound = await seedbed(['scrub', '--data', data, '--rate', '1GiB', '--json'])
  assert.equal(sound.status, 0, sound.stderr)
  assert.deepEqual(sound.objects.at(-1)!.rottenPieces, [])

  const content = readFileSync(join(folder, 'large')).subarray(5_000_000, 5_000_064)
  const file = openSync(image, 'r+')
  const bytes = Buffer.alloc(64 * 2 ** 20)
  readSync(file, bytes, 0, bytes.length, 0)
  writeSync(file, 'rot', bytes.indexOf(content))
  closeSync(file)
  const dry = await seedbed(['scrub', image, '--dry-run', '--json'])
  assert.equal(dry.status, 12)
  assert.equal(dry.objects.at(-1)!.cleared, false)
  const scrubbed = await seedbed(['scrub', image, shared.infoHash.slice(0, 8), '--json'])
  assert.equal(scrubbed.status, 12, scrubbed.stderr)
  const report = scrubbed.objects.at(-1)!
  assert.deepEqual(
    [report.event, report.infoHash, report.rottenPieces.length, report.cleared],
    ['scrubbed', shared.infoHash, 1, true],
  )
  assert.equal((await seedbed(['scrub', image])).status, 0, 'what is left is sound')

  const healed = up(data)
  await healed.event('complete')
  assert.equal((await healed.stop()).status, 0)
  assert.equal((await seeder.stop()).status, 0)
  const last = await seedbed(['scrub', image, '--json'])
  assert.equal(last.status, 0)
  assert.equal(last.objects.at(-1)!.checkedPieces, report.checkedPieces)
  const out = await seedbed(['export', image, shared.infoHash, '--out', join(root, 'healed')])
  assert.equal(out.status, 0, out.stderr)
  sameTree(folder, join(root, 'healed/folder'))
})

test('what stands in the way is named, with the mend and an exit status, and nothing is left behind', async () => {
  const taken = createTcpServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as AddressInfo
  const bind = ['--bind', '127.0.0.1', '--host', '127.0.0.1', '--json']
  const foreign = join(root, 'foreign.img')
  writeFileSync(
    foreign,
    Buffer.concat([Buffer.alloc(1080), Buffer.from([0x53, 0xef]), Buffer.alloc(2 ** 27)]),
  )
  const small = ['--image-size', '64MiB']
  const big = join(root, 'big')
  writeFileSync(big, Buffer.alloc(70 * 2 ** 20, 7))
  const cases: { args: string[]; status: number; code: string; leaves?: string[] }[] = [
    { args: ['--tracker-port', `${port}`], status: 3, code: 'TRACKER_PORT_TAKEN', leaves: [] },
    {
      args: ['--tracker-port', '0', '--peer-port', `${port}`],
      status: 3,
      code: 'ENGINE_PORT_TAKEN',
      leaves: [],
    },
    { args: ['--device', foreign], status: 5, code: 'FS_FOREIGN', leaves: [] },
    {
      args: ['--device', join(root, 'nowhere', 'x.img')],
      status: 11,
      code: 'NODE_NO_VOLUME',
      leaves: [],
    },
    { args: [join(root, 'nowhere')], status: 7, code: 'SOURCE_MISSING' },
    { args: [big, ...small], status: 6, code: 'NODE_NO_SPACE', leaves: ['seedbed.img'] },
    { args: ['magnet:?xt=urn:btih:zz'], status: 9, code: 'METAINFO_BAD_MAGNET' },
  ]
  for (const [index, { args, status, code, leaves }] of cases.entries()) {
    const data = join(root, `case-${index}`)
    const ports = args.includes('--tracker-port') ? [] : ['--tracker-port', '0']
    const peer = args.includes('--peer-port') ? [] : ['--peer-port', '0']
    const ended = await seedbed(['up', ...args, '--data', data, ...ports, ...peer, ...bind])
    assert.equal(ended.status, status, `${code}: ${ended.stderr}${ended.stdout}`)
    const { error } = JSON.parse(ended.stderr.trim().split('\n').at(-1)!)
    assert.equal(error.code, code)
    assert.ok(error.mend.length > 10)
    if (leaves === undefined) assert.equal(existsSync(data), false, `${code} made ${data}`)
    else assert.deepEqual(readdirSync(data), leaves, code)
  }
  taken.close()
})

test('wrong command lines end with 2, fsck with its own bits', async () => {
  assert.equal((await seedbed(['up', '--peer-port', 'x'])).status, 2)
  assert.equal((await seedbed(['sprout'])).status, 2)
  const image = join(root, 'wrong.img')
  const sizes = [...['--size', '64MiB'], ...['--block-size', '100000']]
  for (const args of [
    ['mkfs', root],
    ['mkfs', image, ...sizes],
  ]) {
    const ended = await seedbed([...args, '--json'])
    assert.equal(ended.status, 2, ended.stderr)
    assert.ok(JSON.parse(ended.stderr).error.mend.length > 10)
  }
  assert.equal((await seedbed(['get', 'magnet:?xt=1'])).status, 2, '--out is required')
  assert.equal((await seedbed(['--version'])).status, 0)
  assert.equal((await seedbed(['fsck', '--nonsense'])).status, 16)
  assert.equal((await seedbed(['fsck', join(root, 'no-such-image')])).status, 8)
  assert.equal((await seedbed(['ls', join(root, 'no-such-image')])).status, 11)
})

test('grow extends an image and gives all of it to the volume; nothing else is made larger', async () => {
  const image = join(root, 'growing.img')
  const options = ['--block-size', '1MiB', '--json']
  assert.equal((await seedbed(['mkfs', image, '--size', '64MiB', ...options])).status, 0)
  const grown = await seedbed(['grow', image, '--size', '200MiB', '--json'])
  assert.equal(grown.status, 0, grown.stderr)
  const { event, blocksBefore, totalBlocks, deviceBytes } = grown.objects[0]!
  assert.deepEqual(
    [event, blocksBefore, totalBlocks, deviceBytes],
    ['grown', 64, 200, 200 * 2 ** 20],
  )
  const again = await seedbed(['grow', image])
  assert.match(again.stdout, /already/)
  const smaller = await seedbed(['grow', image, '--size', '100MiB', '--json'])
  assert.equal(JSON.parse(smaller.stderr).error.code, 'DEVICE_RANGE')
  truncateSync(image, 201 * 2 ** 20)
  assert.equal((await seedbed(['grow', image, '--json'])).objects[0]!.totalBlocks, 201)
  assert.equal((await seedbed(['fsck', image])).status, 0)

  const text = join(root, 'letter.txt')
  writeFileSync(text, 'x'.repeat(5000))
  assert.equal((await seedbed(['grow', text, '--size', '1GiB'])).status, 5)
  assert.equal(statSync(text).size, 5000)
  assert.equal((await seedbed(['grow', join(root, 'nothing'), '--size', '1GiB'])).status, 11)
})

test('mkfs refuses what is in use already; fsck tells a damaged volume from a sound one', async () => {
  const image = join(root, 'damaged.img')
  const made = ['mkfs', image, '--size', '256MiB', '--block-size', '1MiB', '--json']
  assert.equal((await seedbed(made)).status, 0)
  assert.equal((await seedbed(made)).status, 5)
  assert.equal((await seedbed(['mkfs', image, '--force', '--block-size', '1MiB'])).status, 0)
  const sound = join(root, 'sound.img')
  copyFileSync(image, sound)

  // One copy of the header is enough; a repair writes the other one again.
  const bytes = readFileSync(image)
  bytes.fill(0xa5, 0, 512)
  writeFileSync(image, bytes)
  const noticed = (await seedbed(['fsck', image, '--json'])).objects[0]!
  assert.deepEqual(
    noticed.problems.map((problem: { check: string }) => problem.check),
    ['header'],
  )
  assert.equal((await seedbed(['fsck', image, '--repair'])).status, 1)
  assert.deepEqual((await seedbed(['fsck', image, '--json'])).objects[0]!.problems, [])

  // Without any header it is no volume any more; the sound one still is.
  bytes.fill(0xa5, 0, 2 ** 20)
  writeFileSync(image, bytes)
  assert.equal((await seedbed(['fsck', image])).status, 8)
  assert.equal((await seedbed(['fsck', sound])).status, 0)
})

for (const format of ['v2', 'hybrid']) {
  test(`share, get by magnet and by file, restart, ls, info, scrub, export: ${format}`, async () => {
    const data = join(root, `data-${format}`)
    const node = up(data, folder, '--format', format)
    const shared = await node.event('shared')
    assert.equal(shared.infoHashV2.length, 64)
    assert.equal(shared.magnet.includes('urn:btmh:1220'), true)
    assert.equal(shared.magnet.includes('urn:btih:'), format === 'hybrid')
    for (const [name, source] of [
      ['magnet', shared.magnet],
      ['file', shared.torrentFile],
    ]) {
      const out = join(root, `${format}-${name}`)
      const got = await seedbed(['get', source, '--out', out, '--json'])
      assert.equal(got.status, 0, got.stderr)
      sameTree(folder, join(out, 'folder'))
    }
    node.process.kill('SIGTERM')
    await node.ended
    const again = up(data, folder, '--format', format)
    assert.equal((await again.event('shared')).known, true)
    again.process.kill('SIGTERM')
    await again.ended
    const image = join(data, 'seedbed.img')
    const [entry] = (await seedbed(['ls', '--device', image, '--json'])).objects
    assert.deepEqual(
      [entry!.format, entry!.infoHashV2, entry!.bytes],
      [format, shared.infoHashV2, shared.bytes],
    )
    const info = await seedbed(['info', '--device', image, shared.infoHash, '--json'])
    assert.equal(info.objects[0]!.infoHashV2, shared.infoHashV2)
    const scrub = await seedbed(['scrub', '--device', image, '--json'])
    assert.equal(scrub.status, 0, scrub.stderr)
    const out = join(root, `${format}-export`)
    const exported = await seedbed(['export', '--device', image, shared.infoHash, '--out', out])
    assert.equal(exported.status, 0, exported.stderr)
    sameTree(folder, join(out, 'folder'))
  })
}
