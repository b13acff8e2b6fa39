/**
 * What the exit status says. A number keeps its meaning; codes of errors are sorted to numbers here.
 * (fsck has numbers of its own, those of fsck(8).)
 */
import { errnoOf } from '../base/index.ts'

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  portTaken: 3,
  deviceBusy: 4,
  foreign: 5,
  noSpace: 6,
  source: 7,
  output: 8,
  fetch: 9,
  corrupt: 10,
  missing: 11,
  rot: 12,
} as const

export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'all that was asked for is done',
  failure: 'another error; the message names it',
  usage: 'the command line or the configuration is wrong',
  portTaken: 'a port is taken, or cannot be listened on',
  deviceBusy: 'the device or image is in use, or may not be opened',
  foreign: 'the device holds something else, or a newer format',
  noSpace: 'no space on the volume or on the disk',
  source: 'a path to be shared is missing, unreadable, empty, or changed',
  output: 'the files to be made exist already, or cannot be written',
  fetch: 'a torrent, magnet link or download is bad or cannot be had',
  corrupt: 'the device failed, or holds damaged data',
  missing: 'no volume there, or no such torrent on it, or not whole yet',
  rot: 'the scrub found rotten pieces; they are not offered any more',
}

const BY_CODE: readonly (readonly [RegExp, number])[] = [
  [/^(TRACKER|ENGINE)_(PORT_TAKEN|LISTEN_FAILED)$/, EXIT.portTaken],
  [/^TRACKER_(CONFIG|CONFIG_UNREADABLE|LIST|TLS)$/, EXIT.usage],
  [/^(DEVICE_(KIND|RANGE|NO_LOG)|FS_GEOMETRY|FILES_KIND)$/, EXIT.usage],
  [/^(DEVICE_(BUSY|PERMISSION|READ_ONLY)|FS_READ_ONLY)$/, EXIT.deviceBusy],
  [/^FS_(FOREIGN|NEWER_FORMAT)$/, EXIT.foreign],
  [/^(NODE_NO_SPACE|FS_(FULL|ROOT_FULL|TOO_SMALL)|DEVICE_(FULL|TOO_SMALL))$/, EXIT.noSpace],
  [/^SOURCE_/, EXIT.source],
  [/^(OUT_|NODE_DATA_DIR)/, EXIT.output],
  [/^(FETCH_|METAINFO_|BENCODE_|TORRENT_FAILED|ENGINE_)/, EXIT.fetch],
  [/^(NODE_NO_VOLUME|DEVICE_MISSING|TORRENT_UNKNOWN|EXPORT_INCOMPLETE)$/, EXIT.missing],
  [/^(FS_|DEVICE_|EXPORT_CORRUPT)/, EXIT.corrupt],
]

/** The exit status for an error. */
export function exitCodeOf(error: unknown): number {
  const code = errnoOf(error)
  if (code === undefined) return EXIT.failure
  return BY_CODE.find(([pattern]) => pattern.test(code))?.[1] ?? EXIT.failure
}

/** Of fsck, as fsck(8) has them: bits, so that several volumes can be told in one status. */
export const FSCK_EXIT = {
  clean: 0,
  corrected: 1,
  uncorrected: 4,
  operational: 8,
  usage: 16,
}
