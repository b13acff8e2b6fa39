/** Foreign clients complete from a seed that shows them a few pieces at a time (BEP 16): one alone, and several that need each other. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { havePeers } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { downloadWithAria2, downloadWithLibtorrent, downloadWithSeedbed, MIB } from './swarm.ts'

const IMPORT_LIMIT_MS = 60_000

test('foreign clients download from a super-seed', async (t) => {
  if (!havePeers(t, 'libtorrent') || !havePeers(t, 'aria2')) return
  const scratch = await scratchDirectory(t)
  const name = 'content.bin'
  await mkdir(join(scratch, 'content'))
  await makeFile(join(scratch, 'content', name), 64 * MIB, 'super-seed')
  const expected = await digest(join(scratch, 'content', name))
  const begin = async (data: string): ReturnType<typeof up> =>
    up({
      paths: [join(scratch, 'content', name)],
      data: join(scratch, data),
      host: '127.0.0.1',
      more: ['--super-seed'],
    })
  const clients = [
    ['libtorrent', downloadWithLibtorrent],
    ['aria2', downloadWithAria2],
    ['seedbed', downloadWithSeedbed],
  ] as const
  for (const [client, download] of clients) {
    await t.test(`${client} alone`, async (t) => {
      const { child } = await begin(`data-${client}`)
      t.after(() => child.kill())
      const { torrentFile } = await shared(child, name, IMPORT_LIMIT_MS)
      const directory = join(scratch, `${client}-alone`)
      await download({
        source: { torrent: torrentFile },
        directory,
        host: '127.0.0.1',
        name,
        expected,
      })
      await drain(child)
    })
  }
  await t.test('three at a time', async (t) => {
    const { child } = await begin('data')
    t.after(() => child.kill())
    const { torrentFile } = await shared(child, name, IMPORT_LIMIT_MS)
    const source = { torrent: torrentFile }
    await Promise.all(
      clients.map(([client, download]) =>
        download({
          source,
          directory: join(scratch, `${client}-together`),
          host: '127.0.0.1',
          name,
          expected,
        }),
      ),
    )
    await drain(child)
  })
})
