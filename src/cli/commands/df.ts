/** `seedbed df`: how full volumes are. */
import { Command } from 'commander'
import { exitCodeOf } from '../exit-codes.ts'
import { formatBytes, formatName, formatPercent, formatTable } from '../format.ts'
import { withVolume } from '../offline.ts'
import { dataOption, deviceOption, devicesOf, jsonOption, type PlaceOptions } from '../options.ts'
import { Output } from '../output.ts'

interface DfFlags extends PlaceOptions {
  readonly json?: boolean
}

export function dfCommand(): Command {
  return new Command('df')
    .description('tell how full volumes are')
    .argument('[device...]', 'devices or images')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action(run)
}

/** A volume that cannot be told about does not keep the others from it; the first sets the status. */
async function run(devices: readonly string[], flags: DfFlags): Promise<void> {
  const output = new Output(flags.json === true)
  const told: Told[] = []
  let status = 0
  for (const path of devicesOf(devices, flags)) {
    try {
      told.push(await tell(output, path))
    } catch (error) {
      output.error(error)
      if (status === 0) status = exitCodeOf(error)
    }
  }
  const rows = told.map(rowOf)
  if (told.length > 1) {
    const sum = (of: (one: Told) => number): number => told.reduce((all, one) => all + of(one), 0)
    const total = {
      totalBytes: sum((one) => one.totalBytes),
      usedBytes: sum((one) => one.usedBytes),
      freeBytes: sum((one) => one.freeBytes),
      torrents: sum((one) => one.torrents),
    }
    output.object({ devices: told.length, ...total })
    rows.push(rowOf({ device: 'total', label: '', ...total }))
  }
  if (rows.length > 0) {
    const header = ['DEVICE', 'LABEL', 'SIZE', 'USED', 'FREE', 'USE', 'TORRENTS']
    output.text(formatTable(header, rows, [2, 3, 4, 5, 6]))
  }
  process.exitCode = status
}

interface Told {
  readonly device: string
  readonly label: string
  readonly totalBytes: number
  readonly usedBytes: number
  readonly freeBytes: number
  readonly torrents: number
}

function tell(output: Output, path: string): Promise<Told> {
  return withVolume(path, true, async ({ volume }) => {
    const { uuid, label } = volume.stats()
    const { totalBytes, freeBytes, torrents } = volume.room()
    const usedBytes = totalBytes - freeBytes
    const told = { device: path, uuid, label, totalBytes, usedBytes, freeBytes, torrents }
    output.object(told)
    return told
  })
}

function rowOf({ device, label, totalBytes, usedBytes, freeBytes, torrents }: Told): string[] {
  return [
    formatName(device),
    formatName(label),
    formatBytes(totalBytes),
    formatBytes(usedBytes),
    formatBytes(freeBytes),
    formatPercent(usedBytes, totalBytes),
    String(torrents),
  ]
}
