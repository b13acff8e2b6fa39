/**
 * How the map of a torrent is cut into twins and slots, from its sizes alone. See format.md, "Map".
 *
 *   torrent's blocks   0 .. K0-1 | K0 .. K0+K-1 | ...            one slot: twin 0 is the header's
 *   i-node's twins       twin 0  |    twin 1    | ...
 *
 *   continued:         0 .. span-1        | span .. 2*span-1 | ...   one continuation each, K a twin
 *
 * Invariants: every block and every piece (by the block it begins in) belongs to exactly one twin.
 */
import { type Geometry, slotBytes } from './geometry.ts'

export const INODE_HEADER_BYTES = 128
export const PIECES_MAX: number = 2 ** 31

export interface MapLayout {
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly blockBytes: number
  readonly blocks: number
  readonly pieces: number
  /** Blocks covered by the header twin (K0), and by every other map twin (K). */
  readonly headerBlocks: number
  readonly twinBlocks: number
  /** Class of the i-node's slot, and the twins of it that are in use. */
  readonly slabClass: number
  readonly headTwins: number
  /** Continuations; 0 when the i-node carries the map itself. */
  readonly spans: number
  /** Blocks of one segment: a continuation, or all. */
  readonly spanBlocks: number
  readonly spanTwins: number
}

/** Undefined: `unmappable`, the combination of sizes leaves no room for a block and its pieces. */
export function layoutFor(
  geometry: Geometry,
  totalBytes: number,
  pieceBytes: number,
): MapLayout | 'too large' | 'unmappable' {
  const { blockBytes, payloadBytes, sectorBytes, classMax } = geometry
  const blocks = Math.ceil(totalBytes / blockBytes)
  const pieces = Math.ceil(totalBytes / pieceBytes)
  if (blocks >= 2 ** 32 || pieces > PIECES_MAX) return 'too large'
  const twinBlocks = blocksIn(payloadBytes, blockBytes, pieceBytes, pieces)
  const headerBlocks = blocksIn(payloadBytes - INODE_HEADER_BYTES, blockBytes, pieceBytes, pieces)
  const behind = Math.max(0, blocks - headerBlocks)
  if (behind > 0 && twinBlocks === 0) return 'unmappable'
  const ownTwins = 1 + (behind === 0 ? 0 : Math.ceil(behind / twinBlocks))
  const ownClass = geometry.classFor(ownTwins * 2 * sectorBytes)
  const continued = ownClass === undefined
  const spanTwins = continued ? slotBytes(classMax) / (2 * sectorBytes) : 0
  const spanBlocks = continued ? spanTwins * twinBlocks : blocks
  const spans = continued ? Math.ceil(blocks / spanBlocks) : 0
  const headTwins = continued ? 1 + Math.ceil(spans / geometry.referencesPerSector) : ownTwins
  const slabClass = ownClass ?? geometry.classFor(headTwins * 2 * sectorBytes)
  if (slabClass === undefined) return 'too large'
  // One literal, no spread: a mount makes one of these for each torrent.
  return {
    totalBytes,
    pieceBytes,
    blockBytes,
    blocks,
    pieces,
    headerBlocks: continued ? 0 : headerBlocks,
    twinBlocks,
    slabClass,
    headTwins,
    spans,
    spanBlocks,
    spanTwins,
  }
}

/** The largest number of blocks whose entries and have-bits fit `room` bytes. */
function blocksIn(room: number, blockBytes: number, pieceBytes: number, pieces: number): number {
  const bytesFor = (count: number): number =>
    4 * count + Math.ceil(Math.min(pieces, Math.ceil((count * blockBytes) / pieceBytes)) / 8)
  // Without rounding a block costs this much; where all have-bits fit anyway, it costs 4 bytes.
  const each = 4 + blockBytes / pieceBytes / 8
  let count = Math.max(Math.floor(room / each), Math.floor((room - Math.ceil(pieces / 8)) / 4), 0)
  while (count > 0 && bytesFor(count) > room) count--
  while (bytesFor(count + 1) <= room) count++
  return count
}

/** The first piece that begins in `block` or later. */
export function firstPieceFrom(layout: MapLayout, block: number): number {
  return Math.min(layout.pieces, Math.ceil((block * layout.blockBytes) / layout.pieceBytes))
}

/** The block in which `piece` begins. */
export function blockOfPiece(layout: MapLayout, piece: number): number {
  return Math.floor((piece * layout.pieceBytes) / layout.blockBytes)
}

/** The last block that `piece` touches. */
export function lastBlockOfPiece(layout: MapLayout, piece: number): number {
  const end = Math.min(layout.totalBytes, (piece + 1) * layout.pieceBytes)
  return Math.floor((end - 1) / layout.blockBytes)
}

/** Which twin covers `block`: span -1 is the i-node itself. */
export function twinOfBlock(layout: MapLayout, block: number): { span: number; twin: number } {
  if (layout.spans > 0) {
    const span = Math.floor(block / layout.spanBlocks)
    return { span, twin: Math.floor((block - span * layout.spanBlocks) / layout.twinBlocks) }
  }
  if (block < layout.headerBlocks) return { span: -1, twin: 0 }
  return { span: -1, twin: 1 + Math.floor((block - layout.headerBlocks) / layout.twinBlocks) }
}

/** The first block that a map twin covers, and how many of the torrent's blocks. */
export function blocksOfTwin(
  layout: MapLayout,
  span: number,
  twin: number,
): { first: number; count: number; capacity: number } {
  const { headerBlocks, twinBlocks, spanBlocks, blocks } = layout
  const capacity = span < 0 && twin === 0 ? headerBlocks : twinBlocks
  const first =
    span >= 0
      ? span * spanBlocks + twin * twinBlocks
      : twin === 0
        ? 0
        : headerBlocks + (twin - 1) * twinBlocks
  return { first, count: Math.max(0, Math.min(capacity, blocks - first)), capacity }
}
