/**
 * Messages about the hash trees of files (BEP 52): asking for a range of nodes, giving it, refusing.
 *
 * ```
 * hash request, hash reject   root 32, base layer 4, index 4, length 4, proof layers 4
 * hashes                      the same, then `length` nodes and the uncles above them, 32 bytes each
 * ```
 *
 * Writers fill a buffer of the caller's and return the number of bytes written. What is read is any
 * numbers: `isRange` says whether a tree has them.
 */
import { readU32BE, writeU32BE } from '../../base/index.ts'
import { type HashRange, MERKLE_HASH_BYTES } from '../../metainfo/index.ts'
import { MessageId } from './messages.ts'

/** Root and range, without length and id of the message. */
export const HASH_FIELDS_BYTES: number = MERKLE_HASH_BYTES + 16
/** hash request and hash reject, whole. */
export const HASH_REQUEST_BYTES: number = 5 + HASH_FIELDS_BYTES

/** Nodes in one message: BEP 52 asks that no more are requested. */
export const MAX_HASHES = 512

function writeFields(
  target: Uint8Array,
  offset: number,
  id: number,
  root: Uint8Array,
  range: HashRange,
  hashesBytes: number,
): number {
  writeU32BE(target, offset, 1 + HASH_FIELDS_BYTES + hashesBytes)
  target[offset + 4] = id
  target.set(root, offset + 5)
  const at = offset + 5 + MERKLE_HASH_BYTES
  writeU32BE(target, at, range.baseLayer)
  writeU32BE(target, at + 4, range.index)
  writeU32BE(target, at + 8, range.length)
  writeU32BE(target, at + 12, range.proofLayers)
  return HASH_REQUEST_BYTES
}

export function writeHashRequest(
  target: Uint8Array,
  offset: number,
  root: Uint8Array,
  range: HashRange,
): number {
  return writeFields(target, offset, MessageId.hashRequest, root, range, 0)
}

export function writeHashReject(
  target: Uint8Array,
  offset: number,
  root: Uint8Array,
  range: HashRange,
): number {
  return writeFields(target, offset, MessageId.hashReject, root, range, 0)
}

/** The whole message, hashes copied: HASH_REQUEST_BYTES and `hashes.length`. */
export function writeHashes(
  target: Uint8Array,
  offset: number,
  root: Uint8Array,
  range: HashRange,
  hashes: Uint8Array,
): number {
  const at = writeFields(target, offset, MessageId.hashes, root, range, hashes.length)
  target.set(hashes, offset + at)
  return at + hashes.length
}

export interface HashFields {
  /** 32 bytes, a view. */
  readonly root: Uint8Array
  readonly range: HashRange
}

/** The HASH_FIELDS_BYTES at `offset`. */
export function readHashFields(bytes: Uint8Array, offset: number): HashFields {
  const at = offset + MERKLE_HASH_BYTES
  return {
    root: bytes.subarray(offset, at),
    range: {
      baseLayer: readU32BE(bytes, at),
      index: readU32BE(bytes, at + 4),
      length: readU32BE(bytes, at + 8),
      proofLayers: readU32BE(bytes, at + 12),
    },
  }
}
