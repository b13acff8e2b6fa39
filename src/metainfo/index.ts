/** Torrents as documents: .torrent files, info dictionaries and magnets, read, written and made. */
export {
  buildInfo,
  choosePaddedPieceBytes,
  choosePieceBytes,
  type FileEntry,
  type FileLayout,
  type InfoParts,
  layoutFiles,
} from './create.ts'
export type { DigestJob, FromDigestThread, ToDigestThread } from './digest-messages.ts'
export { metainfoErrors } from './errors.ts'
export { type FileSpan, fileSpans } from './file-spans.ts'
export { countPieces, parseInfo } from './info.ts'
export { formatMultihash, parseInfoHash, parseMultihash } from './info-hash.ts'
export * from './limits.ts'
export { formatMagnet, parseMagnet } from './magnet.ts'
export * from './merkle.ts'
export { encodeMetainfo, type MetainfoParts, parseMetainfo } from './metainfo.ts'
export { PieceDigester, type PieceDigests, type PieceRecipe } from './piece-digester.ts'
export {
  fillerOf,
  type PieceCheck,
  PieceHashes,
  shortPieces,
  type Verdict,
} from './piece-hashes.ts'
export {
  encodePieceLayers,
  hasAllLayers,
  type LayeredFile,
  layeredFiles,
  pieceLayerOf,
  provesLayer,
  readPieceLayers,
} from './piece-layers.ts'
export { TreeBuilder } from './tree-builder.ts'
export type * from './types.ts'

/** The program of a thread that is told ToDigestThread and answers FromDigestThread. */
export const digestProgram: URL = new URL('./digest-program.js', import.meta.url)
