/** `seedbed plot`: pictures of what a disk had to do. */
import { writeFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { Command } from 'commander'
import { errnoOf, SeedbedError, seededRandom } from '../../base/index.ts'
import {
  type AccessSummary,
  accessFigure,
  articleFigure,
  drawPng,
  drawSvg,
  type Figure,
} from '../../plot/index.ts'
import { formatBytes, formatDuration, formatPercent } from '../format.ts'
import { jsonOption } from '../options.ts'
import { Output } from '../output.ts'

/** The article's own. */
const ARTICLE_SEED = 0x1337

const DRAWERS: Readonly<Record<string, (figure: Figure) => Buffer | string>> = {
  '.png': drawPng,
  '.svg': drawSvg,
}

interface PlotFlags {
  readonly out: string
  readonly article?: boolean
  readonly json?: boolean
}

export function plotCommand(): Command {
  return new Command('plot')
    .description('draw an access log: reads and writes of the device over time')
    .argument('[log]', 'file that `seedbed up --access-log` wrote')
    .requiredOption('--out <file>', 'picture to be written: .svg or .png')
    .option('--article', 'draw the artificial payloads of "a bittorrent filesystem" instead')
    .addOption(jsonOption())
    .action(run)
}

async function run(log: string | undefined, flags: PlotFlags, command: Command): Promise<void> {
  const output = new Output(flags.json === true)
  const draw = DRAWERS[extname(flags.out).toLowerCase()]
  if (draw === undefined) command.error("error: the picture's name has to end in .svg or .png")
  if ((log === undefined) !== (flags.article === true)) {
    command.error('error: either an access log or --article')
  }
  const path = flags.out
  if (log === undefined) {
    await save(path, draw(articleFigure(seededRandom(ARTICLE_SEED))))
    output.result({ event: 'plotted', path }, `drew ${path}`)
    return
  }
  const { figure, summary } = await accessFigure(log)
  await save(path, draw(figure))
  output.result({ event: 'plotted', path, ...summary }, `drew ${path}: ${describe(summary)}`)
}

function describe(summary: AccessSummary): string {
  const { reads, writes, sequentialReads, sequentialWrites, lost } = summary
  const part = (count: number, bytes: number, inOrder: number, what: string): string =>
    `${count} ${what} (${formatBytes(bytes)}, ${formatPercent(inOrder, count)} right behind the last)`
  return [
    part(reads, summary.readBytes, sequentialReads, 'reads'),
    part(writes, summary.writtenBytes, sequentialWrites, 'writes'),
    `${summary.flushes} flushes, ${summary.discards} discards in ${formatDuration(summary.seconds)}`,
    ...(lost > 0 ? [`${lost} more that the log could not keep up with`] : []),
  ].join(', ')
}

async function save(path: string, content: Buffer | string): Promise<void> {
  try {
    await writeFile(path, content)
  } catch (cause) {
    throw new SeedbedError('OUT_FAILED', `${path} cannot be written (${errnoOf(cause)})`, {
      mend: 'Check its folder, its permissions and the free space.',
      cause,
    })
  }
}
