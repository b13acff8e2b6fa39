/**
 * Engines of seedbed in one process, each at an address of its own, in one swarm. A program of its own:
 *
 *   node capped-engines.js '{"torrent", "content", "directory", "hosts", "seeds", "uploadRate", "connections"}'
 *
 * Each keeps the torrent as an ordinary file in a folder of its own below `directory`; with `seeds` the first of them begins with
 * `content`. It says {"event": "listening", "peers": [{host, port}…]}. A line on stdin, all peers of the swarm in that form, begins;
 * {"event": "whole", "host"} comes for every leecher. Each further line is answered with {"event": "stats", "peers": [{host, uploaded,
 * downloaded}…]}, payload in bytes. End of stdin ends it.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { silentLogger, systemClock, systemRandom } from '../../../src/base/index.ts'
import {
  type Engine,
  type EngineTorrent,
  nodeNetwork,
  startEngine,
} from '../../../src/engine/index.ts'
import { parseMetainfo } from '../../../src/metainfo/index.ts'
import { openPlainFolder, type PlainFolder } from '../../../src/plain-files/index.ts'

export interface CappedTask {
  /** The .torrent file. */
  readonly torrent: string
  /** What it is of, one file. */
  readonly content: string
  /** For what the peers hold. */
  readonly directory: string
  readonly hosts: readonly string[]
  /** The first host is the seeder. */
  readonly seeds: boolean
  /** Of each, in bytes a second. */
  readonly uploadRate: number
  /** That each may have. */
  readonly connections: number
}

export interface CappedPeer {
  readonly host: string
  readonly port: number
}

interface Member {
  readonly host: string
  readonly folder: PlainFolder
  readonly engine: Engine
  torrent: EngineTorrent | undefined
}

const POLL_MS = 100

const task = JSON.parse(process.argv[2]!) as CappedTask
const { info } = parseMetainfo(await readFile(task.torrent))

function say(event: string, fields: object = {}): void {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)
}

async function open(host: string): Promise<Member> {
  const clock = systemClock
  // A block is a piece, as in the simulated swarm: the content stands for one that is larger by as much as a piece is.
  const options = { clock, create: true, blockBytes: info.pieceBytes }
  const folder = await openPlainFolder(join(task.directory, host), options)
  const engine = await startEngine({
    volume: folder,
    network: nodeNetwork({ clock, localAddress: host }),
    clock,
    random: systemRandom(),
    logger: silentLogger,
    peerPort: 0,
    bind: [host],
    cacheBytes: info.totalBytes,
    maxConnections: task.connections,
    rates: { up: task.uploadRate },
  })
  return { host, folder, engine, torrent: undefined }
}

async function seed({ folder, engine }: Member): Promise<EngineTorrent> {
  const stored = await folder.create(info, info.infoBytes)
  const content = await readFile(task.content)
  for (let piece = 0; piece < info.pieceCount; piece++) {
    const offset = piece * info.pieceBytes
    await stored.write(offset, content.subarray(offset, offset + info.pieceBytes))
    stored.markHave(piece)
  }
  await folder.sync()
  return engine.open(stored, info, { trackers: [] })
}

async function leech(member: Member, all: readonly CappedPeer[]): Promise<void> {
  const peers = all.filter(({ host }) => host !== member.host)
  const torrent = await member.engine.add(info, { trackers: [], peers })
  member.torrent = torrent
  // As the other contender is asked: what is verified counts, whether or not it is durable yet.
  while (torrent.progress().havePieces < info.pieceCount) await delay(POLL_MS)
  say('whole', { host: member.host })
}

const members: Member[] = []
for (const host of task.hosts) members.push(await open(host))
if (task.seeds) members[0]!.torrent = await seed(members[0]!)
say('listening', { peers: members.map(({ host, engine }) => ({ host, port: engine.port })) })

let begun = false
for await (const line of createInterface({ input: process.stdin })) {
  if (!begun) {
    begun = true
    const all = JSON.parse(line) as CappedPeer[]
    for (const member of task.seeds ? members.slice(1) : members) void leech(member, all)
    continue
  }
  const peers = members.map(({ host, torrent }) => {
    const { uploadedBytes = 0, downloadedBytes = 0 } = torrent?.progress() ?? {}
    return { host, uploaded: uploadedBytes, downloaded: downloadedBytes }
  })
  say('stats', { peers })
}
await Promise.all(members.map(({ engine }) => engine.stop()))
await Promise.all(members.map(({ folder }) => folder.close()))
process.exit(0)
