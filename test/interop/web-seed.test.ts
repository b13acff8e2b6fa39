/**
 * Web seed only: nobody has the content but a web server that knows ranges. `seedbed get` downloads from it, and so does
 * libtorrent, by the .torrent file that `seedbed up --web-seed` wrote.
 */
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, normalize } from 'node:path'
import { test } from 'node:test'
import { digest, makeTree, scratchDirectory } from './content.ts'
import { havePeers } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { downloadWithLibtorrent, downloadWithSeedbed } from './swarm.ts'

const host = '127.0.0.1'
const name = 'tree'

/** Serves the files below a folder; `ranges` counts what was asked for in part. */
async function serve(root: string): Promise<{ server: Server; url: string; ranges: () => number }> {
  let ranges = 0
  const server = createServer(async (request, response) => {
    try {
      const path = join(root, normalize(decodeURIComponent(request.url ?? '/')))
      const { size } = await stat(path)
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
      const start = Number(from ?? 0)
      const end = Math.min(Number(to ?? size - 1), size - 1)
      if (from !== undefined) ranges++
      response.writeHead(from === undefined ? 200 : 206, {
        'content-length': end - start + 1,
        ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }),
      })
      createReadStream(path, { start, end }).pipe(response)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const { port } = server.address() as AddressInfo
  return { server, url: `http://${host}:${port}/`, ranges: () => ranges }
}

test('a torrent is downloaded from a web server alone', async (t) => {
  const scratch = await scratchDirectory(t)
  await mkdir(join(scratch, name))
  await makeTree(join(scratch, name))
  const { server, url, ranges } = await serve(scratch)
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const node = await up({
    paths: [join(scratch, name)],
    data: join(scratch, 'data'),
    host,
    more: ['--web-seed', url],
  })
  t.after(() => node.child.kill())
  const { torrentFile, magnet } = await shared(node.child, name, 120_000)
  assert.ok(magnet.includes(`ws=${encodeURIComponent(url)}`))
  // From here on there is nobody but the web server.
  await drain(node.child)
  const expected = await digest(join(scratch, name))
  const source = { torrent: torrentFile }

  await t.test('seedbed get', async () => {
    const directory = join(scratch, 'by-seedbed')
    await downloadWithSeedbed({ source, directory, host, name, expected })
    assert.ok(ranges() > 0)
  })
  await t.test('libtorrent', async (t) => {
    if (!havePeers(t, 'libtorrent')) return
    const before = ranges()
    await downloadWithLibtorrent({
      source,
      directory: join(scratch, 'by-libtorrent'),
      host,
      name,
      expected,
    })
    assert.ok(ranges() > before)
  })
})
