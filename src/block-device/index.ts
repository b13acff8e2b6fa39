export {
  ACCESS_OPERATIONS,
  type AccessLogInfo,
  type AccessLogOptions,
  AccessLogWriter,
  type AccessOperation,
  type AccessVisitor,
  readAccessLog,
} from './access-log.ts'
export { AlignedPool, allocateAligned, allocateShared, isAligned } from './aligned.ts'
export { blockDeviceConformance, type Conformance } from './conformance.ts'
export { type CrashOptions, type CrashState, crashStates, OverlayDevice } from './crash-states.ts'
export { DISK_7200, DiskModel, type DiskParameters } from './disk-model.ts'
export { DiskQueue, type DiskRequest, ELEVATOR_DEPTH } from './disk-queue.ts'
export {
  DiskReplay,
  diskReport,
  type ReplayOptions,
  type ReplayReport,
  replayAccessLog,
} from './disk-replay.ts'
export { blockDeviceErrors, systemError } from './errors.ts'
export { type FileDevice, type FileDeviceOptions, openFileDevice } from './file-device.ts'
export { lockUnopened, type Release } from './lock.ts'
export { LoggedDevice } from './logged-device.ts'
export { MemoryDevice, type MemoryDeviceOptions, SparseImage } from './memory-device.ts'
export { Scratch } from './scratch.ts'
export {
  type Fault,
  type LogEvent,
  type OperationKind,
  SimulatedDevice,
  type SimulatedDeviceOptions,
} from './simulated-device.ts'
export { SpinningDevice, type SpinningDeviceOptions } from './spinning-device.ts'
export { Turnstile } from './turnstile.ts'
export type * from './types.ts'
