/** A tracker as a client outside sees it: who is in a swarm. */
import { until } from './child.ts'

export interface SwarmCounts {
  readonly seeders: number
  readonly leechers: number
}

/** BEP 48: the scrape URL is the announce URL with its last `announce` replaced. */
export async function scrape(announceUrl: string, infoHash: string): Promise<SwarmCounts> {
  const at = announceUrl.lastIndexOf('/announce')
  const url = `${announceUrl.slice(0, at)}/scrape${announceUrl.slice(at + '/announce'.length)}`
  const escaped = infoHash.replace(/../g, '%$&')
  const response = await fetch(`${url}?info_hash=${escaped}`)
  const body = Buffer.from(await response.arrayBuffer()).toString('latin1')
  return {
    seeders: Number(/8:completei(\d+)e/.exec(body)?.[1] ?? 0),
    leechers: Number(/10:incompletei(\d+)e/.exec(body)?.[1] ?? 0),
  }
}

/** Waits until the tracker counts that many seeders: a leecher that announces now finds them. */
export async function seedersAnnounced(
  announceUrl: string,
  infoHash: string,
  seeders = 1,
): Promise<void> {
  await until(`${seeders} seeder(s) at ${announceUrl}`, 60_000, 100, async () => {
    return (await scrape(announceUrl, infoHash)).seeders >= seeders
  })
}
