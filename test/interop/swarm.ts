/** The pieces that the interop tests are put together from: download once, compare, tell the story. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Digests, differences, digest } from './content.ts'
import { aria2 } from './peers/aria2.ts'
import type { Child } from './peers/child.ts'
import {
  endLibtorrent,
  type LibtorrentOptions,
  libtorrent,
  type Source,
} from './peers/libtorrent.ts'
import type { Within } from './peers/namespace.ts'
import { seedbed } from './peers/seedbed.ts'

export const MIB: number = 1024 * 1024
export const GIB: number = 1024 * MIB

/** For a download of up to 1 GiB on a busy machine of two cores. */
export const DOWNLOAD_LIMIT_MS = 120_000

export interface Download {
  readonly source: Source
  /** A directory that does not exist yet. */
  readonly directory: string
  readonly host: string
  /** Name of the torrent's file or folder. */
  readonly name: string
  readonly expected: Digests
}

export async function compare(download: Download): Promise<void> {
  const found = await digest(join(download.directory, download.name))
  assert.deepEqual(differences(download.expected, found), [])
}

export async function downloadWithLibtorrent(download: Download): Promise<void> {
  mkdirSync(download.directory, { recursive: true })
  await completeWithLibtorrent({ ...download, seed: false })
  await compare(download)
}

/** A leecher from its start to its end; `meanwhile` is done when it has everything. */
export async function completeWithLibtorrent(
  options: LibtorrentOptions,
  meanwhile?: (leecher: Child) => Promise<void>,
  limitMs: number = DOWNLOAD_LIMIT_MS,
): Promise<void> {
  const leecher = libtorrent(options)
  try {
    await leecher.event('complete', limitMs)
    await meanwhile?.(leecher)
    await endLibtorrent(leecher)
  } finally {
    await leecher.kill()
  }
}

export async function downloadWithAria2(
  download: Download & { readonly udpTrackers?: boolean },
): Promise<void> {
  const leecher = await aria2({ ...download, mode: 'leech' })
  await leecher.succeed(DOWNLOAD_LIMIT_MS)
  await compare(download)
}

/** `seedbed get`: exit code 0 must mean verified and written. */
export async function downloadWithSeedbed(
  download: Download,
  within?: Within,
  more: readonly string[] = [],
): Promise<void> {
  const { source, directory, host } = download
  const place = ['--out', directory, '--peer-port', '0', '--bind', host, '--json']
  const from = 'torrent' in source ? source.torrent : source.magnet
  await seedbed(['get', from, ...place, ...more], within).succeed(DOWNLOAD_LIMIT_MS)
  await compare(download)
}
