/**
 * What a peer says of a piece that it has lost (BEP 54): the extended message `lt_donthave`, four bytes with the number of the piece.
 */
import { readU32BE, writeU32BE } from '../../base/index.ts'
import { protocolError } from '../errors.ts'

export const DONT_HAVE = 'lt_donthave'
const DONT_HAVE_BYTES = 4

export function encodeDontHave(piece: number): Uint8Array {
  const payload = new Uint8Array(DONT_HAVE_BYTES)
  writeU32BE(payload, 0, piece)
  return payload
}

/** The piece, which may be none of the torrent's. Throws ENGINE_PROTOCOL. */
export function parseDontHave(payload: Uint8Array): number {
  if (payload.length !== DONT_HAVE_BYTES) {
    throw protocolError(`a lost piece in ${payload.length} bytes`)
  }
  return readU32BE(payload, 0)
}
