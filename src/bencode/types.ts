/** What bencode (BEP 3) can say, read and written. */

/**
 * A decoded value. Byte strings are views of the input; integers are numbers when safe, bigints
 * beyond. Keys of dictionaries hold one byte a character (latin1), so they are exact.
 */
export type BencodeValue = number | bigint | Uint8Array | BencodeList | BencodeDictionary
export type BencodeList = readonly BencodeValue[]
export type BencodeDictionary = ReadonlyMap<string, BencodeValue>

/**
 * What `encode` takes. Strings are written as UTF-8; keys hold one byte a character, as decoded. A
 * property that is undefined is left out.
 */
export type Encodable =
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Encodable[]
  | ReadonlyMap<string, Encodable>
  | { readonly [key: string]: Encodable | undefined }

/** Where a value lies in the input: from `start` to before `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}
