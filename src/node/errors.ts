/** Errors of the node, in the order in which a run meets them. */
import { type ErrorMaker, errorMaker } from '../base/index.ts'

export const nodeErrors = {
  NODE_DATA_DIR: 'The data directory cannot be made or written.',
  NODE_NO_VOLUME: 'There is no seedbed volume at the given place.',
  NODE_NO_SPACE: 'The volume, or the disk beneath its image, has no room for the content.',
  SOURCE_MISSING: 'A path to be shared does not exist.',
  SOURCE_UNREADABLE: 'A file or folder to be shared cannot be read.',
  SOURCE_KIND: 'A path to be shared is neither a file nor a folder.',
  SOURCE_EMPTY: 'A path to be shared holds no bytes.',
  SOURCE_CHANGED: 'A file changed while it was being imported.',
  FETCH_FAILED: 'A .torrent file could not be read or fetched.',
  FETCH_UNKNOWN: 'A source is neither a magnet link, nor a .torrent file, nor its URL.',
  OUT_EXISTS: 'What would be exported is already there.',
  OUT_FAILED: 'The exported files cannot be written.',
  EXPORT_INCOMPLETE: 'A torrent cannot be exported before all of its pieces are there.',
  EXPORT_CORRUPT: 'A piece read back from the volume does not match its hash.',
  NODE_NO_FILES: 'No file of a torrent matches the patterns that say what is wanted of it.',
  LAYERS_MISSING: 'The piece layers of a v2 torrent are not on the volume, or damaged.',
  TORRENT_UNKNOWN: 'The volume holds no torrent of that info-hash.',
  TORRENT_FAILED: 'A download stopped for good.',
  INTERRUPTED: 'A signal ended the work before it was done.',
} as const

export const nodeError: ErrorMaker<keyof typeof nodeErrors> = errorMaker(nodeErrors)
