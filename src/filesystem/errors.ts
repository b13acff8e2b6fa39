/** The errors of the filesystem. */
import { type ErrorDetails, errorMaker, type SeedbedError } from '../base/index.ts'

export const filesystemErrors = {
  FS_FOREIGN: 'The device holds no seedbed volume, or something else that mkfs will not overwrite.',
  FS_NEWER_FORMAT: 'The volume was made by a newer version of seedbed.',
  FS_CORRUPT: 'Metadata on which the whole volume depends is damaged in both of its copies.',
  FS_DEVICE_SHRUNK: 'The device is smaller than the volume on it.',
  FS_SECTOR: 'The device cannot write sectors as small as the metadata sectors of the volume.',
  FS_GEOMETRY: 'A block, sector or piece size is not supported, or the combination is not.',
  FS_TOO_SMALL: 'The device has room for too few filesystem blocks.',
  FS_SAME_VOLUME: 'Two devices hold the same volume: one is a copy of the other.',
  FS_EXISTS: 'The volume already holds a torrent of that info-hash.',
  FS_UNKNOWN_TORRENT: 'The volume holds no torrent of that info-hash.',
  FS_FULL: 'The volume has no free filesystem block.',
  FS_ROOT_FULL: 'The root block has no room for another torrent.',
  FS_TORRENT_TOO_LARGE: 'The torrent has more filesystem blocks or pieces than the format can map.',
  FS_RANGE: 'An offset, length, piece or info-hash is outside of what the torrent has.',
  FS_HOLE: 'The range, or part of it, was never written.',
  FS_INFO_ROTTEN: 'The info dictionary of the torrent does not match its info-hash.',
  FS_ATTRIBUTES_ROTTEN: 'The attributes of the torrent do not match their checksums.',
  FS_REMOVED: 'The torrent was removed, or the staged torrent committed or aborted.',
  FS_READ_ONLY: 'The volume is mounted read-only.',
  FS_FAILED: 'An earlier write of metadata failed; the volume takes no more writes.',
  FS_CLOSED: 'The volume was closed before the operation.',
} as const

type Code = keyof typeof filesystemErrors

export const fsError: (code: Code, message: string, details?: ErrorDetails) => SeedbedError =
  errorMaker(filesystemErrors)
