/**
 * What goes inside extended messages: the handshake of the extension protocol (BEP 10) and the exchange
 * of the info dictionary, ut_metadata (BEP 9).
 *
 * ```
 * handshake   { m: {name: id, …}, v, p, e, reqq, metadata_size, yourip, upload_only }
 * request     { msg_type: 0, piece }
 * data        { msg_type: 1, piece, total_size } and up to 16 KiB of the info dictionary behind it
 * reject      { msg_type: 2, piece }
 * ```
 *
 * Invariants: parsers throw ENGINE_PROTOCOL and nothing else; a field that makes no sense counts as
 * absent, so one odd client's ornament does not cost the connection; every number answered is in the
 * range that its field documents.
 */
import {
  asInteger,
  type BencodeDictionary,
  decodeDictionary,
  decodePrefix,
  type Encodable,
  encode,
  getBytes,
  getDictionary,
  getInteger,
  getText,
} from '../../bencode/index.ts'
import { engineError, protocolError } from '../errors.ts'
import { formatAddress, parseAddress } from './address.ts'

/** The id of the extended handshake itself. */
export const EXTENDED_HANDSHAKE_ID = 0

/** BEP 9: the info dictionary travels in pieces of this size; the last is shorter. */
export const METADATA_PIECE_BYTES = 16_384
/** No larger info dictionary is fetched from peers: three million pieces. */
export const MAX_METADATA_BYTES: number = 64 * 1024 * 1024

/** Extensions in one handshake that are looked at; clients offer about ten. */
const MAX_EXTENSIONS = 64
const MAX_CLIENT_LENGTH = 64
const LIMITS = { ordered: false, depthMax: 8, valuesMax: 1024 } as const

export interface ExtendedHandshake {
  /** Extension to the message id, 1 to 255, under which its sender wants to receive it; 0 takes it back. */
  readonly messages: ReadonlyMap<string, number>
  /** Name and version of the client. */
  readonly client?: string | undefined
  /** Where the sender listens. */
  readonly port?: number | undefined
  /** The sender would rather be connected to encrypted (BEP 11 passes it on). */
  readonly prefersEncryption?: boolean | undefined
  /** Requests that the sender keeps unanswered without dropping any; at least 1. */
  readonly requestQueue?: number | undefined
  /** Size of the info dictionary, at most MAX_METADATA_BYTES; a claim. */
  readonly metadataBytes?: number | undefined
  /** How the sender sees the receiver. */
  readonly yourAddress?: string | undefined
  /** BEP 21: the sender will download nothing. */
  readonly uploadOnly?: boolean | undefined
}

/** Payload of the extended message with id 0. */
export function encodeExtendedHandshake(handshake: ExtendedHandshake): Uint8Array {
  const address = handshake.yourAddress === undefined ? null : parseAddress(handshake.yourAddress)
  const dictionary: Record<string, Encodable | undefined> = {
    m: handshake.messages,
    v: handshake.client,
    p: handshake.port,
    e: handshake.prefersEncryption === true ? 1 : undefined,
    reqq: handshake.requestQueue,
    metadata_size: handshake.metadataBytes,
    yourip: address ?? undefined,
    upload_only: handshake.uploadOnly === true ? 1 : undefined,
  }
  return encode(dictionary)
}

/** Throws ENGINE_PROTOCOL when the payload is no dictionary. */
export function parseExtendedHandshake(payload: Uint8Array): ExtendedHandshake {
  const dictionary = parsed('an extended handshake', () => decodeDictionary(payload, LIMITS))
  const messages = new Map<string, number>()
  for (const [name, value] of getDictionary(dictionary, 'm') ?? []) {
    const id = asInteger(value)
    if (id === undefined || id < 0 || id > 255) continue
    if (messages.size < MAX_EXTENSIONS) messages.set(name, id)
  }
  const yourIp = getBytes(dictionary, 'yourip')
  return {
    messages,
    client: getText(dictionary, 'v')?.slice(0, MAX_CLIENT_LENGTH),
    port: within(dictionary, 'p', 1, 65_535),
    prefersEncryption: getInteger(dictionary, 'e') === 1,
    requestQueue: within(dictionary, 'reqq', 1, Number.MAX_SAFE_INTEGER),
    metadataBytes: within(dictionary, 'metadata_size', 1, MAX_METADATA_BYTES),
    yourAddress:
      yourIp?.length === 4 || yourIp?.length === 16
        ? formatAddress(yourIp, 0, yourIp.length)
        : undefined,
    uploadOnly: getInteger(dictionary, 'upload_only') === 1,
  }
}

/** A ut_metadata message. `bytes` is a view of the payload it came in. */
export type MetadataMessage =
  | { readonly type: 'request'; readonly piece: number }
  | { readonly type: 'reject'; readonly piece: number }
  | {
      readonly type: 'data'
      readonly piece: number
      readonly totalBytes: number
      readonly bytes: Uint8Array
    }

const METADATA_REQUEST = 0
const METADATA_DATA = 1
const METADATA_REJECT = 2

export function encodeMetadataRequest(piece: number): Uint8Array {
  return encode({ msg_type: METADATA_REQUEST, piece })
}

export function encodeMetadataReject(piece: number): Uint8Array {
  return encode({ msg_type: METADATA_REJECT, piece })
}

/** Piece `piece` of `infoBytes`. */
export function encodeMetadataData(piece: number, infoBytes: Uint8Array): Uint8Array {
  const head = encode({ msg_type: METADATA_DATA, piece, total_size: infoBytes.length })
  const start = piece * METADATA_PIECE_BYTES
  const bytes = infoBytes.subarray(start, start + METADATA_PIECE_BYTES)
  const payload = new Uint8Array(head.length + bytes.length)
  payload.set(head)
  payload.set(bytes, head.length)
  return payload
}

/** Pieces of an info dictionary of `totalBytes`. */
export function metadataPieceCount(totalBytes: number): number {
  return Math.ceil(totalBytes / METADATA_PIECE_BYTES)
}

/** Size of piece `piece` of an info dictionary of `totalBytes`; 0 when it has no such piece. */
export function metadataPieceBytes(totalBytes: number, piece: number): number {
  return Math.max(0, Math.min(METADATA_PIECE_BYTES, totalBytes - piece * METADATA_PIECE_BYTES))
}

/**
 * Null for a message type that BEP 9 does not know (to be ignored). Data is answered only when it has
 * exactly the size that its piece must have. Throws ENGINE_PROTOCOL.
 */
export function parseMetadataMessage(payload: Uint8Array): MetadataMessage | null {
  const { value, end } = parsed('a metadata message', () => decodePrefix(payload, 0, LIMITS))
  if (!(value instanceof Map)) throw protocolError('a metadata message that is no dictionary')
  const dictionary = value as BencodeDictionary
  const type = getInteger(dictionary, 'msg_type')
  if (type === undefined) throw protocolError('a metadata message without its type')
  if (type !== METADATA_REQUEST && type !== METADATA_DATA && type !== METADATA_REJECT) return null
  const piece = within(dictionary, 'piece', 0, metadataPieceCount(MAX_METADATA_BYTES) - 1)
  if (piece === undefined) throw protocolError('a metadata message without a piece')
  if (type === METADATA_REQUEST) return { type: 'request', piece }
  if (type === METADATA_REJECT) return { type: 'reject', piece }
  const totalBytes = within(dictionary, 'total_size', 1, MAX_METADATA_BYTES)
  if (totalBytes === undefined) throw protocolError('metadata without its total size')
  const bytes = payload.subarray(end)
  const expected = metadataPieceBytes(totalBytes, piece)
  if (expected === 0 || bytes.length !== expected) {
    throw protocolError(`metadata piece ${piece} of ${bytes.length} bytes, ${totalBytes} in all`)
  }
  return { type: 'data', piece, totalBytes, bytes }
}

function within(
  dictionary: BencodeDictionary,
  key: string,
  min: number,
  max: number,
): number | undefined {
  const value = getInteger(dictionary, key)
  return value !== undefined && value >= min && value <= max ? value : undefined
}

function parsed<T>(what: string, parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    throw engineError('ENGINE_PROTOCOL', `${what} that is not bencoded`, { cause })
  }
}
