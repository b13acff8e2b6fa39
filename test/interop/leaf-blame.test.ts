/**
 * A corrupting peer among foreign seeds of v2: libtorrent twice, once through a relay that spoils what passes. seedbed gets
 * the right content, bans the relay's address and no other. Whether a piece has several senders is up to the clock: then its leaves are
 * asked for, which libtorrent tells, as the last test holds; what happened is printed.
 */
import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { HANDSHAKE_BYTES, writeHandshake } from '../../src/engine/wire/handshake.ts'
import {
  HASH_FIELDS_BYTES,
  HASH_REQUEST_BYTES,
  writeHashRequest,
} from '../../src/engine/wire/hashes.ts'
import { MessageId } from '../../src/engine/wire/messages.ts'
import { parseMetainfo } from '../../src/metainfo/index.ts'
import { differences, digest, makeFile, scratchDirectory } from './content.ts'
import { createTorrent, libtorrent } from './peers/libtorrent.ts'
import { havePeers } from './peers/presence.ts'
import { drain, up } from './peers/seedbed.ts'
import { DOWNLOAD_LIMIT_MS, MIB } from './swarm.ts'

const SEED_LIMIT_MS = 60_000
const LIAR = '127.0.0.2'
/** Bytes of a slice that surely holds payload. */
const PAYLOAD_BYTES = 8_192

/** Passes on what comes, and changes a byte of each `every`th large slice that the seed sends. */
async function relay(t: TestContext, port: number, every: number): Promise<number> {
  const sockets = new Set<Socket>()
  let large = 0
  const server: Server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.pipe(far)
    far.on('data', (bytes: Buffer) => {
      if (bytes.length > PAYLOAD_BYTES && ++large % every === 0) bytes[bytes.length >> 1]! ^= 1
      near.write(bytes)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, LIAR, resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

for (const format of ['v2', 'hybrid'] as const) {
  test(`a corrupting peer of ${format} is banned, the honest one is not`, async (t) => {
    if (!havePeers(t, 'libtorrent')) return
    const scratch = await scratchDirectory(t)
    const content = join(scratch, 'content')
    await mkdir(content)
    await makeFile(join(content, 'large.bin'), 24 * MIB, `leaves ${format}`)
    const file = join(scratch, 'large.torrent')
    const large = join(content, 'large.bin')
    const { infoHash, magnet } = await createTorrent(large, file, 4 * MIB, [], format)
    const ports: number[] = []
    for (let i = 0; i < 2; i++) {
      const seeder = libtorrent({
        source: { torrent: file },
        directory: content,
        host: '127.0.0.1',
        seed: true,
        // So that both have their part of each piece.
        uploadLimit: MIB,
      })
      t.after(() => seeder.stop())
      const { port } = await seeder.event('listening', SEED_LIMIT_MS)
      await seeder.event('complete', SEED_LIMIT_MS)
      ports.push(Number(port))
    }
    const lying = await relay(t, ports[1]!, 20)
    const peers = `&x.pe=127.0.0.1:${ports[0]}&x.pe=${LIAR}:${lying}`
    const mirror = join(scratch, 'mirror')
    const { child } = await up({
      paths: [`${magnet}${peers}`],
      data: join(scratch, 'data'),
      host: '127.0.0.1',
      more: ['--files', mirror, '--encryption', 'off'],
    })
    t.after(() => child.kill())
    await child.event('complete', DOWNLOAD_LIMIT_MS)
    await drain(child)
    assert.deepEqual(differences(await digest(content), await digestOf(mirror)), [], infoHash)
    const statuses = child.jsonLines.filter(({ event }) => event === 'status')
    const misdeeds = statuses.at(-1)!.misdeeds as Record<string, number>
    t.diagnostic(JSON.stringify(misdeeds))
    assert.ok(misdeeds.corruptPieces! > 0)
    assert.equal(misdeeds.bans, 1)
  })
}

test('libtorrent tells the leaves of a piece, without uncles, as we ask for them', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  const file = join(scratch, 'some.torrent')
  await makeFile(join(scratch, 'some.bin'), 3 * MIB, 'leaves')
  await createTorrent(join(scratch, 'some.bin'), file, MIB, [], 'v2')
  const { info } = parseMetainfo(await readFile(file))
  const seeder = libtorrent({
    source: { torrent: file },
    directory: scratch,
    host: '127.0.0.1',
    seed: true,
  })
  t.after(() => seeder.stop())
  const { port } = await seeder.event('listening', SEED_LIMIT_MS)
  await seeder.event('complete', SEED_LIMIT_MS)
  const said = new Uint8Array(HANDSHAKE_BYTES + HASH_REQUEST_BYTES)
  const peerId = new Uint8Array(20).fill(65)
  writeHandshake(said, { infoHash: info.infoHash, peerId, supportsV2: true })
  const range = { baseLayer: 0, index: 64, length: 64, proofLayers: 0 }
  const { piecesRoot } = info.files[0]!
  writeHashRequest(said, HANDSHAKE_BYTES, piecesRoot!, range)
  const socket = connect(Number(port), '127.0.0.1', () => socket.write(said))
  t.after(() => socket.destroy())
  const answer = Buffer.alloc(5)
  answer.writeUInt32BE(1 + HASH_FIELDS_BYTES + 64 * 32, 0)
  answer[4] = MessageId.hashes
  let heard = Buffer.alloc(0)
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (bytes: Buffer) => {
      heard = Buffer.concat([heard, bytes])
      if (heard.includes(answer)) resolve()
    })
    socket.on('close', () => reject(new Error(`closed after ${heard.toString('hex')}`)))
  })
})

/** The files, without the folder's own notes. */
async function digestOf(folder: string): ReturnType<typeof digest> {
  const found = await digest(folder)
  return new Map([...found].filter(([name]) => !name.startsWith('.seedbed')))
}
