/** The TorrentStore interface, and what every implementation of it owes. */
export { type TorrentStoreConformance, torrentStoreConformance } from './conformance.ts'
export type * from './types.ts'
