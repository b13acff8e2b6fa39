/**
 * An i-node in memory, and its sectors. Layout: docs/internals/format.md, "I-node".
 *
 * Invariants: the map and the have-bits here are at least as new as those on the device; `dirty` names
 * every twin whose sector on the device differs from what `encodeTwin` would give.
 */
import { Bitfield } from '../base/index.ts'
import { BlockMap, FILLER } from './block-map.ts'
import {
  type Geometry,
  REFERENCE_BYTES,
  type Reference,
  readReference,
  slotBytes,
  writeReference,
} from './geometry.ts'
import {
  blocksOfTwin,
  firstPieceFrom,
  INODE_HEADER_BYTES,
  lastBlockOfPiece,
  layoutFor,
  type MapLayout,
} from './layout.ts'
import { readU32, readU64, writeU32, writeU64 } from './little-endian.ts'
import { KIND_CONTINUATION, KIND_INODE, KIND_MAP, KIND_TABLE } from './sector.ts'
import { TwinRegion } from './twins.ts'

const MAGIC = new TextEncoder().encode('SEEDNODE')
const FLAG_CONTINUED = 1
/** Where the reference to the info record lies in the header. */
const INFO_AT = 72

/** One slot of map: the i-node itself (span -1) or a continuation. */
export class MapSlot {
  readonly span: number
  readonly reference: Reference
  readonly region: TwinRegion
  #dirty: Set<number> | undefined

  constructor(span: number, reference: Reference, region: TwinRegion) {
    this.span = span
    this.reference = reference
    this.region = region
  }

  /** Twins to be written. Made on first use: of 100,000 torrents most never change. */
  get dirty(): Set<number> {
    this.#dirty ??= new Set()
    return this.#dirty
  }
}

export interface Identity {
  readonly infoHash: Uint8Array
  readonly addedAtMs: number
  readonly infoBytes: number
  readonly attributesBytes: number
  readonly layersBytes: number
  /** The chain of the info record, in order. */
  readonly info: readonly Reference[]
}

export class Inode {
  readonly layout: MapLayout
  readonly infoHash: Uint8Array
  readonly addedAtMs: number
  readonly infoBytes: number
  attributesBytes: number
  layersBytes: number
  info: readonly Reference[]
  readonly head: MapSlot
  readonly spans: (MapSlot | undefined)[]
  readonly map: BlockMap
  readonly have: Bitfield
  uploadedBytes = 0
  downloadedBytes = 0
  /** Totals as the device has them. */
  storedUploadedBytes = 0
  storedDownloadedBytes = 0

  constructor(geometry: Geometry, layout: MapLayout, reference: Reference, identity: Identity) {
    this.layout = layout
    this.infoHash = identity.infoHash
    this.addedAtMs = identity.addedAtMs
    this.infoBytes = identity.infoBytes
    this.attributesBytes = identity.attributesBytes
    this.layersBytes = identity.layersBytes
    this.info = identity.info
    this.head = makeMapSlot(geometry, -1, reference, layout.headTwins)
    this.spans = new Array(layout.spans)
    this.map = new BlockMap(layout.blocks, layout.spanBlocks)
    this.have = new Bitfield(layout.pieces)
  }

  /** Bytes of the info record. */
  get recordBytes(): number {
    return this.infoBytes + this.attributesBytes + this.layersBytes
  }

  /** The slot in which a span's map lies; undefined when the continuation does not exist yet. */
  slotOf(span: number): MapSlot | undefined {
    return span < 0 ? this.head : this.spans[span]
  }

  *slots(): Generator<MapSlot> {
    yield this.head
    for (const span of this.spans) if (span !== undefined) yield span
  }

  /** The table twin that holds the reference to a continuation. */
  tableTwinOf(geometry: Geometry, span: number): number {
    return 1 + Math.floor(span / geometry.referencesPerSector)
  }

  /** True when all blocks that a piece touches are mapped. */
  pieceMapped(piece: number): boolean {
    const { layout, map } = this
    const last = lastBlockOfPiece(layout, piece)
    const first = Math.floor((piece * layout.pieceBytes) / layout.blockBytes)
    for (let block = first; block <= last; block++) if (map.get(block) === 0) return false
    return true
  }
}

export function makeMapSlot(
  geometry: Geometry,
  span: number,
  reference: Reference,
  twins: number,
): MapSlot {
  const stride = slotBytes(reference.slabClass) / 2
  const region = new TwinRegion(geometry.placeOf(reference), stride, twins, geometry.sectorBytes)
  return new MapSlot(span, reference, region)
}

export function kindOf(inode: Inode, slot: MapSlot, twin: number): number {
  if (slot.span >= 0) return KIND_CONTINUATION
  if (twin === 0) return KIND_INODE
  return inode.layout.spans > 0 ? KIND_TABLE : KIND_MAP
}

/** The payload of a twin as memory has it, into `sector[from..from + P)`. */
export function encodeTwin(
  geometry: Geometry,
  inode: Inode,
  slot: MapSlot,
  twin: number,
  sector: Uint8Array,
  from: number,
): void {
  sector.fill(0, from, from + geometry.payloadBytes)
  const kind = kindOf(inode, slot, twin)
  if (kind === KIND_TABLE) {
    const first = (twin - 1) * geometry.referencesPerSector
    for (let i = 0; i < geometry.referencesPerSector && first + i < inode.spans.length; i++) {
      writeReference(sector, from + i * REFERENCE_BYTES, inode.spans[first + i]?.reference)
    }
    return
  }
  if (kind === KIND_INODE) encodeHead(inode, sector, from)
  if (inode.layout.spans > 0 && slot.span < 0) return
  const map = kind === KIND_INODE ? from + INODE_HEADER_BYTES : from
  const { first, count, capacity } = blocksOfTwin(inode.layout, slot.span, twin)
  for (let i = 0; i < count; i++) writeU32(sector, map + 4 * i, inode.map.get(first + i))
  const bits = map + 4 * capacity
  const firstPiece = firstPieceFrom(inode.layout, first)
  const pieces = firstPieceFrom(inode.layout, first + count) - firstPiece
  for (let i = 0; i < pieces; i++) {
    if (!inode.have.has(firstPiece + i)) continue
    const at = bits + (i >>> 3)
    sector[at] = sector[at]! | (0x80 >>> (i & 7))
  }
}

function encodeHead(inode: Inode, sector: Uint8Array, from: number): void {
  const { layout } = inode
  sector.set(MAGIC, from)
  sector.set(inode.infoHash, from + 8)
  writeU32(sector, from + 28, layout.spans > 0 ? FLAG_CONTINUED : 0)
  writeU64(sector, from + 32, layout.totalBytes)
  writeU32(sector, from + 40, layout.pieceBytes)
  writeU32(sector, from + 44, layout.blocks)
  writeU64(sector, from + 48, inode.uploadedBytes)
  writeU64(sector, from + 56, inode.downloadedBytes)
  writeU64(sector, from + 64, inode.addedAtMs)
  writeReference(sector, from + INFO_AT, inode.info[0])
  writeU32(sector, from + 88, inode.infoBytes)
  writeU32(sector, from + 92, inode.attributesBytes)
  writeU32(sector, from + 96, inode.info.length)
  writeU32(sector, from + 100, layout.spans)
  writeU32(sector, from + 104, inode.layersBytes)
}

export interface DecodedHead {
  readonly inode: Inode
  readonly infoSlots: number
}

/** The i-node that a valid header twin describes, with an empty map; or what is wrong with it. */
export function decodeHead(
  geometry: Geometry,
  reference: Reference,
  sector: Uint8Array,
  from: number,
): DecodedHead | string {
  const head = sector.subarray(from, from + geometry.payloadBytes)
  if (!MAGIC.every((byte, i) => head[i] === byte)) return 'no i-node'
  const totalBytes = readU64(head, 32)
  const pieceBytes = readU32(head, 40)
  if (!Number.isSafeInteger(totalBytes) || totalBytes === 0 || pieceBytes === 0) {
    return `impossible sizes: ${totalBytes} bytes in pieces of ${pieceBytes}`
  }
  const layout = layoutFor(geometry, totalBytes, pieceBytes)
  if (typeof layout === 'string') return `sizes that are ${layout}`
  if (layout.slabClass !== reference.slabClass) {
    return `a map of slab class ${layout.slabClass} in a slot of class ${reference.slabClass}`
  }
  const continued = (readU32(head, 28) & FLAG_CONTINUED) !== 0
  if (
    readU32(head, 44) !== layout.blocks ||
    readU32(head, 100) !== layout.spans ||
    continued !== layout.spans > 0
  ) {
    return 'counts that contradict its sizes'
  }
  const info = readReference(head, INFO_AT)
  if (info === undefined || !geometry.plausible(info)) return 'a reference out of range'
  const uploadedBytes = readU64(head, 48)
  const downloadedBytes = readU64(head, 56)
  const addedAtMs = readU64(head, 64)
  if (![uploadedBytes, downloadedBytes, addedAtMs].every(Number.isSafeInteger)) {
    return 'totals out of range'
  }
  const inode = new Inode(geometry, layout, reference, {
    infoHash: head.slice(8, 28),
    addedAtMs,
    infoBytes: readU32(head, 88),
    attributesBytes: readU32(head, 92),
    layersBytes: readU32(head, 104),
    info: [info],
  })
  inode.uploadedBytes = inode.storedUploadedBytes = uploadedBytes
  inode.downloadedBytes = inode.storedDownloadedBytes = downloadedBytes
  return { inode, infoSlots: readU32(head, 96) }
}

/**
 * Takes the map entries and have-bits of a valid map twin. Have-bits are taken as they are: the rule
 * of spanning pieces can only be applied when all twins have been read. Returns what is wrong.
 */
export function decodeMapTwin(
  geometry: Geometry,
  inode: Inode,
  slot: MapSlot,
  twin: number,
  sector: Uint8Array,
  from: number,
): string | undefined {
  const map = slot.span < 0 && twin === 0 ? from + INODE_HEADER_BYTES : from
  const { first, count, capacity } = blocksOfTwin(inode.layout, slot.span, twin)
  let wrong: string | undefined
  for (let i = 0; i < count; i++) {
    const place = readU32(sector, map + 4 * i)
    if (place === 0) continue
    if (place < geometry.blockCount || place === FILLER) inode.map.set(first + i, place)
    else wrong = `block ${place} of ${geometry.blockCount}`
  }
  const bits = map + 4 * capacity
  const firstPiece = firstPieceFrom(inode.layout, first)
  const pieces = firstPieceFrom(inode.layout, first + count) - firstPiece
  for (let i = 0; i < pieces; i++) {
    if ((sector[bits + (i >>> 3)]! & (0x80 >>> (i & 7))) !== 0) inode.have.set(firstPiece + i)
  }
  return wrong
}

/** Applies the rule of format.md: a have-bit counts only when its blocks are mapped. Returns how many fell. */
export function dropUnmappedPieces(inode: Inode): number {
  let dropped = 0
  const { have } = inode
  const sparse = !have.full
  for (let piece = 0; piece < have.length; piece++) {
    // Whole zero bytes are skipped: a large torrent that holds little is the usual large torrent.
    if (sparse && (piece & 7) === 0 && have.bytes[piece >>> 3] === 0) piece += 7
    else if (have.has(piece) && !inode.pieceMapped(piece)) {
      have.clear(piece)
      dropped++
    }
  }
  return dropped
}
