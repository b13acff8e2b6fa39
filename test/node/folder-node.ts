/** A node over a folder of ordinary files, on loopback and on ports that are free. */
import { silentLogger, systemClock, systemRandom } from '../../src/base/index.ts'
import { type NodeEvent, nodeNetwork, SeedbedNode } from '../../src/node/index.ts'

/** Its events are put into `events`; a `signal` ends its start. */
export function startFolderNode(
  dataDir: string,
  folder: string,
  events: NodeEvent[],
  signal?: AbortSignal,
): Promise<SeedbedNode> {
  return SeedbedNode.start({
    clock: systemClock,
    random: systemRandom(),
    devices: [folder],
    folder: true,
    dataDir,
    tracker: { port: 0, hosts: ['127.0.0.1'] },
    peerPort: 0,
    bind: ['127.0.0.1'],
    cacheBytes: 16 * 2 ** 20,
    maxConnections: 10,
    network: nodeNetwork({ clock: systemClock, logger: silentLogger }),
    logger: silentLogger,
    ...(signal === undefined ? {} : { signal }),
    onEvent: (event) => void events.push(event),
  })
}
