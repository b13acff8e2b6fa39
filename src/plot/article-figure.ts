/**
 * The artificial payloads of the article "a bittorrent filesystem" as figures:
 *
 * - both allocators under 500 torrents that download, finish and go: where on the device each of 180,000
 *   blocks is written;
 * - a sparse file on an ordinary filesystem, which gives an extent its place when the first of its four
 *   pieces arrives: where 10,000 pieces in random order are written.
 */
import { assert, below, type Random } from '../base/index.ts'
import { type AllocatorKind, makeAllocator } from '../filesystem/index.ts'
import { type Figure, layOut, type PanelSpec, WRITES } from './figure.ts'

export const ARTICLE = {
  blocks: 45_000,
  torrents: 500,
  allocations: 180_000,
  torrentBlocksMin: 75,
  torrentBlocksMax: 175,
  pieces: 10_000,
  piecesPerExtent: 4,
} as const

/** Calls `visit` with each block in the order of the writes. */
export function simulateAllocator(
  kind: AllocatorKind,
  random: Random,
  visit: (write: number, block: number) => void,
): void {
  const { blocks, torrents, allocations, torrentBlocksMin, torrentBlocksMax } = ARTICLE
  const allocator = makeAllocator(kind, blocks)
  const size = (): number =>
    torrentBlocksMin + below(random, torrentBlocksMax - torrentBlocksMin + 1)
  const held: number[][] = Array.from({ length: torrents }, () => [])
  const wanted = held.map(size)
  for (let write = 0; write < allocations; write++) {
    const torrent = below(random, torrents)
    const own = held[torrent]!
    const block = allocator.allocate('data')
    assert(block !== 0, 'the payload fits the device')
    visit(write, block)
    own.push(block)
    if (own.length < wanted[torrent]!) continue
    // Downloaded, and gone; another one begins.
    for (const done of own) allocator.free(done)
    held[torrent] = []
    wanted[torrent] = size()
  }
}

/** Calls `visit` with the place of each piece on the disk, in pieces, in the order of the writes. */
export function simulateSparseFile(
  random: Random,
  visit: (write: number, place: number) => void,
): void {
  const { pieces, piecesPerExtent } = ARTICLE
  const order = Array.from({ length: pieces }, (_, i) => i)
  for (let i = pieces - 1; i > 0; i--) {
    const j = below(random, i + 1)
    ;[order[i], order[j]] = [order[j]!, order[i]!]
  }
  const extents = new Map<number, number>()
  for (const [write, piece] of order.entries()) {
    const extent = Math.floor(piece / piecesPerExtent)
    const known = extents.get(extent)
    const place = known ?? extents.size
    if (known === undefined) extents.set(extent, place)
    visit(write, place * piecesPerExtent + (piece % piecesPerExtent))
  }
}

/** The allocators side by side, the sparse file below. */
export function articleFigure(random: Random): Figure {
  const { blocks, allocations, pieces } = ARTICLE
  const allocator = (kind: AllocatorKind): PanelSpec => ({
    title: `${kind} allocator`,
    x: { label: 'block writes', quantity: 'count', max: allocations },
    y: { label: 'block on the device', quantity: 'count', max: blocks },
    series: [WRITES],
    // A line is drawn thick, a cloud fine.
    dot: kind === 'sequential' ? 2 : 1,
  })
  const figure = layOut([
    [allocator('sequential'), allocator('ordered')],
    [
      {
        title: 'sparse file on an ordinary filesystem, 4 pieces an extent',
        x: { label: 'piece writes', quantity: 'count', max: pieces },
        y: { label: 'place on the disk, pieces', quantity: 'count', max: pieces },
        series: [WRITES],
        dot: 2,
      },
    ],
  ])
  const [sequential, ordered, sparse] = figure.panels
  simulateAllocator('sequential', random, (x, y) => sequential!.raster.add(0, x, y))
  simulateAllocator('ordered', random, (x, y) => ordered!.raster.add(0, x, y))
  simulateSparseFile(random, (x, y) => sparse!.raster.add(0, x, y))
  return figure
}
