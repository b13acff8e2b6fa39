/** Torrents as documents: .torrent files, info dictionaries and magnets, read, written and made. */
export {
  buildInfo,
  choosePieceBytes,
  type FileEntry,
  type FileLayout,
  type InfoParts,
  layoutFiles,
} from './create.ts'
export { metainfoErrors } from './errors.ts'
export { type FileSpan, fileSpans } from './file-spans.ts'
export { countPieces, parseInfo } from './info.ts'
export { parseInfoHash } from './info-hash.ts'
export * from './limits.ts'
export { formatMagnet, parseMagnet } from './magnet.ts'
export { encodeMetainfo, type MetainfoParts, parseMetainfo } from './metainfo.ts'
export type * from './types.ts'
