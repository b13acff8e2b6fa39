/**
 * Suite `swarm`, part 1: fifty leechers and one seeder in virtual time, every upload capped, until the last has all.
 * No swarm can be faster than `max(content / seeder, leechers * content / all uploads)`; what is measured is the virtual time
 * over that bound, a figure that no other load on the machine changes.
 */
import type { EngineTorrent } from '../../../src/engine/index.ts'
import { Swarm } from '../../../test/engine/swarm.ts'
import { lineOf, type SuiteContext } from '../../suite.ts'
import { PIECE_BYTES, shapeOf, TARGET, UPLOAD_RATE } from './shape.ts'

/** Seconds over the bound. */
async function finish(context: SuiteContext, seed: number): Promise<number> {
  const { leechers, contentBytes, boundSeconds } = shapeOf(context.quick)
  const swarm = new Swarm(seed, { latencyMs: 20 }, PIECE_BYTES)
  const content = swarm.content(contentBytes, PIECE_BYTES)
  const rates = { up: UPLOAD_RATE }
  const common = { rates, maxConnections: leechers + 10, maxConnectionsPerAddress: leechers }
  const volume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', volume, common)
  seeder.open(volume.get(content.info.infoHash)!, content.info, { trackers: [] })
  // Strangers: peers of one /24 are allowed the same pieces first (BEP 6).
  const hosts = Array.from({ length: leechers }, (_, i) => `10.${i + 1}.0.1`)
  const peers = ['10.0.0.1', ...hosts].map((host) => ({ host, port: 6881 }))
  const beganMs = swarm.clock.monotonicMs()
  const torrents: EngineTorrent[] = []
  for (const host of hosts) {
    const engine = await swarm.engine(host, swarm.volume(), { ...common, cacheBytes: contentBytes })
    const others = peers.filter((peer) => peer.host !== host)
    torrents.push(await engine.add(content.info, { trackers: [], peers: others }))
  }
  const done = (): boolean => torrents.every(({ stored }) => stored?.complete === true)
  await swarm.until(done, 20 * boundSeconds * 1000)
  const seconds = (swarm.clock.monotonicMs() - beganMs) / 1000
  context.log(
    `${leechers} leechers, seed ${seed}: ${seconds.toFixed(1)} s of virtual time, bound ${boundSeconds.toFixed(1)} s`,
  )
  await swarm.stop()
  return seconds / boundSeconds
}

export async function benchFinish(context: SuiteContext): Promise<void> {
  const values: number[] = []
  for (const seed of context.quick ? [1] : [1, 2, 3]) values.push(await finish(context, seed))
  const note = 'virtual time until the last leecher has all, over the theoretical bound'
  const figure = { suite: 'swarm', name: 'finish', unit: 'of the bound', better: 'less' } as const
  context.report(lineOf({ ...figure, values, target: TARGET, note }))
}
