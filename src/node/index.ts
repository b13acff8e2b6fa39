/** The daemon: tracker, engine and volume in one process, and what goes in and out of a volume. */
export { systemClock, systemRandom } from '../base/index.ts'
export {
  type EncryptionPolicy,
  encryptionPolicies,
  nodeNetwork,
  type PeerLimits,
  type UtpPolicy,
  utpPolicies,
} from '../engine/index.ts'
export { type Attributes, decodeAttributes, encodeAttributes } from './attributes.ts'
export { type Described, describeStored } from './described.ts'
export { type AbsentDevice, type DeviceChange, Devices, type DevicesOptions } from './devices.ts'
export { nodeErrors } from './errors.ts'
export type { DeviceRoom, DownloadProgress, NodeEvent } from './events.ts'
export { type ExportOptions, exportPath, exportTorrent } from './export.ts'
export { type FetchSource, looksLikeFetchSource, readFetchSource } from './fetch-source.ts'
export { type GetOptions, get } from './get.ts'
export { announceTiers, reachableHosts } from './hosts.ts'
export { type Imported, type ImportOptions, importSource } from './import.ts'
export { type MoveOptions, type MoveReport, moveTorrent } from './move.ts'
export { SeedbedNode } from './node.ts'
export type { NodeOptions } from './node-options.ts'
export { openPlace, type Place, type PlaceRequest } from './place.ts'
export { type ScrubOptions, type ScrubReport, scrubTorrent } from './scrub.ts'
export type { ScrubSchedule } from './scrubber.ts'
export { readSource, type Source, type SourceEntry } from './source.ts'
export {
  checkRoom,
  growStorage,
  imageBytesFor,
  imagePath,
  makeDataDir,
  openStorage,
  type Storage,
  type StorageOptions,
} from './storage.ts'
export { magnetOf, writeTorrentFile } from './torrent-files.ts'
