/** `seedbed info`: a volume, or one torrent on it. */
import { Command } from 'commander'
import { toHex } from '../../base/index.ts'
import { decodeAttributes, magnetOf, type Storage } from '../../node/index.ts'
import { formatBytes, formatName, formatPercent } from '../format.ts'
import { findTorrent, infoOf, withVolume } from '../offline.ts'
import { dataOption, deviceOption, jsonOption, type PlaceOptions, placeOf } from '../options.ts'
import { Output } from '../output.ts'

interface InfoOptions extends PlaceOptions {
  readonly json?: boolean
}

export function infoCommand(): Command {
  return new Command('info')
    .description('tell about a volume, or about one torrent on it')
    .argument('[operand...]', 'device or image, then the beginning of an info-hash')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], options: InfoOptions): Promise<void> {
  const output = new Output(options.json === true)
  const { path, rest } = placeOf(operands, options)
  await withVolume(path, true, async (storage) => {
    if (rest[0] === undefined) volumeInfo(output, storage)
    else await torrentInfo(output, storage, rest[0])
  })
}

function volumeInfo(output: Output, { volume, path }: Storage): void {
  const stats = volume.stats()
  output.result(
    { device: path, ...stats },
    [
      `device    ${path} (${formatBytes(stats.deviceBytes)})`,
      `uuid      ${stats.uuid}`,
      ...(stats.label === '' ? [] : [`label     ${stats.label}`]),
      `format    version ${stats.formatVersion}, blocks of ${formatBytes(stats.blockBytes)}`,
      `blocks    ${stats.totalBlocks}: ${stats.dataBlocks} data, ${stats.metadataBlocks} metadata, ${stats.freeBlocks} free (${formatBytes(stats.freeBlocks * stats.blockBytes)})`,
      `torrents  ${stats.torrents} of at most ${stats.torrentsMax}`,
    ].join('\n'),
  )
}

async function torrentInfo(output: Output, storage: Storage, prefix: string): Promise<void> {
  const stored = findTorrent(storage, prefix)
  const info = await infoOf(stored)
  const { trackers } = decodeAttributes(await stored.readAttributes())
  const magnet = info === undefined ? null : magnetOf(info, trackers)
  const files = (info?.files ?? [])
    .filter((file) => !file.padding)
    .map((file) => ({ path: file.path.join('/'), bytes: file.bytes }))
  output.result(
    {
      infoHash: toHex(stored.infoHash),
      name: info?.name ?? null,
      bytes: stored.totalBytes,
      pieceBytes: stored.pieceBytes,
      pieceCount: stored.pieceCount,
      havePieces: stored.have.count,
      complete: stored.complete,
      private: info?.private ?? null,
      addedAtMs: stored.addedAtMs,
      uploadedBytes: stored.uploadedBytes,
      downloadedBytes: stored.downloadedBytes,
      allocatedBlocks: stored.allocatedBlocks,
      trackers,
      magnet,
      files,
    },
    [
      `name        ${formatName(info?.name ?? '(info damaged)')}`,
      `info-hash   ${toHex(stored.infoHash)}`,
      `size        ${formatBytes(stored.totalBytes)} in ${stored.pieceCount} pieces of ${formatBytes(stored.pieceBytes)}`,
      `have        ${stored.have.count} pieces (${formatPercent(stored.have.count, stored.pieceCount)}), ${stored.allocatedBlocks} blocks`,
      `added       ${new Date(stored.addedAtMs).toISOString()}`,
      `transfer    ${formatBytes(stored.uploadedBytes)} up, ${formatBytes(stored.downloadedBytes)} down`,
      ...(magnet === null ? [] : [`magnet      ${magnet}`]),
      ...trackers.flat().map((url) => `tracker     ${formatName(url)}`),
      ...files.map(
        (file) => `file        ${formatBytes(file.bytes).padStart(10)}  ${formatName(file.path)}`,
      ),
    ].join('\n'),
  )
}
