/** What a magnet link says besides the info-hash: peers (`x.pe`), web seeds (`ws`, BEP 19), and which files are meant (`so`, BEP 53). */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type JsonObject, type Running, seedbed, start } from './run.ts'

const NAMES = ['a', 'b', 'c', 'd'] as const
const BYTES = [300_000, 900_001, 299_999, 1] as const

let root = ''
let folder = ''
let shared: JsonObject = {}
/** The link with the info-hash and the peer alone: no tracker. */
let link = ''
const running: Running[] = []

function up(...args: string[]): Running {
  const child = start([
    ...['up', ...args, '--tracker-port', '0', '--peer-port', '0'],
    ...['--host', '127.0.0.1', '--bind', '127.0.0.1', '--json'],
  ])
  running.push(child)
  return child
}

/** Pieces that hold something of the files at these places. */
function piecesOf(pieceBytes: number, places: readonly number[]): number {
  const pieces = new Set<number>()
  let offset = 0
  for (const [place, bytes] of BYTES.entries()) {
    const last = Math.floor((offset + bytes - 1) / pieceBytes)
    for (let piece = Math.floor(offset / pieceBytes); piece <= last; piece++) {
      if (places.includes(place)) pieces.add(piece)
    }
    offset += bytes
  }
  return pieces.size
}

before(async () => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-magnet-'))
  folder = join(root, 'some files')
  mkdirSync(folder)
  for (const [i, name] of NAMES.entries()) {
    writeFileSync(join(folder, name), randomFillSync(Buffer.alloc(BYTES[i]!)))
  }
  const seeder = up(folder, '--data', join(root, 'seeder'), '--image-size', '1GiB')
  const { peerPort } = await seeder.event('ready')
  shared = await seeder.event('shared')
  link = `magnet:?xt=urn:btih:${shared.infoHash}&x.pe=127.0.0.1:${peerPort}`
})
after(async () => {
  for (const child of running) child.process.kill('SIGKILL')
  await Promise.all(running.map((child) => child.ended))
  rmSync(root, { recursive: true, force: true })
})

test('`get` finds the peers that a link names, and fetches the files that it means', async () => {
  const out = join(root, 'some')
  const got = await seedbed([
    'get',
    `${link}&so=1,3`,
    '--out',
    out,
    '--bind',
    '127.0.0.1',
    '--json',
  ])
  assert.equal(got.status, 0, got.stderr)
  assert.deepEqual(readdirSync(join(out, 'some files')).sort(), ['b', 'd'])
  for (const name of ['b', 'd']) {
    const [is, was] = [join(out, 'some files', name), join(folder, name)].map((p) =>
      readFileSync(p),
    )
    assert.ok(is!.equals(was!), name)
  }
  const wanted = got.objects.filter(({ event }) => event === 'progress').map((o) => o.wantedBytes)
  assert.ok(Math.max(...wanted) < 1_200_000, `${wanted}`)
  // What is asked for by name goes before what the link means.
  const other = ['get', `${link}&so=1`, '--only', 'a', '--out', join(root, 'a'), '--json']
  assert.equal((await seedbed([...other, '--bind', '127.0.0.1'])).status, 0)
  assert.deepEqual(readdirSync(join(root, 'a/some files')), ['a'])
  // A place that there is not.
  const none = await seedbed(['get', `${link}&so=4-9`, '--out', join(root, 'none'), '--json'])
  assert.match(none.stderr, /NODE_NO_FILES/)
})

test('onto a device `get` takes all of it, whatever the link means', async () => {
  const out = join(root, 'whole')
  const device = join(root, 'device.img')
  const made = await seedbed(['mkfs', device, '--size', '256MiB', '--json'])
  assert.equal(made.status, 0, made.stderr)
  const args = ['get', `${link}&so=0`, '--out', out, '--device', device, '--bind', '127.0.0.1']
  const got = await seedbed([...args, '--json'])
  assert.equal(got.status, 0, got.stderr)
  assert.deepEqual(readdirSync(join(out, 'some files')).sort(), [...NAMES])
})

test('`up` stores the pieces of these files and no others, remembers them, and takes another choice', async () => {
  const files = join(root, 'mirror')
  const data = ['--files', files, '--data', join(root, 'mirror-data')]
  const note = (): Buffer => readFileSync(join(files, '.seedbed', `${shared.infoHash}.info`))
  const held = async (): Promise<JsonObject> => {
    const listed = await seedbed(['ls', files, '--json'])
    return listed.objects[0]!
  }
  const first = up(`${link}&so=0`, ...data)
  await first.event('complete')
  assert.equal((await first.stop()).status, 0)
  const { pieceBytes, havePieces } = await held()
  assert.equal(havePieces, piecesOf(pieceBytes, [0]))
  assert.ok(note().includes('4:onlylli0ei0eee'))
  assert.ok(!existsSync(join(files, 'some files', 'c')))

  const second = up(`${link}&so=2-3`, ...data)
  await second.event('complete')
  assert.equal((await second.stop()).status, 0)
  assert.equal((await held()).havePieces, piecesOf(pieceBytes, [0, 2, 3]))
  assert.ok(note().includes('4:onlylli2ei3eee'))
  const kept = readFileSync(join(files, 'some files', 'c'))
  assert.ok(kept.equals(readFileSync(join(folder, 'c'))))

  // It has what it wants: nothing more is fetched after a restart.
  const third = up(...data)
  await third.event('ready')
  const ended = await third.stop()
  assert.equal(ended.status, 0)
  assert.deepEqual(
    ended.objects.filter(({ event }) => event === 'progress'),
    [],
  )
  const statuses = ended.objects.filter(({ event }) => event === 'status')
  assert.ok(statuses.length >= 1)
  const { connections, uploadSlots, misdeeds } = statuses.at(-1)!
  assert.deepEqual([connections.total, connections.max, uploadSlots.used], [0, 500, 0])
  assert.equal(misdeeds.bans, 0)
})

test('web seeds that a link names are fetched from', async () => {
  // The peer brings the metadata, and next to nothing else.
  const slow = up(
    folder,
    '--data',
    join(root, 'slow'),
    '--image-size',
    '1GiB',
    '--up-rate',
    '16KiB',
  )
  const { peerPort } = await slow.event('ready')
  await slow.event('shared')
  let asked = 0
  const server = createServer((request, response) => {
    asked++
    const name = decodeURIComponent(request.url!.split('/').at(-1)!)
    const bytes = readFileSync(join(folder, name))
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    if (range === null) {
      response.writeHead(200).end(bytes)
      return
    }
    const [from, to] = [Number(range[1]), Number(range[2])]
    response
      .writeHead(206, { 'content-range': `bytes ${from}-${to}/${bytes.length}` })
      .end(bytes.subarray(from, to + 1))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const url = encodeURIComponent(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    const out = join(root, 'web')
    const magnet = link.replace(/:\d+$/, `:${peerPort}&ws=${url}`)
    const got = await seedbed(['get', magnet, '--out', out, '--bind', '127.0.0.1', '--json'])
    assert.equal(got.status, 0, got.stderr)
    assert.deepEqual(readdirSync(join(out, 'some files')).sort(), [...NAMES])
    assert.ok(asked > 0)
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
})
