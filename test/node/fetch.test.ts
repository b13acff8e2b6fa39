/** What is asked for on a command line: many at once, and the same one twice. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { SeedbedError, silentLogger, systemClock, toHex } from '../../src/base/index.ts'
import { encodeMetainfo } from '../../src/metainfo/index.ts'
import {
  type FetchSource,
  type NodeEvent,
  nodeNetwork,
  readFetchSource,
} from '../../src/node/index.ts'
import { torrentOf } from '../torrent-store/torrent.ts'
import { startFolderNode } from './folder-node.ts'

const network = nodeNetwork({ clock: systemClock, logger: silentLogger })

test('of many that are asked for, the one that is wrong is named', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'seedbed-fetch-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const path = join(root, 'wrong.torrent')
  writeFileSync(path, 'no torrent at all')
  for (const text of [path, 'magnet:?xt=urn:btih:zz', join(root, 'absent.torrent')]) {
    await assert.rejects(readFetchSource(text, network), (error) => {
      assert.ok(error instanceof SeedbedError)
      assert.ok(error.message.includes(text), error.message)
      return true
    })
  }
  const long = `magnet:?xt=urn:btih:zz&dn=${'long'.repeat(1000)}`
  await assert.rejects(readFetchSource(long, network), (error) => {
    assert.ok(error instanceof SeedbedError)
    assert.ok(error.message.length < 400, error.message)
    return true
  })
})

test('torrents that are added at once, one of them twice, are there once each', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'seedbed-fetch-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const sources: FetchSource[] = []
  for (let i = 0; i < 6; i++) {
    const content = new Uint8Array(20_000).fill(i)
    const info = torrentOf(content, 16_384, `content ${i}`, [{ path: ['a'], bytes: 20_000 }])
    const path = join(root, `${i}.torrent`)
    writeFileSync(path, encodeMetainfo({ infoBytes: info.infoBytes }))
    sources.push(await readFetchSource(path, network))
  }
  const events: NodeEvent[] = []
  const node = await startFolderNode(root, join(root, 'folder'), events)
  t.after(() => node.stop())
  const magnet = `magnet:?xt=urn:btih:${toHex(new Uint8Array(20).fill(9))}`
  sources.push(await readFetchSource(magnet, network))
  const asked = [...sources, sources[0]!, sources[6]!, sources[0]!]
  const torrents = await Promise.all(asked.map((source) => node.served.fetch(source)))
  assert.equal(new Set(torrents).size, sources.length)
  assert.equal([...node.engine.torrents()].length, sources.length)
  assert.equal(events.filter(({ event }) => event === 'added').length, sources.length)
})
