/** `seedbed rm`: forget torrents and give their blocks back. */
import { Command } from 'commander'
import { SeedbedError, toHex } from '../../base/index.ts'
import { formatBytes, formatName } from '../format.ts'
import { findRefused, findTorrent, infoOf, withPlace } from '../offline.ts'
import { dataOption, deviceOption, jsonOption, type PlaceOptions, placesOf } from '../options.ts'
import { Output } from '../output.ts'

interface RmOptions extends PlaceOptions {
  readonly json?: boolean
}

export function rmCommand(): Command {
  return new Command('rm')
    .description('remove torrents, with their data, from a volume or folder')
    .argument('<operand...>', 'devices, images or folder, then the beginnings of info-hashes')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], options: RmOptions): Promise<void> {
  const output = new Output(options.json === true)
  const { paths, rest } = placesOf(operands, options)
  if (rest.length === 0) {
    throw new SeedbedError('TORRENT_UNKNOWN', 'no info-hash was given', {
      mend: '`seedbed ls` lists them.',
    })
  }
  await withPlace(output, paths, false, async (place) => {
    // All are looked up before any is removed: a mistyped one must not leave half the work done.
    const wanted = rest.map((prefix) => findRefused(place, prefix) ?? findTorrent(place, prefix))
    for (const one of wanted) {
      if (one instanceof Uint8Array) {
        const infoHash = toHex(one)
        await place.store.remove(one)
        output.result(
          { event: 'removed', infoHash, name: null, freedBytes: 0 },
          `removed ${infoHash}, which was damaged: what it took is free when the volume is opened next`,
        )
        continue
      }
      const name = (await infoOf(one))?.name ?? null
      const infoHash = toHex(one.infoHash)
      const freedBytes = one.usedBytes
      await place.store.remove(one.infoHash)
      output.result(
        { event: 'removed', infoHash, name, freedBytes },
        `removed ${formatName(name ?? infoHash)}, ${formatBytes(freedBytes)} free again`,
      )
    }
  })
}
