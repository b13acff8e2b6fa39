/**
 * The .torrent file (BEP 3, 12, 52): an info dictionary, and around it hints that may be missing or wrong.
 *
 * Invariants: the info dictionary is cut out of the file as it lies there, never encoded anew, so its
 * hash is the one that everybody else computes; nothing outside of it makes a torrent unusable, short
 * of breaking the bencode.
 */
import {
  asInteger,
  asList,
  asText,
  BencodeError,
  type BencodeValue,
  decode,
  encode,
  type Span,
  spansOf,
} from '../bencode/index.ts'
import { metainfoError } from './errors.ts'
import { parseInfo } from './info.ts'
import { TORRENT_BYTES_MAX } from './limits.ts'
import { encodePieceLayers, readPieceLayers } from './piece-layers.ts'
import { cleanTiers, cleanWebSeeds } from './tracker-urls.ts'
import type { Metainfo, PieceLayers } from './types.ts'

/** Values in one of the optional keys: a few thousand announce URLs. */
const OPTIONAL_VALUES_MAX = 10_000

/**
 * Reads a .torrent file. `bytes` is kept: the result has views of it. Throws METAINFO_ errors; what is
 * optional and makes no sense is as if it were not there.
 */
export function parseMetainfo(bytes: Uint8Array): Metainfo {
  if (bytes.length > TORRENT_BYTES_MAX) {
    throw metainfoError(
      'METAINFO_TOO_LARGE',
      `a .torrent file of ${bytes.length} bytes is larger than ${TORRENT_BYTES_MAX}`,
    )
  }
  const spans = spansOfTorrent(bytes)
  const infoSpan = spans.get('info')
  if (infoSpan === undefined) {
    throw metainfoError('METAINFO_BAD_TORRENT', 'the file has no info dictionary', {
      mend: 'Make sure that it is a .torrent file.',
    })
  }
  const optional = (key: string): BencodeValue | undefined => optionalValue(bytes, spans.get(key))
  const createdAtS = asInteger(optional('creation date'))
  const info = parseInfo(bytes.subarray(infoSpan.start, infoSpan.end))
  const layersSpan = spans.get('piece layers')
  return {
    info,
    layers:
      layersSpan === undefined
        ? new Map()
        : readPieceLayers(info, bytes.subarray(layersSpan.start, layersSpan.end), { prove: true }),
    trackers: trackersOf(optional('announce'), optional('announce-list')),
    webSeeds: webSeedsOf(optional('url-list')),
    comment: asText(optional('comment.utf-8')) ?? asText(optional('comment')),
    createdBy: asText(optional('created by')),
    createdAtS: createdAtS !== undefined && createdAtS >= 0 ? createdAtS : undefined,
  }
}

/** What `encodeMetainfo` puts into a file. */
export interface MetainfoParts {
  /** A whole info dictionary, which goes in as it is. */
  readonly infoBytes: Uint8Array
  readonly layers?: PieceLayers | undefined
  /** Tiers of announce URLs (BEP 12). */
  readonly trackers?: readonly (readonly string[])[] | undefined
  readonly webSeeds?: readonly string[] | undefined
  readonly comment?: string | undefined
  readonly createdBy?: string | undefined
  /** Seconds since 1970. */
  readonly createdAtS?: number | undefined
}

/** Bytes of a .torrent file, canonical around `infoBytes`. */
export function encodeMetainfo(parts: MetainfoParts): Uint8Array {
  const tiers = cleanTiers(parts.trackers ?? [])
  const urls = tiers.flat()
  const hints = encode({
    announce: urls[0],
    // One URL says all with `announce`, which every client reads.
    'announce-list': urls.length > 1 ? tiers : undefined,
    comment: parts.comment,
    'created by': parts.createdBy,
    'creation date': parts.createdAtS,
  })
  // `info`, `piece layers` and `url-list` sort after every key above: they go where their dictionary ends.
  const layers = encodePieceLayers(parts.layers ?? new Map())
  const webSeeds = cleanWebSeeds(parts.webSeeds ?? [])
  return new Uint8Array(
    Buffer.concat([
      hints.subarray(0, -1),
      Buffer.from('4:info'),
      parts.infoBytes,
      ...(layers.length > 0 ? [Buffer.from('12:piece layers'), layers] : []),
      ...(webSeeds.length > 0 ? [Buffer.from('8:url-list'), encode(webSeeds)] : []),
      hints.subarray(-1),
    ]),
  )
}

function spansOfTorrent(bytes: Uint8Array): Map<string, Span> {
  try {
    return spansOf(bytes)
  } catch (cause) {
    if (!(cause instanceof BencodeError)) throw cause
    throw metainfoError('METAINFO_NOT_BENCODE', `not a .torrent file: ${cause.message}`, { cause })
  }
}

function optionalValue(bytes: Uint8Array, span: Span | undefined): BencodeValue | undefined {
  if (span === undefined) return undefined
  try {
    const options = { ordered: false, valuesMax: OPTIONAL_VALUES_MAX }
    return decode(bytes.subarray(span.start, span.end), options)
  } catch (error) {
    if (error instanceof BencodeError) return undefined
    throw error
  }
}

/** BEP 12: where `announce-list` says anything, `announce` is not read. */
/** One URL, or a list of them. */
function webSeedsOf(value: BencodeValue | undefined): string[] {
  return cleanWebSeeds((asList(value) ?? [value]).map(asText))
}

function trackersOf(
  announce: BencodeValue | undefined,
  list: BencodeValue | undefined,
): string[][] {
  const tiers = cleanTiers((asList(list) ?? []).map((tier) => (asList(tier) ?? []).map(asText)))
  return tiers.length > 0 ? tiers : cleanTiers([[asText(announce)]])
}
