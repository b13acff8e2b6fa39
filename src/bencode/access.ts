/**
 * Reading what a stranger sent: each accessor answers the value when it is there and of the asked
 * kind, undefined otherwise, so that a reader says once what absence means.
 */
import { isUtf8 } from 'node:buffer'
import { asBuffer } from '../base/index.ts'
import type { BencodeDictionary, BencodeList, BencodeValue } from './types.ts'

type Maybe = BencodeValue | undefined

export function asBytes(value: Maybe): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined
}

/** A safe integer; one beyond 2^53 - 1 is undefined. */
export function asInteger(value: Maybe): number | undefined {
  return typeof value === 'number' ? value : undefined
}

/** A byte string that is valid UTF-8. */
export function asText(value: Maybe): string | undefined {
  if (!(value instanceof Uint8Array) || !isUtf8(value)) return undefined
  return asBuffer(value).toString('utf8')
}

export function asList(value: Maybe): BencodeList | undefined {
  return Array.isArray(value) ? (value as BencodeList) : undefined
}

export function asDictionary(value: Maybe): BencodeDictionary | undefined {
  return value instanceof Map ? (value as BencodeDictionary) : undefined
}

/** `asBytes` of what `key` holds; the others likewise. */
export function getBytes(dictionary: BencodeDictionary, key: string): Uint8Array | undefined {
  return asBytes(dictionary.get(key))
}

export function getInteger(dictionary: BencodeDictionary, key: string): number | undefined {
  return asInteger(dictionary.get(key))
}

export function getText(dictionary: BencodeDictionary, key: string): string | undefined {
  return asText(dictionary.get(key))
}

export function getList(dictionary: BencodeDictionary, key: string): BencodeList | undefined {
  return asList(dictionary.get(key))
}

export function getDictionary(
  dictionary: BencodeDictionary,
  key: string,
): BencodeDictionary | undefined {
  return asDictionary(dictionary.get(key))
}
