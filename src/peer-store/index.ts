/** The peer store: swarms and their peers in slabs of shared memory. */
export { MAX_LIFETIME_MS, TICK_MS } from './age.ts'
export { type PeerStoreConformance, peerStoreConformance } from './conformance.ts'
export { peerStoreErrors } from './errors.ts'
export { createPeerStore, type PeerStoreOptions } from './store.ts'
export type * from './types.ts'
export { COMPACT_BYTES } from './types.ts'
