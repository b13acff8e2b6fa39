/** The errors of block devices. */
import { type ErrorDetails, errnoOf, errorMaker, type SeedbedError } from '../base/index.ts'

export const blockDeviceErrors = {
  DEVICE_BUSY: 'The device or image file is in use by another process, or mounted.',
  DEVICE_MISSING: 'There is no file or device at that path, or it has gone away.',
  DEVICE_PERMISSION: 'The process may not open the device or image file.',
  DEVICE_KIND: 'The path is neither a regular file nor a block device.',
  DEVICE_TOO_SMALL: 'The device or image file does not hold a single sector.',
  DEVICE_TOO_LARGE: 'The device is larger than 2^53 - 1 bytes, beyond which node cannot write.',
  DEVICE_FULL: 'The filesystem beneath an image file has no room for what was written.',
  DEVICE_READ_ONLY: 'The device was opened, or is, read-only.',
  DEVICE_RANGE: 'An offset or a length is not a multiple of the sector, or beyond the end.',
  DEVICE_CLOSED: 'The device was closed before the operation.',
  DEVICE_NO_LOG: 'The file is no access log, or holds something else that a log must not replace.',
  DEVICE_IO: 'The operating system reported an input/output error.',
} as const

type Code = keyof typeof blockDeviceErrors

export const deviceError: (code: Code, message: string, details?: ErrorDetails) => SeedbedError =
  errorMaker(blockDeviceErrors)

const BY_ERRNO: Readonly<Record<string, Code>> = {
  EBUSY: 'DEVICE_BUSY',
  ETXTBSY: 'DEVICE_BUSY',
  ENOENT: 'DEVICE_MISSING',
  ENOTDIR: 'DEVICE_MISSING',
  ENXIO: 'DEVICE_MISSING',
  ENODEV: 'DEVICE_MISSING',
  EACCES: 'DEVICE_PERMISSION',
  EPERM: 'DEVICE_PERMISSION',
  EROFS: 'DEVICE_READ_ONLY',
  EISDIR: 'DEVICE_KIND',
  ENOSPC: 'DEVICE_FULL',
  EDQUOT: 'DEVICE_FULL',
  EFBIG: 'DEVICE_FULL',
}

const STATES: Partial<Record<Code, string>> = {
  DEVICE_BUSY: 'is in use: mounted, or open elsewhere',
  DEVICE_MISSING: 'is not there',
  DEVICE_PERMISSION: 'may not be opened by this user',
  DEVICE_READ_ONLY: 'can only be read',
  DEVICE_KIND: 'is neither a block device nor a file',
  DEVICE_FULL: 'has no room left beneath it',
}

const MENDS: Partial<Record<Code, string>> = {
  DEVICE_BUSY: 'Stop the other process, or unmount the device.',
  DEVICE_MISSING: 'Check the path, and that the disk is connected.',
  DEVICE_PERMISSION: 'Run as a user that may read and write it, such as a member of group disk.',
  DEVICE_KIND: 'Name a block device, or an image file.',
  DEVICE_FULL: 'Make room on the filesystem that holds the image file.',
  DEVICE_IO: "Look at the system's log: the disk may be failing.",
}

/** Where the errno says more than its code does. */
const BETTER_MENDS: Readonly<Record<string, string>> = {
  EMFILE: 'The process may open no more files: raise its limit (`ulimit -n`, LimitNOFILE=).',
  ENFILE: 'The system may open no more files: raise its limit (`sysctl fs.file-max`).',
  ENAMETOOLONG: 'The filesystem takes no name as long: a device or an image does.',
}

/** The coded error for what node reported while doing `what` to `label`. */
export function systemError(what: string, label: string, cause: unknown): SeedbedError {
  const errno = errnoOf(cause)
  const code = (errno === undefined ? undefined : BY_ERRNO[errno]) ?? 'DEVICE_IO'
  const mend = (errno === undefined ? undefined : BETTER_MENDS[errno]) ?? MENDS[code]
  const state = STATES[code] ?? 'failed'
  return deviceError(code, `${label} ${state} (${what}: ${errno ?? String(cause)})`, {
    cause,
    ...(mend === undefined ? {} : { mend }),
  })
}
