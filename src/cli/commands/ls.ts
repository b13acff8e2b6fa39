/** `seedbed ls`: the torrents of a volume. */
import { Command } from 'commander'
import { toHex } from '../../base/index.ts'
import { formatBytes, formatName, formatPercent, formatTable } from '../format.ts'
import { infoOf, withPlace } from '../offline.ts'
import { dataOption, deviceOption, jsonOption, type PlaceOptions, placeOf } from '../options.ts'
import { Output } from '../output.ts'

interface LsOptions extends PlaceOptions {
  readonly json?: boolean
}

export function lsCommand(): Command {
  return new Command('ls')
    .description('list the torrents of a volume or folder')
    .argument('[device]', 'device, image or folder of files')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action((device: string | undefined, options: LsOptions) =>
      ls(device === undefined ? [] : [device], options),
    )
}

async function ls(operands: readonly string[], options: LsOptions): Promise<void> {
  const output = new Output(options.json === true)
  const { path } = placeOf(operands, options)
  await withPlace(path, true, async ({ store }) => {
    const rows: string[][] = []
    for (const stored of store.torrents()) {
      const info = await infoOf(stored)
      const entry = {
        infoHash: toHex(stored.infoHash),
        name: info?.name ?? null,
        bytes: stored.totalBytes,
        pieceBytes: stored.pieceBytes,
        pieceCount: stored.pieceCount,
        havePieces: stored.have.count,
        complete: stored.complete,
        addedAtMs: stored.addedAtMs,
        uploadedBytes: stored.uploadedBytes,
        downloadedBytes: stored.downloadedBytes,
      }
      output.object(entry)
      rows.push([
        entry.infoHash,
        formatBytes(entry.bytes),
        entry.complete ? 'whole' : formatPercent(entry.havePieces, entry.pieceCount),
        formatBytes(entry.uploadedBytes),
        formatName(entry.name ?? '(info damaged)'),
      ])
    }
    output.text(formatTable(['INFO-HASH', 'SIZE', 'HAVE', 'UPLOADED', 'NAME'], rows, [1, 2, 3]))
  })
}
