/** Bencode (BEP 3): a strict, bounded decoder and a canonical encoder. */
export * from './access.ts'
export {
  type DecodeOptions,
  decode,
  decodeDictionary,
  decodePrefix,
} from './decode.ts'
export { encode } from './encode.ts'
export { BencodeError, bencodeErrors } from './errors.ts'
export * from './limits.ts'
export { spanOf, spansOf } from './spans.ts'
export type * from './types.ts'
