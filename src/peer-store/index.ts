/** The peer store: swarms and their peers in memory that all threads share. */
export { MAX_LIFETIME_MS, TICK_MS } from './age.ts'
export { type PeerStoreConfig, parseDurationMs, parsePeerStoreConfig } from './config.ts'
export { type PeerStoreConformance, peerStoreConformance } from './conformance.ts'
export { contractOf, type StrictPeerStore } from './contract.ts'
export {
  createPeerStore,
  type OpenPeerStoreOptions,
  openPeerStore,
  type PeerStoreOptions,
} from './create.ts'
export { peerStoreErrors } from './errors.ts'
export {
  GC_DURATION_BOUNDS_MS,
  type MaintenanceOptions,
  maintainPeerStore,
  type PeerStoreMaintenance,
  type PeerStoreMetrics,
} from './maintenance.ts'
export { isLockLost } from './memory.ts'
export { MINIMUM_LIST_SWARMS, SwarmCursor, SwarmList } from './swarm-list.ts'
export type * from './types.ts'
export { COMPACT_BYTES, PeerAnnounce } from './types.ts'
