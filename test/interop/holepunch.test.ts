/**
 * libtorrent brings two of ours together that cannot connect to each other (BEP 55). The two are engines in this process, on
 * real sockets of the loopback device behind a NAT of our own: a datagram comes in only from where one has gone to before,
 * and no connection over TCP does. (nftables could do it outside, and is on few machines where tests run.)
 */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { delay, silentLogger, systemClock, systemRandom } from '../../src/base/index.ts'
import {
  type Engine,
  type EngineTorrent,
  type Network,
  nodeNetwork,
  startEngine,
} from '../../src/engine/index.ts'
import type { FakeVolume } from '../engine/fake-volume.ts'
import { BLOCK_BYTES, Swarm } from '../engine/swarm.ts'
import { scratchDirectory } from './content.ts'
import { libtorrent } from './peers/libtorrent.ts'
import { havePeers } from './peers/presence.ts'
import { Rows } from './rows.ts'
import { MIB } from './swarm.ts'

const host = '127.0.0.1'
const KIB = 1024
const rows = new Rows('relay', 'seeder', 'leecher', 'met by')

/** An extended message (20) with our number for ut_pex (2), a dictionary. */
const PEX = Buffer.from([20, 2, 0x64])

/** Counts the datagrams that it keeps out. Who is not to hear of others hears of them by a number that means nothing. */
function behindNat(refused: { count: number }, hearsPex: boolean): Network {
  const network = nodeNetwork()
  const spokenTo = new Set<string>()
  return {
    ...network,
    listen: (addresses, port) =>
      network.listen(addresses, port, (socket) => {
        socket.destroy()
      }),
    openDatagram: async (address, port) => {
      const socket = await network.openDatagram(address, port)
      const { send } = socket
      socket.send = (bytes, to, toPort) => {
        spokenTo.add(`${to} ${toPort}`)
        send(bytes, to, toPort)
      }
      return {
        get port() {
          return socket.port
        },
        get backlog() {
          return socket.backlog
        },
        send: (bytes, to, toPort) => socket.send(bytes, to, toPort),
        close: () => socket.close(),
        set onQuiet(quiet: () => void) {
          socket.onQuiet = quiet
        },
        set onMessage(hear: (bytes: Uint8Array, from: string, fromPort: number) => void) {
          socket.onMessage = (bytes, from, fromPort) => {
            if (!spokenTo.has(`${from} ${fromPort}`)) {
              refused.count++
              return
            }
            const at = hearsPex
              ? -1
              : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(PEX)
            if (at >= 0) bytes[at + 1] = 98
            hear(bytes, from, fromPort)
          }
        },
      }
    },
  }
}

function engineOn(volume: FakeVolume, network: Network): Promise<Engine> {
  return startEngine({
    volume,
    network,
    clock: systemClock,
    random: systemRandom(),
    logger: silentLogger,
    peerPort: 0,
    bind: [host],
    cacheBytes: 16 * BLOCK_BYTES,
    maxConnections: 50,
    utp: 'prefer',
  })
}

test('libtorrent brings two together that nobody can connect to', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  const swarm = new Swarm(55)
  const content = swarm.content(MIB, 128 * KIB)
  await writeFile(join(scratch, 'content'), content.bytes)
  const file = join(scratch, 'content.torrent')
  const info = Buffer.from(content.info.infoBytes)
  await writeFile(file, Buffer.concat([Buffer.from('d4:info'), info, Buffer.from('e')]))
  await mkdir(join(scratch, 'out'))
  // So little that nobody gets much of it; messages have to wait for it, too.
  const relay = libtorrent({
    source: { torrent: file },
    directory: scratch,
    host,
    seed: true,
    utp: true,
    pex: true,
    uploadLimit: 4_000,
  })
  t.after(() => relay.stop())
  const listening = await relay.event('listening', 30_000)
  await relay.event('complete', 30_000)

  const refused = { count: 0 }
  const peers = [{ host, port: Number(listening.port) }]
  const open = async (
    keep: (piece: number) => boolean,
    hearsPex: boolean,
  ): Promise<EngineTorrent> => {
    const volume = await swarm.holding(content, keep)
    const engine = await engineOn(volume, behindNat(refused, hearsPex))
    t.after(() => engine.stop())
    const stored = [...volume.torrents()][0]!
    return engine.open(stored, content.info, { trackers: [], peers })
  }
  // Told at the same moment both would try at the same moment, and meet without help.
  const holder = await open((piece) => piece >= 4, false)
  const seeker = await open(() => false, true)
  const hasMet = (): boolean => holder.progress().uploadedBytes >= 128 * KIB
  for (let i = 0; i < 1_200 && !hasMet(); i++) await delay(systemClock, 100)
  assert.ok(hasMet(), `they have not met: ${JSON.stringify(seeker.progress())}`)
  assert.ok(refused.count > 0, 'the NATs kept something out')
  rows.add('libtorrent', 'seedbed', 'seedbed', 'BEP 55')
})
