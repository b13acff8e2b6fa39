export type * from './network.ts'
export type * from './types.ts'
