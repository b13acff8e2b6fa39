/**
 * The 27 benchmarks of chihaya's storage_bench by their names, over data of the same shape: 1000 info-hashes and
 * 1000 IPv4 peers from a seeded generator. What each operation does is the table's business; see
 * research into chihaya's storage/storage_bench.go in docs/internals/peer-store.md.
 */
import { type Random, seededRandom } from '../../src/base/index.ts'
import type { PeerStore } from '../../src/peer-store/index.ts'

export interface BenchPeer {
  readonly address: Uint8Array
  readonly port: number
}

export interface BenchData {
  readonly infoHashes: readonly Uint8Array[]
  readonly peers: readonly BenchPeer[]
}

export interface ContractBench {
  readonly name: string
  /** Whether 1000 swarms of 500 leechers and 500 seeders are put beforehand. */
  readonly populated: boolean
  /** One operation is one call with `i`. */
  readonly run: (store: PeerStore, data: BenchData, i: number) => void
  /** ns in Go 1.19 on the machine of the design, one thread; undefined where only the family's was measured. */
  readonly goNs: number | undefined
  /** How many times as fast we should be, single thread. */
  readonly factor: number
}

const WANTED = 50
const target = new Uint8Array(20 + WANTED * 6)
const counts = { seeders: 0, leechers: 0, completed: 0 }

export function benchData(): BenchData {
  const random: Random = seededRandom(0)
  const bytes = (length: number): Uint8Array => {
    const filled = new Uint8Array(length)
    random.fill(filled)
    return filled
  }
  return {
    infoHashes: Array.from({ length: 1000 }, () => bytes(20)),
    peers: Array.from({ length: 1000 }, () => ({
      address: bytes(4),
      port: random.uint32() & 0xffff,
    })),
  }
}

export function putPeers(store: PeerStore, { infoHashes, peers }: BenchData): void {
  for (const infoHash of infoHashes) {
    for (const [n, { address, port }] of peers.entries()) {
      if (n < 500) store.putLeecher(infoHash, address, port)
      else store.putSeeder(infoHash, address, port)
    }
  }
}

type Body = (store: PeerStore, infoHash: Uint8Array, peer: BenchPeer) => void

/** The four index patterns; each call site of its own, so that none makes another slower. */
function patterns(
  name: string,
  body: string,
  goNs: readonly (number | undefined)[],
): ContractBench[] {
  const choices = [
    ['', 'h[0]', 'p[0]'],
    ['1k', 'h[0]', 'p[i % 1000]'],
    ['1kInfohash', 'h[i % 1000]', 'p[0]'],
    ['1kInfohash1k', 'h[i % 1000]', 'p[(i * 3) % 1000]'],
  ] as const
  return choices.map(([suffix, hash, peer], n) => ({
    name: name + suffix,
    populated: false,
    run: compile(hash, peer, body),
    goNs: goNs[n],
    factor: 2,
  }))
}

function compile(hash: string, peer: string, body: string): ContractBench['run'] {
  return new Function(
    'store',
    'data',
    'i',
    `const h = data.infoHashes, p = data.peers; const hash = ${hash}, peer = ${peer}; ${body}`,
  ) as ContractBench['run']
}

function onPopulated(
  name: string,
  goNs: number,
  factor: number,
  one: boolean,
  body: Body,
): ContractBench {
  return {
    name,
    populated: true,
    goNs,
    factor,
    run: one
      ? (store, data) => body(store, data.infoHashes[0]!, data.peers[0]!)
      : (store, data, i) => body(store, data.infoHashes[i % 1000]!, data.peers[0]!),
  }
}

const put = 'store.putSeeder(hash, peer.address, peer.port);'
const del = 'store.deleteSeeder(hash, peer.address, peer.port);'
const graduate = 'store.graduateLeecher(hash, peer.address, peer.port);'
const announceLeecher: Body = (store, hash, { address, port }) => {
  store.announcePeers(hash, false, WANTED, address, port, target, 20)
}
const announceSeeder: Body = (store, hash, { address, port }) => {
  store.announcePeers(hash, true, WANTED, address, port, target, 20)
}
const scrape: Body = (store, hash) => store.scrapeSwarm(hash, 4, counts)

export const contractBenches: readonly ContractBench[] = [
  { name: 'Nop', populated: false, run: () => {}, goNs: undefined, factor: 1 },
  ...patterns('Put', put, [118, 187, 135, undefined]),
  ...patterns('PutDelete', put + del, [364, undefined, undefined, undefined]),
  ...patterns('DeleteNonexist', del, [79, undefined, undefined, undefined]),
  ...patterns('GradNonexist', graduate, [127, undefined, undefined, undefined]),
  ...patterns(
    'PutGradDelete',
    `store.putLeecher(hash, peer.address, peer.port);${graduate}${del}`,
    [607, undefined, undefined, undefined],
  ),
  onPopulated('AnnounceLeecher', 2087, 5, true, announceLeecher),
  onPopulated('AnnounceLeecher1kInfohash', 5783, 5, false, announceLeecher),
  onPopulated('AnnounceSeeder', 2081, 5, true, announceSeeder),
  onPopulated('AnnounceSeeder1kInfohash', 5772, 5, false, announceSeeder),
  onPopulated('ScrapeSwarm', 33, 1.3, true, scrape),
  onPopulated('ScrapeSwarm1kInfohash', 47, 1.3, false, scrape),
]

/** Runs `operations` from `first` on; the time of one in ns. */
export function timeBench(
  bench: ContractBench,
  store: PeerStore,
  data: BenchData,
  first: number,
  operations: number,
): number {
  const { run } = bench
  const begun = performance.now()
  for (let i = first; i < first + operations; i++) run(store, data, i)
  return ((performance.now() - begun) * 1e6) / operations
}
