import { errorMaker } from '../base/index.ts'

export const metainfoErrors = {
  METAINFO_NOT_BENCODE: 'A .torrent file or info dictionary is not well-formed bencode.',
  METAINFO_BAD_TORRENT: 'A .torrent file has no info dictionary.',
  METAINFO_BAD_INFO: 'A key of the info dictionary is missing, contradictory or of the wrong kind.',
  METAINFO_BAD_PIECES: 'The piece length or the piece hashes do not fit the content.',
  METAINFO_NOT_UTF8: 'A name or path is not UTF-8.',
  METAINFO_UNSAFE_PATH: 'A name or path could reach outside the folder that it belongs in.',
  METAINFO_DUPLICATE_PATH: 'Two files have the same path, or a file is a folder of another.',
  METAINFO_SYMLINK: 'A symbolic link (BEP 47) leads outside of the torrent, or nowhere.',
  METAINFO_EMPTY: 'The torrent holds no bytes.',
  METAINFO_TOO_LARGE: 'The torrent exceeds a limit of docs/limits.md.',
  METAINFO_VERSION: 'The torrent is of a later version than BitTorrent v2 (BEP 52).',
  METAINFO_HYBRID: 'The v1 and v2 parts of a torrent contradict each other.',
  METAINFO_BAD_MAGNET: 'A magnet URI is malformed or names no info-hash.',
} as const

export const metainfoError: ReturnType<typeof errorMaker<typeof metainfoErrors>> =
  errorMaker(metainfoErrors)

/** Text from a stranger, fit for a message: short, and without control characters. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
