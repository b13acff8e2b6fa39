/** What a user may name to be downloaded: a magnet link, a .torrent file, or its http(s) URL. */
import { readFile, stat } from 'node:fs/promises'
import { errnoOf, SeedbedError } from '../base/index.ts'
import type { Network } from '../engine/index.ts'
import {
  type Magnet,
  type Metainfo,
  parseMagnet,
  parseMetainfo,
  TORRENT_BYTES_MAX,
} from '../metainfo/index.ts'
import { nodeError } from './errors.ts'

const FETCH_TIMEOUT_MS = 60_000
/** Of a magnet link, which may be long, enough to know it by. */
const NAME_CHARACTERS = 120

export type FetchSource =
  | { readonly kind: 'magnet'; readonly magnet: Magnet }
  | { readonly kind: 'metainfo'; readonly metainfo: Metainfo }

/** True for what `readFetchSource` takes; anything else on a command line is a path to be shared. */
export function looksLikeFetchSource(text: string): boolean {
  return /^(magnet:|https?:\/\/)/i.test(text) || /\.torrent$/i.test(text)
}

/** FETCH_UNKNOWN, FETCH_FAILED, and what the metainfo room throws for bad content. */
export async function readFetchSource(text: string, network: Network): Promise<FetchSource> {
  if (/^magnet:/i.test(text)) return named(text, () => magnetOf(text))
  const bytes = /^https?:\/\//i.test(text) ? await fetchTorrent(text, network) : await load(text)
  return named(text, () => ({ kind: 'metainfo', metainfo: parseMetainfo(bytes) }))
}

function magnetOf(text: string): FetchSource {
  return { kind: 'magnet', magnet: parseMagnet(text) }
}

/** Of many that were asked for, which one it is that is wrong. */
function named(text: string, parse: () => FetchSource): FetchSource {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof SeedbedError)) throw error
    const { code, message, mend } = error
    throw new SeedbedError(code, `${printable(text)}: ${message}`, {
      cause: error,
      ...(mend === undefined ? {} : { mend }),
    })
  }
}

function printable(text: string): string {
  return text.length <= NAME_CHARACTERS ? text : `${text.slice(0, NAME_CHARACTERS)}…`
}

async function fetchTorrent(url: string, network: Network): Promise<Uint8Array> {
  const { status, body } = await network
    .httpGet(url, { timeoutMs: FETCH_TIMEOUT_MS, maxBytes: TORRENT_BYTES_MAX })
    .catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      throw nodeError('FETCH_FAILED', `${url} could not be fetched: ${reason}`, {
        mend: 'Check the URL and the network, or save the .torrent file and name it.',
        cause: error,
      })
    })
  if (status !== 200) {
    throw nodeError('FETCH_FAILED', `${url} answered with status ${status}`, {
      mend: 'Check the URL.',
    })
  }
  return body
}

async function load(path: string): Promise<Uint8Array> {
  try {
    const found = await stat(path)
    if (!found.isFile() || found.size > TORRENT_BYTES_MAX) {
      throw nodeError('FETCH_UNKNOWN', `${path} is not a .torrent file`, {
        mend: 'Name a magnet link, a .torrent file, or its http(s) URL.',
      })
    }
    return await readFile(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      throw nodeError('FETCH_UNKNOWN', `${path} is neither a magnet link, a URL nor a file`, {
        mend: 'Name a magnet link, a .torrent file, or its http(s) URL.',
        cause: error,
      })
    }
    if (errnoOf(error) === 'FETCH_UNKNOWN') throw error
    throw nodeError('FETCH_FAILED', `${path} cannot be read (${errnoOf(error) ?? String(error)})`, {
      mend: 'Give this user permission to read it.',
      cause: error,
    })
  }
}
