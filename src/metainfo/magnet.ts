/**
 * Magnet URIs (BEP 9): an info-hash, and hints where to find the rest.
 *
 *   magnet:?xt=urn:btih:<info-hash>&dn=<name>&xl=<bytes>&tr=<announce URL>&x.pe=<host>:<port>
 *
 * Only `xt` must be right; hints that make no sense are ignored. Keys may be numbered (`tr.1`).
 * Invariant: `parseMagnet(formatMagnet(magnet))` is `magnet`, for one that `parseMagnet` could answer.
 */
import { isIPv6 } from 'node:net'
import { bytesEqual, toHex } from '../base/index.ts'
import { metainfoError, quoted } from './errors.ts'
import { parseInfoHash } from './info-hash.ts'
import { MAGNET_CHARACTERS_MAX, MAGNET_PEERS_MAX, PATH_COMPONENT_BYTES_MAX } from './limits.ts'
import { cleanTiers } from './tracker-urls.ts'
import type { Magnet } from './types.ts'

type MagnetPeer = Magnet['peers'][number]

/** METAINFO_BAD_MAGNET; METAINFO_V2_ONLY when it names a v2 info-hash alone. */
export function parseMagnet(uri: string): Magnet {
  if (uri.length > MAGNET_CHARACTERS_MAX) {
    throw badMagnet(`a magnet of more than ${MAGNET_CHARACTERS_MAX} characters`)
  }
  const query = /^\s*magnet:\?([^#]*)/i.exec(uri)?.[1]
  if (query === undefined) throw badMagnet(`${quoted(uri)} is not a magnet URI`)
  const values = valuesByKey(query.trimEnd())
  const first = (key: string): string | undefined => values.get(key)?.find((value) => value !== '')
  return {
    infoHash: infoHashOf(values.get('xt') ?? []),
    name: nameOf(first('dn')),
    trackers: cleanTiers([values.get('tr') ?? []]).flat(),
    peers: peersOf(values.get('x.pe') ?? []),
    totalBytes: sizeOf(first('xl')),
  }
}

/** The URI of `magnet`, its info-hash in hexadecimal. */
export function formatMagnet(magnet: Magnet): string {
  const parts = [`xt=urn:btih:${toHex(magnet.infoHash)}`]
  if (magnet.name !== undefined) parts.push(`dn=${percentEncode(magnet.name)}`)
  if (magnet.totalBytes !== undefined) parts.push(`xl=${magnet.totalBytes}`)
  for (const url of magnet.trackers) parts.push(`tr=${percentEncode(url)}`)
  for (const { host, port } of magnet.peers) {
    parts.push(`x.pe=${isIPv6(host) ? `[${host}]` : host}:${port}`)
  }
  return `magnet:?${parts.join('&')}`
}

function valuesByKey(query: string): Map<string, string[]> {
  const values = new Map<string, string[]>()
  for (const [name, value] of new URLSearchParams(query)) {
    const key = name.toLowerCase().replace(/^(xt|tr|x\.pe)\.\d+$/, '$1')
    const list = values.get(key)
    if (list === undefined) values.set(key, [value])
    else list.push(value)
  }
  return values
}

function infoHashOf(topics: readonly string[]): Uint8Array {
  let found: Uint8Array | undefined
  for (const topic of topics) {
    const text = /^urn:btih:(.*)$/i.exec(topic)?.[1]
    if (text === undefined) continue
    const infoHash = parseInfoHash(text)
    if (infoHash === null) throw badMagnet(`${quoted(text)} is not an info-hash`)
    if (found !== undefined && !bytesEqual(found, infoHash)) {
      throw badMagnet('the magnet names two torrents')
    }
    found = infoHash
  }
  if (found !== undefined) return found
  if (topics.some((topic) => /^urn:btmh:/i.test(topic))) {
    throw metainfoError('METAINFO_V2_ONLY', 'the magnet names a BitTorrent v2 torrent only', {
      mend: 'Use a magnet with urn:btih: of the same content.',
    })
  }
  throw badMagnet('the magnet names no info-hash (xt=urn:btih:)')
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
    mend: 'Check that the whole link was copied; it names the torrent as xt=urn:btih:….',
  })
}
