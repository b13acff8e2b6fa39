/**
 * WebTorrent with a seedbed volume as its chunk store: it downloads onto the volume, seeds from it, resumes
 * without hashing, and what it downloaded `seedbed` exports and seeds, and the other way round.
 */
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { differences, digest, makeFile, scratchDirectory } from './content.ts'
import { Child } from './peers/child.ts'
import { haveFromNpm, NPM_FOLDER } from './peers/presence.ts'
import { drain, imageOf, seedbedJson, shared, up } from './peers/seedbed.ts'
import { MIB } from './swarm.ts'

const LIMIT_MS = 60_000

interface Asked {
  readonly torrent: string
  readonly infoHash: string
  readonly port?: number
  readonly peers?: readonly string[]
  /** Ordinary files of WebTorrent's own. */
  readonly path?: string
  /** A seedbed image. */
  readonly image?: string
  readonly bitfield?: boolean
}

function webtorrent(asked: Asked): Child {
  const program = join(NPM_FOLDER, 'webtorrent.mjs')
  return new Child('webtorrent', process.execPath, [program, JSON.stringify({ port: 0, ...asked })])
}

async function stopped(child: Child): Promise<number> {
  child.closeStdin()
  const { uploaded } = await child.event('stopped', LIMIT_MS)
  await child.succeed(LIMIT_MS)
  return Number(uploaded)
}

test('WebTorrent downloads onto a seedbed volume and seeds from it', async (t) => {
  if (!haveFromNpm(t, 'webtorrent')) return
  const scratch = await scratchDirectory(t)
  const tree = join(scratch, 'tree')
  await mkdir(join(tree, 'deep'), { recursive: true })
  for (const [name, bytes] of [
    ['large', 21 * MIB + 13],
    ['deep/small', 1],
    ['deep/odd', 70_001],
  ] as const) {
    await makeFile(join(tree, name), bytes, name)
  }
  const expected = await digest(tree)
  const origin = await up({ paths: [tree], data: join(scratch, 'data'), host: '127.0.0.1' })
  t.after(() => origin.child.kill())
  const { torrentFile, infoHash } = await shared(origin.child, 'tree', LIMIT_MS)
  await drain(origin.child)
  const torrent = { torrent: torrentFile, infoHash }
  const image = join(scratch, 'chunks.img')
  const start = (asked: Omit<Asked, 'torrent' | 'infoHash'>): Child => {
    const child = webtorrent({ ...torrent, ...asked })
    t.after(() => child.kill())
    return child
  }

  await t.test('from another WebTorrent, over TCP', async () => {
    const seeder = start({ path: scratch })
    const { port, have, pieces } = await seeder.event('ready', LIMIT_MS)
    assert.equal(have, pieces)
    const leecher = start({ image, peers: [`127.0.0.1:${port}`] })
    assert.equal((await leecher.event('ready', LIMIT_MS)).have, 0)
    await leecher.event('done', LIMIT_MS)
    await stopped(leecher)
    assert.ok((await stopped(seeder)) >= 21 * MIB)
  })

  await t.test('the volume is whole for seedbed, too', async () => {
    const [listed] = await seedbedJson(['ls', image, '--json'])
    assert.equal(listed!.infoHash, infoHash)
    assert.equal(listed!.complete, true)
    await seedbedJson(['fsck', image, '--json'])
    await seedbedJson(['scrub', image, '--json'])
    await seedbedJson(['export', image, infoHash, '--out', join(scratch, 'exported'), '--json'])
    assert.deepEqual(differences(expected, await digest(join(scratch, 'exported', 'tree'))), [])
  })

  await t.test('with the have-bitmap it begins without hashing, and seeds', async () => {
    const hashing = start({ image })
    const slow = await hashing.event('ready', LIMIT_MS)
    assert.equal(slow.have, slow.pieces)
    assert.ok(Number(slow.reads) >= Number(slow.pieces), 'without it every piece is read')
    await stopped(hashing)

    const seeder = start({ image, bitfield: true })
    const { port, have, pieces, reads } = await seeder.event('ready', LIMIT_MS)
    assert.equal(have, pieces)
    // One piece of each file, to see that it is there.
    assert.ok(Number(reads) <= 3, `${reads} reads`)
    const leecher = start({ path: join(scratch, 'copy'), peers: [`127.0.0.1:${port}`] })
    await leecher.event('done', LIMIT_MS)
    await stopped(leecher)
    assert.ok((await stopped(seeder)) >= 21 * MIB)
    assert.deepEqual(differences(expected, await digest(join(scratch, 'copy', 'tree'))), [])
  })

  await t.test('what seedbed imported it seeds from the same image', async () => {
    const seeder = start({ image: imageOf(join(scratch, 'data')), bitfield: true })
    const { port } = await seeder.event('ready', LIMIT_MS)
    const leecher = start({ path: join(scratch, 'second copy'), peers: [`127.0.0.1:${port}`] })
    await leecher.event('done', LIMIT_MS)
    await stopped(leecher)
    await stopped(seeder)
    assert.deepEqual(differences(expected, await digest(join(scratch, 'second copy', 'tree'))), [])
  })
})
