import { SeedbedError } from '../base/index.ts'

export const bencodeErrors = {
  BENCODE_TRUNCATED: 'The input ends inside a value, or a string claims more bytes than there are.',
  BENCODE_SYNTAX: 'A byte is not what the grammar allows there.',
  BENCODE_INTEGER: 'An integer is not in its canonical form, or does not fit 64 bits.',
  BENCODE_KEY_ORDER: 'The keys of a dictionary are not in ascending byte order.',
  BENCODE_KEY_DUPLICATE: 'A dictionary has the same key twice.',
  BENCODE_TRAILING: 'Bytes follow the value.',
  BENCODE_DEPTH: 'Lists and dictionaries are nested deeper than the limit.',
  BENCODE_TOO_MANY: 'The input holds more values than the limit.',
  BENCODE_NOT_DICTIONARY: 'The outermost value is not a dictionary.',
} as const

/** Malformed input, with the place where it stopped making sense. */
export class BencodeError extends SeedbedError {
  /** Bytes from the beginning of the input. */
  readonly offset: number

  constructor(code: keyof typeof bencodeErrors, offset: number, message: string) {
    super(code, `${message} at byte ${offset}`)
    this.offset = offset
  }
}
