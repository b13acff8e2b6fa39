/** `seedbed info`: a volume, or one torrent on it. */
import { Command } from 'commander'
import { SeedbedError, toHex } from '../../base/index.ts'
import { type Extent, isMapped, type MountedVolume } from '../../filesystem/index.ts'
import { decodeAttributes, magnetOf, type Place } from '../../node/index.ts'
import { formatBytes, formatName, formatPercent, formatTable } from '../format.ts'
import { deviceOf, findTorrent, infoOf, summaryOf, withPlace } from '../offline.ts'
import { dataOption, deviceOption, jsonOption, type PlaceOptions, placesOf } from '../options.ts'
import { Output } from '../output.ts'

interface InfoOptions extends PlaceOptions {
  readonly json?: boolean
  readonly map?: boolean
}

export function infoCommand(): Command {
  return new Command('info')
    .description('tell about a volume, or about one torrent on it')
    .argument('[operand...]', 'devices, images or folder, then the beginning of an info-hash')
    .addOption(dataOption())
    .addOption(deviceOption())
    .option('--map', 'where on the device the torrent lies, extent by extent')
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], options: InfoOptions): Promise<void> {
  const output = new Output(options.json === true)
  const { paths, rest } = placesOf(operands, options)
  const [prefix] = rest
  await withPlace(output, paths, true, async (place) => {
    if (prefix !== undefined) return torrentInfo(output, place, prefix, options.map === true)
    if (place.kind === 'folder') {
      throw new SeedbedError('NODE_NO_VOLUME', `${place.path} is a folder of ordinary files`, {
        mend: '`seedbed ls` lists what it holds; with an info-hash `info` tells about a torrent.',
      })
    }
    for (const volume of place.store.volumes) volumeInfo(output, volume)
  })
}

function volumeInfo(output: Output, volume: MountedVolume): void {
  const { path } = volume
  const stats = volume.stats()
  const allocator = volume.allocatorStats()
  output.result(
    { device: path, ...stats, allocator },
    [
      `device    ${path} (${formatBytes(stats.deviceBytes)})`,
      `uuid      ${stats.uuid}`,
      ...(stats.label === '' ? [] : [`label     ${stats.label}`]),
      `format    version ${stats.formatVersion}, blocks of ${formatBytes(stats.blockBytes)}`,
      `blocks    ${stats.totalBlocks}: ${stats.dataBlocks} data, ${stats.metadataBlocks} metadata, ${stats.freeBlocks} free (${formatBytes(stats.freeBlocks * stats.blockBytes)})`,
      `torrents  ${stats.torrents} of at most ${stats.torrentsMax}`,
      `free      in ${allocator.freeExtents} extent${allocator.freeExtents === 1 ? '' : 's'}, the largest ${formatBytes(allocator.largestFreeExtentBlocks * stats.blockBytes)}; next block ${allocator.cursor}`,
      ...allocator.slabs.map(
        ({ slotBytes, blocks, slots, usedSlots }) =>
          `slab      ${formatBytes(slotBytes).padStart(10)}  ${usedSlots} of ${slots} slots in ${blocks} block${blocks === 1 ? '' : 's'}`,
      ),
    ].join('\n'),
  )
}

async function torrentInfo(
  output: Output,
  place: Place,
  prefix: string,
  map: boolean,
): Promise<void> {
  const stored = findTorrent(place, prefix)
  const info = await infoOf(stored)
  const infoHashV2 = info?.infoHashV2
  const { trackers } = decodeAttributes(await stored.readAttributes())
  const magnet = info === undefined ? null : magnetOf(info, trackers)
  const files = (info?.files ?? [])
    .filter((file) => !file.padding)
    .map((file) => ({ path: file.path.join('/'), bytes: file.bytes }))
  const { blockBytes } = place.store
  const mapped = isMapped(stored) ? stored : undefined
  const extents = map && mapped !== undefined ? [...mapped.extents()] : []
  output.result(
    {
      device: deviceOf(place, stored),
      ...summaryOf(stored, info),
      private: info?.private ?? null,
      allocatedBlocks: mapped?.allocatedBlocks ?? null,
      trackers,
      magnet,
      files,
      ...(map ? { blockBytes, extents } : {}),
    },
    [
      `name        ${formatName(info?.name ?? '(info damaged)')}`,
      `info-hash   ${toHex(stored.infoHash)}`,
      `device      ${formatName(deviceOf(place, stored))}`,
      ...(infoHashV2 === undefined ? [] : [`v2          ${toHex(infoHashV2)} (${info?.format})`]),
      `size        ${formatBytes(info?.contentBytes ?? stored.totalBytes)} in ${stored.pieceCount} pieces of ${formatBytes(stored.pieceBytes)}`,
      `have        ${stored.have.count} pieces (${formatPercent(stored.have.count, stored.pieceCount)}), ${mapped === undefined ? 'ordinary files' : `${mapped.allocatedBlocks} blocks`}`,
      `added       ${new Date(stored.addedAtMs).toISOString()}`,
      `transfer    ${formatBytes(stored.uploadedBytes)} up, ${formatBytes(stored.downloadedBytes)} down`,
      ...(magnet === null ? [] : [`magnet      ${magnet}`]),
      ...trackers.flat().map((url) => `tracker     ${formatName(url)}`),
      ...files.map(
        (file) => `file        ${formatBytes(file.bytes).padStart(10)}  ${formatName(file.path)}`,
      ),
      ...(map ? [`extents     ${extents.length}`, mapTable(extents, blockBytes)] : []),
    ].join('\n'),
  )
}

/** Block and offset of the torrent, block and offset of the device, length. */
function mapTable(extents: readonly Extent[], blockBytes: number): string {
  return formatTable(
    ['BLOCK', 'OFFSET', 'DEVICE BLOCK', 'DEVICE OFFSET', 'LENGTH'],
    extents.map(({ block, place, blocks }) => [
      String(block),
      formatBytes(block * blockBytes),
      String(place),
      formatBytes(place * blockBytes),
      formatBytes(blocks * blockBytes),
    ]),
    [0, 1, 2, 3, 4],
  )
}
