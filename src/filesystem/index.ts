export { allocateAligned } from '../block-device/index.ts'
export {
  type AllocationPurpose,
  type Allocator,
  type AllocatorKind,
  makeAllocator,
} from './allocator.ts'
export { type AllocatorConformance, allocatorConformance } from './allocator-conformance.ts'
export { filesystemErrors } from './errors.ts'
export { fsck } from './fsck.ts'
export { growVolume } from './grow.ts'
export { formatVolume } from './mkfs.ts'
export { mountVolume } from './mount.ts'
export { Pool } from './pool.ts'
export { probe } from './probe.ts'
export { isMapped } from './torrent.ts'
export type * from './types.ts'
