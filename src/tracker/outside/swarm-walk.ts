/**
 * All swarms of a store, for who may see them: the largest, and every one as a full scrape. A listing is read in pages with turns for
 * others in between, so ten million swarms hold nobody up, and what is kept of it is bounded.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { toHex } from '../../base/index.ts'
import { type PeerStore, SwarmCursor, SwarmList } from '../../peer-store/index.ts'

const PAGE_SWARMS = 1024

export interface TopSwarm {
  readonly infoHash: string
  readonly seeders: number
  readonly leechers: number
  /** Downloads since the swarm is there. */
  readonly completed: number
}

/** Pages of a listing; the list is the same object each time. */
async function* pagesOf(store: PeerStore): AsyncGenerator<SwarmList> {
  const cursor = new SwarmCursor()
  const list = new SwarmList(PAGE_SWARMS)
  for (let ended = false; !ended; ) {
    ended = store.listSwarms(cursor, list)
    yield list
    await turn()
  }
}

/** The `count` swarms with the most peers of both families, the largest first. */
export async function topSwarms(store: PeerStore, count: number): Promise<readonly TopSwarm[]> {
  let top: TopSwarm[] = []
  let least = 0
  const peersOf = ({ seeders, leechers }: TopSwarm): number => seeders + leechers
  const cut = (): void => {
    top = top.sort((a, b) => peersOf(b) - peersOf(a)).slice(0, count)
    least = top.length < count ? 0 : peersOf(top.at(-1)!)
  }
  for await (const list of pagesOf(store)) {
    for (let i = 0; i < list.count; i++) {
      const seeders = list.seeders4[i]! + list.seeders6[i]!
      const leechers = list.leechers4[i]! + list.leechers6[i]!
      if (seeders + leechers <= least) continue
      const completed = list.completed4[i]! + list.completed6[i]!
      const infoHash = toHex(list.infoHashes.subarray(i * 20, i * 20 + 20))
      top.push({ infoHash, seeders, leechers, completed })
    }
    if (top.length >= 2 * count) cut()
  }
  cut()
  return top
}

/**
 * A scrape (BEP 48) of every swarm, both families together, in pieces. Keys are in the order of the store and not sorted: to sort
 * them all would take memory without bound.
 */
export async function* fullScrape(store: PeerStore): AsyncGenerator<Buffer> {
  yield Buffer.from('d5:filesd')
  for await (const list of pagesOf(store)) {
    if (list.count > 0) yield pageOf(list)
  }
  yield Buffer.from('ee')
}

/** `20:…d8:completei…e10:downloadedi…e10:incompletei…ee` */
const MAX_ENTRY_BYTES = 112

function pageOf(list: SwarmList): Buffer {
  const page = Buffer.allocUnsafe(list.count * MAX_ENTRY_BYTES)
  let at = 0
  for (let i = 0; i < list.count; i++) {
    at += page.write('20:', at, 'latin1')
    page.set(list.infoHashes.subarray(i * 20, i * 20 + 20), at)
    at += 20
    const complete = list.seeders4[i]! + list.seeders6[i]!
    const downloaded = list.completed4[i]! + list.completed6[i]!
    const incomplete = list.leechers4[i]! + list.leechers6[i]!
    const entry = `d8:completei${complete}e10:downloadedi${downloaded}e10:incompletei${incomplete}ee`
    at += page.write(entry, at, 'latin1')
  }
  return page.subarray(0, at)
}
