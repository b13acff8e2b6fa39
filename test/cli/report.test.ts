/** What the offline commands tell about volumes and torrents. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { toHex } from '../../src/base/index.ts'
import { buildInfo } from '../../src/metainfo/index.ts'
import { openStorage, systemClock, systemRandom } from '../../src/node/index.ts'
import { seedbed, start } from './run.ts'

const root = mkdtempSync(join(tmpdir(), 'seedbed-report-'))
after(() => rmSync(root, { recursive: true, force: true }))

test('df tells about several volumes, and about those it can when one is missing', async () => {
  const images = ['a.img', 'b.img'].map((name) => join(root, name))
  for (const [i, image] of images.entries()) {
    const size = ['--size', `${64 * (i + 1)}MiB`, '--block-size', '1MiB', '--label', `disk ${i}`]
    assert.equal((await seedbed(['mkfs', image, ...size])).status, 0)
  }
  const both = await seedbed(['df', ...images, '--json'])
  assert.equal(both.status, 0, both.stderr)
  assert.deepEqual(
    both.objects
      .slice(0, 2)
      .map(({ device, label, totalBytes, usedBytes, freeBytes, torrents }) => [
        ...[device, label, totalBytes, usedBytes, freeBytes, torrents],
      ]),
    images.map((image, i) => {
      const mib = 64 * (i + 1)
      return [image, `disk ${i}`, mib * 2 ** 20, 2 ** 20, (mib - 1) * 2 ** 20, 0]
    }),
  )
  assert.deepEqual(both.objects[2], {
    ...{ devices: 2, totalBytes: 192 * 2 ** 20, usedBytes: 2 ** 21, freeBytes: 190 * 2 ** 20 },
    torrents: 0,
  })
  const missing = await seedbed(['df', images[0]!, join(root, 'none.img'), images[1]!])
  assert.equal(missing.status, 11)
  assert.match(missing.stderr, /NODE_NO_VOLUME/)
  assert.match(missing.stdout, /disk 0[\s\S]*disk 1[\s\S]*total/)
  assert.equal((await seedbed(['df', '--device', images[0]!, '--json'])).objects.length, 1)
})

test('info tells of allocator and slabs, and with --map where a torrent lies', async () => {
  const content = join(root, 'content')
  writeFileSync(content, randomFillSync(Buffer.alloc(9 * 2 ** 20)))
  const data = join(root, 'data')
  const node = start([
    ...['up', content, '--data', data, '--image-size', '256MiB', '--json', '--bind', '127.0.0.1'],
    ...['--tracker-port', '0', '--peer-port', '0', '--host', '127.0.0.1'],
  ])
  const { infoHash } = await node.event('shared')
  assert.equal((await node.stop()).status, 0)
  const [volume] = (await seedbed(['info', '--data', data, '--json'])).objects
  const { allocator } = volume!
  assert.equal(allocator.freeBlocks, volume!.freeBlocks)
  assert.ok(allocator.freeExtents >= 1 && allocator.slabs.length >= 1)
  const [torrent] = (await seedbed(['info', infoHash, '--data', data, '--map', '--json'])).objects
  assert.equal(torrent!.blockBytes, 4 * 2 ** 20)
  assert.deepEqual(
    torrent!.extents.map(({ block, blocks }: { block: number; blocks: number }) => [block, blocks]),
    [[0, 3]],
  )
  const [plain] = (await seedbed(['info', infoHash, '--data', data, '--json'])).objects
  assert.equal(plain!.extents, undefined)
  const shown = (await seedbed(['info', infoHash, '--data', data, '--map'])).stdout
  assert.match(shown, /DEVICE OFFSET/)
  assert.match(shown, /12\.0 MiB/)
})

test('a torrent that is too damaged to be listed is named, and can be removed', async () => {
  const image = join(root, 'damaged.img')
  const size = ['--size', '64MiB', '--block-size', '64KiB']
  assert.equal((await seedbed(['mkfs', image, ...size])).status, 0)
  const { volume } = await openStorage(image, { clock: systemClock, random: systemRandom() })
  const totalBytes = 16 * 2 ** 20
  const info = buildInfo({
    name: 'content',
    multiFile: false,
    files: [{ path: ['content'], bytes: totalBytes, padding: false }],
    pieceBytes: 16_384,
    pieceHashes: new Uint8Array(20 * 1024),
  })
  const stored = await volume.create(info, info.infoBytes)
  await stored.write(0, new Uint8Array(65_536))
  await volume.close()
  // Both copies of a sector of its map.
  const { region } = (
    stored as unknown as {
      inode: { head: { region: { placeOf(twin: number, copy: number): number } } }
    }
  ).inode.head
  const file = openSync(image, 'r+')
  for (const copy of [0, 1]) writeSync(file, new Uint8Array(512), 0, 512, region.placeOf(1, copy))
  closeSync(file)

  const infoHash = toHex(info.infoHash)
  const broken = await seedbed(['fsck', image])
  assert.equal(broken.status, 4)
  assert.match(broken.stdout, new RegExp(`error: map of ${infoHash}`))
  const listed = await seedbed(['ls', image])
  assert.equal(listed.status, 0)
  assert.match(listed.stderr, /1 more cannot be read/)
  const removed = await seedbed(['rm', image, infoHash.slice(0, 8), '--json'])
  assert.equal(removed.status, 0, removed.stderr)
  assert.deepEqual(removed.objects, [{ event: 'removed', infoHash, name: null, freedBytes: 0 }])
  const [mended] = (await seedbed(['fsck', image, '--json'])).objects
  assert.equal(mended!.clean, true)
  assert.equal(mended!.dataBlocks, 0)
})
