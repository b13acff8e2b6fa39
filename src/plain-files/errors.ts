/** The errors of folders of ordinary files; what the system reports has those of block devices. */
import { errorMaker, type SeedbedError } from '../base/index.ts'
import { systemError } from '../block-device/index.ts'

export const plainFileErrors = {
  FILES_KIND: 'The path is no folder.',
  FILES_CHANGED:
    'A file of a torrent is missing, or has another size or time than when its pieces were noted.',
  FILES_LINK: 'A path of a torrent leads through a symbolic link out of the folder it belongs in.',
  FILES_TAKEN: 'A file of a torrent cannot be made: something else has its name.',
  FILES_STATE: 'The notes about a torrent in a folder are damaged.',
  FILES_SHARED: 'A torrent that is shared from where its files lie cannot be written to.',
  FILES_READ_ONLY: 'The folder was opened for reading only.',
  FILES_EXISTS: 'The folder holds the torrent already.',
  FILES_UNKNOWN_TORRENT: 'The folder holds no torrent of that info-hash.',
  FILES_RANGE: 'A range or a piece is not within the torrent.',
  FILES_REMOVED: 'The torrent was removed from the folder.',
  FILES_CLOSED: 'The folder was closed before the operation.',
} as const

export const plainFileError: ReturnType<typeof errorMaker<typeof plainFileErrors>> =
  errorMaker(plainFileErrors)

/** The error as it is when it has a code of ours, else as what the system reports of `what` was done to `path`. */
export function asCoded(what: string, path: string, error: unknown): SeedbedError {
  return error instanceof Error && 'mend' in error
    ? (error as SeedbedError)
    : systemError(what, path, error)
}
