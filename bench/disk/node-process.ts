/**
 * seedbed downloading torrents side by side: the node of `seedbed up`, given the next torrent when one is whole. A
 * program of its own, as its rivals are:
 *
 *   node node-process.js '{"storage", "folder", "dataDir", "torrents", "parallel", "cacheBytes", "accessLog"?}'
 *
 * It says {"event": "done"} when all torrents are whole, which means synced, then seeds. End of stdin stops it.
 */
import { createInterface } from 'node:readline'
import { silentLogger } from '../../src/base/index.ts'
import {
  nodeNetwork,
  readFetchSource,
  SeedbedNode,
  systemClock,
  systemRandom,
} from '../../src/node/index.ts'

export interface NodeTask {
  /** A device or a folder. */
  readonly storage: string
  readonly folder: boolean
  readonly dataDir: string
  readonly torrents: readonly string[]
  readonly parallel: number
  readonly cacheBytes: number
  readonly accessLog?: string
}

const task = JSON.parse(process.argv[2]!) as NodeTask
const say = (event: string, fields: object = {}): void =>
  void process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)

const network = nodeNetwork({ clock: systemClock, logger: silentLogger })
let next = 0
let whole = 0
const node = await SeedbedNode.start({
  devices: [task.storage],
  folder: task.folder,
  dataDir: task.dataDir,
  ...(task.accessLog === undefined ? {} : { accessLog: task.accessLog }),
  peerPort: 0,
  bind: ['127.0.0.1'],
  cacheBytes: task.cacheBytes,
  maxConnections: 2_000,
  encryption: 'off',
  clock: systemClock,
  random: systemRandom(),
  network,
  logger: silentLogger,
  onEvent(event) {
    if (event.event === 'ready') say('listening', { port: event.peerPort })
    if (event.event === 'failed') say('failed', { message: event.message })
    if (event.event !== 'complete') return
    whole++
    if (whole === task.torrents.length) say('done')
    else void addNext()
  },
})

async function addNext(): Promise<void> {
  const path = task.torrents[next++]
  if (path === undefined) return
  try {
    await node.served.fetch(await readFetchSource(path, network))
  } catch (error) {
    say('failed', { message: String(error) })
  }
}

await Promise.all(Array.from({ length: task.parallel }, addNext))
const lines = createInterface({ input: process.stdin })
lines.on('close', () => {
  void node.stop().then(() => process.exit(0))
})
