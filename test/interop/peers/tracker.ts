/** A tracker as a client outside sees it: who is in a swarm. */
import { output, until } from './child.ts'
import type { Within } from './namespace.ts'

export interface SwarmCounts {
  readonly seeders: number
  readonly leechers: number
}

const FETCHER = `
  const response = await fetch(process.argv[1])
  process.stdout.write(Buffer.from(await response.arrayBuffer()))
`

/** BEP 48: the scrape URL is the announce URL with its last `announce` replaced. */
export async function scrape(
  announceUrl: string,
  infoHash: string,
  within?: Within,
): Promise<SwarmCounts> {
  const at = announceUrl.lastIndexOf('/announce')
  const path = `${announceUrl.slice(0, at)}/scrape${announceUrl.slice(at + '/announce'.length)}`
  const url = `${path}?info_hash=${infoHash.replace(/../g, '%$&')}`
  let body: string
  if (within === undefined) {
    const response = await fetch(url)
    body = Buffer.from(await response.arrayBuffer()).toString('latin1')
  } else {
    const fetcher = ['--input-type=module', '--eval', FETCHER, url]
    body = await output('scrape', ...within.wrap(process.execPath, fetcher), 20_000)
  }
  return {
    seeders: Number(/8:completei(\d+)e/.exec(body)?.[1] ?? 0),
    leechers: Number(/10:incompletei(\d+)e/.exec(body)?.[1] ?? 0),
  }
}

/** Waits until the tracker counts a seeder: a leecher that announces now finds it. */
export async function seedersAnnounced(
  announceUrl: string,
  infoHash: string,
  within?: Within,
  count = 1,
): Promise<void> {
  await until(`a seeder at ${announceUrl}`, 60_000, 100, async () => {
    return (await scrape(announceUrl, infoHash, within)).seeders >= count
  })
}
