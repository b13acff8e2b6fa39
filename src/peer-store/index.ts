export type * from './types.ts'
export { COMPACT_BYTES } from './types.ts'
