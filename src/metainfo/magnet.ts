/**
 * Magnet URIs (BEP 9, 52, 53): one or two info-hashes, and hints where to find the rest.
 *
 *   magnet:?xt=urn:btih:<info-hash>&xt=urn:btmh:<multihash>&dn=<name>&xl=<bytes>&tr=<announce URL>
 *           &x.pe=<host>:<port>&ws=<web seed>&so=<files, such as 0,2,4-6>
 *
 * `btih` is of v1, `btmh` of v2; a hybrid has both. Only `xt` must be right; hints that make no sense are
 * ignored. Keys may be numbered (`tr.1`).
 * Invariant: `parseMagnet(formatMagnet(magnet))` is `magnet`, for one that `parseMagnet` could answer.
 */
import { isIPv6 } from 'node:net'
import { bytesEqual, toHex } from '../base/index.ts'
import { metainfoError, quoted } from './errors.ts'
import { formatMultihash, parseInfoHash, parseMultihash } from './info-hash.ts'
import {
  FILES_MAX,
  HASH_BYTES,
  MAGNET_CHARACTERS_MAX,
  MAGNET_PEERS_MAX,
  MAGNET_RANGES_MAX,
  PATH_COMPONENT_BYTES_MAX,
} from './limits.ts'
import { cleanTiers, cleanWebSeeds } from './tracker-urls.ts'
import type { Magnet } from './types.ts'

type MagnetPeer = Magnet['peers'][number]

/** METAINFO_BAD_MAGNET. */
export function parseMagnet(uri: string): Magnet {
  if (uri.length > MAGNET_CHARACTERS_MAX) {
    throw badMagnet(`a magnet of more than ${MAGNET_CHARACTERS_MAX} characters`)
  }
  const query = /^\s*magnet:\?([^#]*)/i.exec(uri)?.[1]
  if (query === undefined) throw badMagnet(`${quoted(uri)} is not a magnet URI`)
  const values = valuesByKey(query.trimEnd())
  const first = (key: string): string | undefined => values.get(key)?.find((value) => value !== '')
  return {
    ...hashesOf(values.get('xt') ?? []),
    name: nameOf(first('dn')),
    trackers: cleanTiers([values.get('tr') ?? []]).flat(),
    peers: peersOf(values.get('x.pe') ?? []),
    webSeeds: cleanWebSeeds(values.get('ws') ?? []),
    selected: selectedOf(first('so')),
    totalBytes: sizeOf(first('xl')),
  }
}

/** The URI of `magnet`, its info-hashes in hexadecimal. */
export function formatMagnet(magnet: Magnet): string {
  const { infoHash, infoHashV2 } = magnet
  const parts: string[] = []
  if (infoHashV2 === undefined || !isTruncated(infoHash, infoHashV2)) {
    parts.push(`xt=urn:btih:${toHex(infoHash)}`)
  }
  if (infoHashV2 !== undefined) parts.push(`xt=urn:btmh:${formatMultihash(infoHashV2)}`)
  if (magnet.name !== undefined) parts.push(`dn=${percentEncode(magnet.name)}`)
  if (magnet.totalBytes !== undefined) parts.push(`xl=${magnet.totalBytes}`)
  for (const url of magnet.trackers) parts.push(`tr=${percentEncode(url)}`)
  for (const { host, port } of magnet.peers) {
    parts.push(`x.pe=${isIPv6(host) ? `[${host}]` : host}:${port}`)
  }
  for (const url of magnet.webSeeds ?? []) parts.push(`ws=${percentEncode(url)}`)
  if (magnet.selected !== undefined) {
    const ranges = magnet.selected.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`))
    parts.push(`so=${ranges.join(',')}`)
  }
  return `magnet:?${parts.join('&')}`
}

function valuesByKey(query: string): Map<string, string[]> {
  const values = new Map<string, string[]>()
  for (const [name, value] of new URLSearchParams(query)) {
    const key = name.toLowerCase().replace(/^(xt|tr|x\.pe|ws)\.\d+$/, '$1')
    const list = values.get(key)
    if (list === undefined) values.set(key, [value])
    else list.push(value)
  }
  return values
}

function hashesOf(topics: readonly string[]): Pick<Magnet, 'infoHash' | 'infoHashV2'> {
  const v1 = topicOf(topics, 'btih', parseInfoHash)
  // Beside a v1 topic, one of another hash function is a hint that nobody here understands.
  const other = v1 === undefined ? null : undefined
  const v2 = topicOf(topics, 'btmh', (text) => parseMultihash(text) ?? other)
  if (v1 !== undefined) return { infoHash: v1, infoHashV2: v2 }
  if (v2 !== undefined) return { infoHash: v2.slice(0, HASH_BYTES), infoHashV2: v2 }
  throw badMagnet('the magnet names no info-hash (xt=urn:btih: or xt=urn:btmh:)')
}

/** `parse` answers null for what is no hash, undefined for what is to be passed over. */
function topicOf(
  topics: readonly string[],
  kind: string,
  parse: (text: string) => Uint8Array | null | undefined,
): Uint8Array | undefined {
  let found: Uint8Array | undefined
  for (const topic of topics) {
    const prefix = `urn:${kind}:`
    if (topic.slice(0, prefix.length).toLowerCase() !== prefix) continue
    const text = topic.slice(prefix.length)
    const infoHash = parse(text)
    if (infoHash === null) throw badMagnet(`${quoted(text)} is not an info-hash`)
    if (infoHash === undefined) continue
    if (found !== undefined && !bytesEqual(found, infoHash)) {
      throw badMagnet('the magnet names two torrents')
    }
    found = infoHash
  }
  return found
}

function isTruncated(infoHash: Uint8Array, infoHashV2: Uint8Array): boolean {
  return bytesEqual(infoHash, infoHashV2.subarray(0, HASH_BYTES))
}

/** BEP 53. Undefined, which is all files, when any of it makes no sense. */
function selectedOf(text: string | undefined): Magnet['selected'] {
  if (text === undefined) return undefined
  const ranges: (readonly [number, number])[] = []
  for (const part of text.split(',')) {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part)
    if (match === null || ranges.length === MAGNET_RANGES_MAX) return undefined
    const first = Number(match[1])
    const last = Number(match[2] ?? first)
    if (last < first || last >= FILES_MAX) return undefined
    ranges.push([first, last])
  }
  return ranges
}

function nameOf(text: string | undefined): string | undefined {
  if (text === undefined || Buffer.byteLength(text, 'utf8') > PATH_COMPONENT_BYTES_MAX)
    return undefined
  return text
}

function peersOf(texts: readonly string[]): MagnetPeer[] {
  const peers: MagnetPeer[] = []
  for (const text of texts) {
    const peer = peerOf(text)
    if (peer !== undefined && peers.length < MAGNET_PEERS_MAX) peers.push(peer)
  }
  return peers
}

/** `host:port`, an IPv6 address in brackets. */
function peerOf(text: string): MagnetPeer | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]{1,253})):(\d{1,5})$/i.exec(text)
  if (match === null) return undefined
  const [, address, name, digits] = match
  const port = Number(digits)
  if (port < 1 || port > 65_535) return undefined
  if (address !== undefined) return isIPv6(address) ? { host: address, port } : undefined
  return { host: name!, port }
}

function sizeOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined
  const bytes = Number(text)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}

/** encodeURIComponent throws at a lone surrogate; going through UTF-8 makes it U+FFFD. */
function percentEncode(text: string): string {
  return encodeURIComponent(Buffer.from(text, 'utf8').toString('utf8'))
}

function badMagnet(message: string): Error {
  return metainfoError('METAINFO_BAD_MAGNET', message, {
    mend: 'Check that the whole link was copied; it names the torrent as xt=urn:btih:… or xt=urn:btmh:….',
  })
}
