/** A real peer, python3-libtorrent: both ways over loopback. Skipped where it is not installed. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { seededRandom, silentLogger, systemClock, systemRandom } from '../../src/base/index.ts'
import { MemoryDevice } from '../../src/block-device/index.ts'
import { type Engine, nodeNetwork, startEngine } from '../../src/engine/index.ts'
import { formatVolume, mountVolume, type Volume } from '../../src/filesystem/index.ts'
import { encodeMetainfo } from '../../src/metainfo/index.ts'
import { type Content, makeContent } from './swarm.ts'

const PYTHON = '/usr/bin/python3'
const missing = spawnSync(PYTHON, ['-c', 'import libtorrent']).status !== 0
const skip = missing ? 'python3-libtorrent is not installed' : false

const SCRIPT = `
import libtorrent as lt, sys, time
mode, torrent, path, peer = sys.argv[1:5]
off = ['enable_dht', 'enable_lsd', 'enable_upnp', 'enable_natpmp', 'enable_outgoing_utp', 'enable_incoming_utp']
settings = {name: False for name in off}
settings.update({'listen_interfaces': '127.0.0.1:0', 'allow_multiple_connections_per_ip': True})
session = lt.session(settings)
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = path
if mode == 'seed': params.flags |= lt.torrent_flags.seed_mode
handle = session.add_torrent(params)
# It turns peers away while it sets the torrent up, and says nowhere when that is over.
time.sleep(0.5)
if mode == 'leech': handle.connect_peer(('127.0.0.1', int(peer)))
print('port', session.listen_port(), flush=True)
while mode == 'seed' or not handle.status().is_seeding: time.sleep(0.05)
session.pause()
handle.flush_cache()
time.sleep(0.3)
print('done', flush=True)
`

async function volumeFor(totalBytes: number): Promise<Volume> {
  const device = new MemoryDevice({ sizeBytes: totalBytes + 64 * 1024 * 1024 })
  const options = { random: systemRandom(), clock: systemClock }
  await formatVolume(device, options)
  return mountVolume(device, options)
}

function engineFor(volume: Volume): Promise<Engine> {
  return startEngine({
    volume,
    network: nodeNetwork(),
    clock: systemClock,
    random: systemRandom(),
    logger: silentLogger,
    peerPort: 0,
    bind: ['127.0.0.1'],
    cacheBytes: 32 * 1024 * 1024,
    maxConnections: 20,
  })
}

interface Scene {
  readonly content: Content
  readonly folder: string
  run(mode: 'seed' | 'leech', path: string, port: number): ChildProcess
}

function scene(context: TestContext, pieceBytes: number): Scene {
  const folder = mkdtempSync(join(tmpdir(), 'seedbed-'))
  const children: ChildProcess[] = []
  context.after(() => {
    for (const child of children) child.kill('SIGKILL')
    rmSync(folder, { recursive: true })
  })
  const content = makeContent(16 * 1024 * 1024 + 4_321, pieceBytes, seededRandom(11))
  writeFileSync(join(folder, 'it.torrent'), encodeMetainfo({ infoBytes: content.info.infoBytes }))
  return {
    content,
    folder,
    run(mode, path, port) {
      const args = ['-c', SCRIPT, mode, join(folder, 'it.torrent'), path, String(port)]
      const child = spawn(PYTHON, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      children.push(child)
      return child
    },
  }
}

/** The text after `word` of the line that begins with it. */
function line(child: ChildProcess, word: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout!.on('data', (bytes) => {
      text += bytes
      const found = new RegExp(`^${word}(?: (.*))?\\n`, 'm').exec(text)
      if (found !== null) resolve(found[1] ?? '')
    })
    child.once('exit', () => reject(new Error(`libtorrent ended without "${word}"`)))
  })
}

for (const pieceBytes of [262_144, 49_152]) {
  test(`libtorrent seeds, pieces of ${pieceBytes} bytes`, {
    skip,
    timeout: 60_000,
  }, async (context) => {
    const { content, folder, run } = scene(context, pieceBytes)
    writeFileSync(join(folder, 'content'), content.bytes)
    const port = Number(await line(run('seed', folder, 0), 'port'))
    const volume = await volumeFor(content.bytes.length)
    const engine = await engineFor(volume)
    const torrent = await engine.add(content.info, {
      trackers: [],
      peers: [{ host: '127.0.0.1', port }],
    })
    await new Promise<void>((resolve, reject) => {
      torrent.on('complete', resolve)
      torrent.on('failed', reject)
    })
    const read = new Uint8Array(content.bytes.length)
    await torrent.stored!.read(0, read)
    assert.ok(Buffer.compare(read, content.bytes) === 0, 'identical')
    assert.equal(torrent.progress().hashFailures, 0)
    await engine.stop()
  })
}

test('libtorrent downloads', { skip, timeout: 60_000 }, async (context) => {
  const { content, folder, run } = scene(context, 262_144)
  const { info, bytes } = content
  const volume = await volumeFor(bytes.length)
  const stored = await volume.create(info, info.infoBytes)
  for (let offset = 0; offset < bytes.length; offset += volume.blockBytes) {
    await stored.write(offset, bytes.slice(offset, offset + volume.blockBytes))
  }
  for (let piece = 0; piece < info.pieceCount; piece++) stored.markHave(piece)
  const engine = await engineFor(volume)
  engine.open(stored, info, { trackers: [] })
  const path = join(folder, 'down')
  mkdirSync(path)
  await line(run('leech', path, engine.port), 'done')
  assert.ok(Buffer.compare(readFileSync(join(path, 'content')), bytes) === 0, 'identical')
  await engine.stop()
})
