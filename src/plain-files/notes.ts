/**
 * What a folder notes about a torrent, in small files of its `.seedbed`, named by the info-hash:
 *
 * ```
 * HEX.info   written once, and when attributes change    info dictionary, attributes, where the content lies
 * HEX.have   at every sync     have-bits, transfer totals, size and time of each file
 * HEX.layers when they are known   piece layers, of v2 and hybrids
 *
 * +-----------+------------+--------------------------+
 * | "seedbd1\n"  8 | SHA-1 20 | bencoded dictionary  |
 * +-----------+------------+--------------------------+
 * ```
 *
 * Invariants: a note checks itself, what is torn or rotten is not believed; a have-bit is written only when
 * its data is durable, and together with the size and time that its files had then.
 */
import { createHash } from 'node:crypto'
import { bytesEqual, SeedbedError } from '../base/index.ts'
import {
  type BencodeDictionary,
  decodeDictionary,
  encode,
  getBytes,
  getInteger,
  getText,
} from '../bencode/index.ts'

const MAGIC: Uint8Array = Buffer.from('seedbd1\n')
const DIGEST_BYTES = 20
const HEADER_BYTES = MAGIC.length + DIGEST_BYTES
/** Of a file: its size and its time of modification in nanoseconds, 64 bits each, little endian. */
export const FILE_RECORD_WORDS = 2

export interface InfoNote {
  readonly infoBytes: Uint8Array
  readonly attributes: Uint8Array
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly addedAtMs: number
  /** Name of the content in the folder; absent when it is shared from `root`. */
  readonly place: string | undefined
  /** Absolute path of content that lies elsewhere and is never written. */
  readonly root: string | undefined
}

export interface HaveNote {
  readonly have: Uint8Array
  readonly uploadedBytes: number
  readonly downloadedBytes: number
  /** FILE_RECORD_WORDS for each file of the torrent; zeros for one that was never made. */
  readonly records: BigUint64Array
}

export function encodeInfoNote(note: InfoNote): Uint8Array {
  return seal({
    added: note.addedAtMs,
    attributes: note.attributes,
    info: note.infoBytes,
    piece: note.pieceBytes,
    place: note.place,
    root: note.root,
    total: note.totalBytes,
  })
}

/** Undefined when it is damaged. */
export function decodeInfoNote(bytes: Uint8Array): InfoNote | undefined {
  const found = unseal(bytes)
  if (found === undefined) return undefined
  const infoBytes = getBytes(found, 'info')
  const attributes = getBytes(found, 'attributes')
  const totalBytes = getInteger(found, 'total')
  const pieceBytes = getInteger(found, 'piece')
  const place = getText(found, 'place')
  const root = getText(found, 'root')
  if (infoBytes === undefined || attributes === undefined) return undefined
  if (totalBytes === undefined || totalBytes < 1) return undefined
  if (pieceBytes === undefined || pieceBytes < 1) return undefined
  if ((place === undefined) === (root === undefined)) return undefined
  const addedAtMs = getInteger(found, 'added') ?? 0
  return { infoBytes, attributes, totalBytes, pieceBytes, addedAtMs, place, root }
}

/** Piece layers of v2, as a .torrent file has them. */
export function encodeLayersNote(layers: Uint8Array): Uint8Array {
  return seal({ layers })
}

/** Undefined when it is damaged. */
export function decodeLayersNote(bytes: Uint8Array): Uint8Array | undefined {
  const found = unseal(bytes)
  return found === undefined ? undefined : getBytes(found, 'layers')
}

export function encodeHaveNote(note: HaveNote): Uint8Array {
  const records = Buffer.alloc(note.records.length * 8)
  for (const [i, word] of note.records.entries()) records.writeBigUInt64LE(word, i * 8)
  return seal({
    downloaded: note.downloadedBytes,
    files: records,
    have: note.have,
    uploaded: note.uploadedBytes,
  })
}

/** Undefined when it is damaged, or not of a torrent with that many bytes of have-bits. */
export function decodeHaveNote(bytes: Uint8Array, haveBytes: number): HaveNote | undefined {
  const found = unseal(bytes)
  if (found === undefined) return undefined
  const have = getBytes(found, 'have')
  const files = getBytes(found, 'files')
  if (have === undefined || have.length !== haveBytes) return undefined
  if (files === undefined || files.length % (8 * FILE_RECORD_WORDS) !== 0) return undefined
  const view = Buffer.from(files.buffer, files.byteOffset, files.length)
  const records = new BigUint64Array(files.length / 8)
  for (let i = 0; i < records.length; i++) records[i] = view.readBigUInt64LE(i * 8)
  return {
    have,
    records,
    uploadedBytes: getInteger(found, 'uploaded') ?? 0,
    downloadedBytes: getInteger(found, 'downloaded') ?? 0,
  }
}

function seal(value: Parameters<typeof encode>[0]): Uint8Array {
  const content = encode(value)
  const bytes = new Uint8Array(HEADER_BYTES + content.length)
  bytes.set(MAGIC)
  bytes.set(createHash('sha1').update(content).digest(), MAGIC.length)
  bytes.set(content, HEADER_BYTES)
  return bytes
}

function unseal(bytes: Uint8Array): BencodeDictionary | undefined {
  if (bytes.length < HEADER_BYTES || !bytesEqual(bytes.subarray(0, MAGIC.length), MAGIC)) {
    return undefined
  }
  const content = bytes.subarray(HEADER_BYTES)
  const digest = createHash('sha1').update(content).digest()
  if (!bytesEqual(bytes.subarray(MAGIC.length, HEADER_BYTES), digest)) return undefined
  try {
    return decodeDictionary(content)
  } catch (error) {
    if (error instanceof SeedbedError) return undefined
    throw error
  }
}
