/** The first signal says goodbye to the trackers and flushes; the second does not wait for them. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock, toHex } from '../../src/base/index.ts'
import { encodeMetainfo, parseMetainfo } from '../../src/metainfo/index.ts'
import { openPlainFolder } from '../../src/plain-files/index.ts'
import { seedbed, start } from './run.ts'

let root = ''
let server: Server
/** Events that the tracker heard; it answers all but `stopped`. */
let heard: string[] = []
let onHeard = (): void => {}

before(async () => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-signals-'))
  server = createServer((request, response) => {
    const event = new URL(request.url!, 'http://x').searchParams.get('event') ?? ''
    heard.push(event)
    onHeard()
    if (event !== 'stopped') response.end('d8:intervali900e5:peers0:e')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
after(() => {
  server.closeAllConnections()
  server.close()
  rmSync(root, { recursive: true, force: true })
})

async function heardEvent(event: string): Promise<void> {
  while (!heard.includes(event)) {
    await new Promise<void>((resolve) => {
      onHeard = resolve
    })
  }
}

/** A torrent of some other node's, announced to the tracker above. */
async function foreignTorrent(): Promise<string> {
  const content = join(root, 'content')
  writeFileSync(content, Buffer.alloc(100_000, 1))
  const common = ['--tracker-port', '0', '--peer-port', '0', '--bind', '127.0.0.1', '--json']
  const node = start([
    'up',
    content,
    '--data',
    join(root, 'origin'),
    '--host',
    '127.0.0.1',
    ...common,
  ])
  const shared = await node.event('shared')
  await node.stop()
  const { port } = server.address() as AddressInfo
  const { info } = parseMetainfo(readFileSync(shared.torrentFile))
  const path = join(root, 'foreign.torrent')
  const trackers = [[`http://127.0.0.1:${port}/announce`]]
  writeFileSync(path, encodeMetainfo({ infoBytes: info.infoBytes, trackers }))
  return path
}

test('goodbyes are said, and waited for no longer than it is worth', async () => {
  const torrent = await foreignTorrent()
  const data = join(root, 'mirror')
  const args = ['up', torrent, '--data', data, '--host', '127.0.0.1', '--bind', '127.0.0.1']
  const ports = ['--tracker-port', '0', '--peer-port', '0', '--json']

  heard = []
  const patient = start([...args, ...ports])
  await heardEvent('started')
  patient.process.kill('SIGTERM')
  await patient.event('stopped')
  assert.ok(heard.includes('stopped'))
  assert.equal((await patient.ended).status, 0)
  assert.equal((await seedbed(['fsck', '--data', data])).status, 0)

  heard = []
  const forced = start([...args, ...ports])
  await heardEvent('started')
  forced.process.kill('SIGINT')
  await forced.event('stopping')
  await heardEvent('stopped')
  const ended = await forced.stop('SIGINT')
  assert.equal(ended.status, 130)
  assert.ok(!ended.objects.some((object) => object.event === 'stopped'))
  assert.equal((await seedbed(['fsck', '--data', data])).status, 0)
})

test('an interrupted get says so, and keeps what it has only if that is something', async () => {
  const torrent = await foreignTorrent()
  const out = join(root, 'out')
  const get = ['get', torrent, '--out', out, '--bind', '127.0.0.1', '--json']

  // Nobody has it: nothing arrives, nothing stays.
  const lonely = start(get)
  await lonely.event('progress')
  const ended = await lonely.stop('SIGINT')
  assert.equal(ended.status, 130)
  assert.equal(JSON.parse(ended.stderr.trim().split('\n').at(-1)!).error.code, 'INTERRUPTED')
  assert.deepEqual(readdirSync(out), [])

  // What an earlier run brought in is not fetched again: here all of it, and nobody else is there.
  const { info } = parseMetainfo(readFileSync(torrent))
  const hidden = `.${toHex(info.infoHash).slice(0, 16)}.seedbed`
  const folder = await openPlainFolder(join(out, hidden), { clock: systemClock, create: true })
  const stored = await folder.create(info, info.infoBytes)
  await stored.write(0, readFileSync(join(root, 'content')))
  for (let piece = 0; piece < info.pieceCount; piece++) stored.markHave(piece)
  await folder.close()
  assert.deepEqual(readdirSync(out), [hidden])
  const again = await seedbed(get)
  assert.equal(again.status, 0, again.stderr)
  assert.deepEqual(readdirSync(out), ['content'])
  assert.ok(readFileSync(join(out, 'content')).equals(readFileSync(join(root, 'content'))))
})
