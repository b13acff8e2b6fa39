/** Downloading and seeding: torrents on a volume, over a network, both handed in. */
export type { TrackerStatus } from './announce/announcer.ts'
export { type EncryptionPolicy, encryptionPolicies } from './encryption/policy.ts'
export { startEngine } from './engine.ts'
export { engineErrors } from './errors.ts'
export type * from './network.ts'
export { type NodeNetworkOptions, nodeNetwork } from './node-network.ts'
export { Priority as priorities } from './pick-order.ts'
export type * from './types.ts'
