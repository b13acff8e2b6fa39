/** The end of a node, when it does not go well. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../src/base/index.ts'
import { type NodeEvent, readSource } from '../../src/node/index.ts'
import { openPlainFolder } from '../../src/plain-files/index.ts'
import { hasCode } from '../filesystem/support.ts'
import { torrentOf } from '../torrent-store/torrent.ts'
import { startFolderNode } from './folder-node.ts'

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => resolve(false))
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

test('a node that is told to end while it checks what is in doubt does, and checks it the next time', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'seedbed-stop-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const content = new Uint8Array(20 * 16_384)
  const info = torrentOf(content, 16_384, 'content', [{ path: ['a'], bytes: content.length }])
  const folder = join(root, 'folder')
  const store = await openPlainFolder(folder, { clock: systemClock, create: true })
  const stored = await store.create(info, info.infoBytes)
  await stored.write(0, content)
  for (let piece = 0; piece < 10; piece++) stored.markHave(piece)
  await store.close()
  utimesSync(join(folder, 'content', 'a'), new Date(), new Date(1e12))
  const events: NodeEvent[] = []
  const ended = await startFolderNode(root, folder, events, AbortSignal.abort('SIGTERM'))
  await ended.stop()
  assert.deepEqual(
    events.map(({ event }) => event),
    ['ready'],
  )
  const node = await startFolderNode(root, folder, events)
  assert.equal(node.store.get(info.infoHash)!.have.count, 10)
  await node.stop()
})

test('a node whose storage cannot be synced says so, and leaves nothing open behind it', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'seedbed-stop-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const file = join(root, 'content')
  writeFileSync(file, Buffer.alloc(100_000, 'content'))
  const folder = join(root, 'folder')
  const events: NodeEvent[] = []
  const node = await startFolderNode(root, folder, events)
  await node.sharing.share(await readSource(file))
  const [ready] = events.filter((event) => event.event === 'ready')
  const { port } = ready!.tracker!
  assert.ok(await isListening(port))
  // Somebody took the notes away, and there is something to be noted.
  rmSync(join(folder, '.seedbed'), { recursive: true })
  for (const stored of node.store.torrents()) stored.uploadedBytes = 1000
  await assert.rejects(node.stop(), hasCode('DEVICE_MISSING'))
  assert.equal(await isListening(port), false)
  assert.equal(await isListening(ready!.peerPort), false)
  const again = await openPlainFolder(folder, { clock: systemClock })
  await again.close()
})
