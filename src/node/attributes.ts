/**
 * What the node keeps beside a torrent's info dictionary on the volume: a bencoded dictionary, so that
 * the device alone is enough to go on announcing.
 *
 *   { "announce-list": [[url, …], …],       BEP 12
 *     "only": [pattern, [first, last], …],    what is wanted of it (selection.ts)
 *     "url-list": [url, …] }                  web seeds (BEP 19)
 */
import { SeedbedError } from '../base/index.ts'
import { decode, encode } from '../bencode/index.ts'
import type { Selection } from './selection.ts'

export interface Attributes {
  readonly trackers: readonly (readonly string[])[]
  /** The files that are wanted; absent: all are. */
  readonly only?: Selection
  readonly webSeeds?: readonly string[]
}

export function encodeAttributes(attributes: Attributes): Uint8Array {
  return encode({
    'announce-list': attributes.trackers.map((tier) => tier.map((url) => url)),
    only: attributes.only?.map((part) => (typeof part === 'string' ? part : [...part])),
    'url-list': attributes.webSeeds?.length === 0 ? undefined : attributes.webSeeds,
  })
}

/** What cannot be understood is taken for nothing: it is a convenience, not the torrent. */
export function decodeAttributes(bytes: Uint8Array): Attributes {
  const trackers: string[][] = []
  let only: Selection = []
  let webSeeds: string[] = []
  try {
    const value = bytes.length === 0 ? undefined : decode(bytes)
    const list = value instanceof Map ? value.get('announce-list') : undefined
    if (Array.isArray(list)) {
      for (const tier of list) {
        if (!Array.isArray(tier)) continue
        const urls = tier.filter((url) => url instanceof Uint8Array).map((url) => text(url))
        if (urls.length > 0) trackers.push(urls)
      }
    }
    const texts = (key: string): string[] => {
      const list = value instanceof Map ? value.get(key) : undefined
      if (!Array.isArray(list)) return []
      return list.filter((item) => item instanceof Uint8Array).map((item) => text(item))
    }
    const parts = value instanceof Map ? value.get('only') : undefined
    if (Array.isArray(parts)) only = parts.map(partOf).filter((part) => part !== undefined)
    webSeeds = texts('url-list')
  } catch (error) {
    if (!(error instanceof SeedbedError)) throw error
  }
  return {
    trackers,
    ...(only.length === 0 ? {} : { only }),
    ...(webSeeds.length === 0 ? {} : { webSeeds }),
  }
}

function partOf(value: unknown): Selection[number] | undefined {
  if (value instanceof Uint8Array) return text(value)
  if (!Array.isArray(value)) return undefined
  const [first, last] = value.map((end) => (typeof end === 'number' ? end : -1))
  return first! >= 0 && last! >= first! ? [first!, last!] : undefined
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
