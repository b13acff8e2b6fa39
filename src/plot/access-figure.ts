/** An access log as a figure: where on the device was read and written, over time. */
import { readAccessLog } from '../block-device/index.ts'
import { type Figure, layOut, READS, WRITES } from './figure.ts'
import { groupDigits } from './scale.ts'

export interface AccessSummary {
  readonly deviceBytes: number
  /** Milliseconds since 1970. */
  readonly startedAtMs: number
  /** Of the last record since the first moment of the log. */
  readonly seconds: number
  readonly reads: number
  readonly readBytes: number
  readonly writes: number
  readonly writtenBytes: number
  readonly flushes: number
  readonly discards: number
  /** Operations that the log could not keep up with. */
  readonly lost: number
  /** Reads and writes that began where the one before of their kind had ended. */
  readonly sequentialReads: number
  readonly sequentialWrites: number
}

const MANY_POINTS = 50_000

/**
 * Reads the log twice, in bounded memory: once to measure, once to draw. The vertical axis ends where
 * the highest read or write does.
 *
 * @throws what readAccessLog throws
 */
export async function accessFigure(
  path: string,
): Promise<{ figure: Figure; summary: AccessSummary }> {
  const count = { read: 0, write: 0, flush: 0, discard: 0, lost: 0 }
  const bytes = { read: 0, write: 0 }
  const end = { read: -1, write: -1 }
  const sequential = { read: 0, write: 0 }
  let lastUs = 0
  let highest = 0
  const info = await readAccessLog(path, (operation, timeUs, offset, length) => {
    lastUs = Math.max(lastUs, timeUs)
    count[operation] += operation === 'lost' ? offset : 1
    if (operation !== 'read' && operation !== 'write') return
    bytes[operation] += length
    if (end[operation] === offset) sequential[operation]++
    end[operation] = offset + length
    highest = Math.max(highest, offset + length)
  })
  const figure = layOut([
    [
      {
        title: `${groupDigits(count.read)} reads, ${groupDigits(count.write)} writes, ${groupDigits(count.flush)} flushes`,
        x: { label: 'time', quantity: 'seconds', max: lastUs / 1e6 },
        y: { label: 'offset on the device', quantity: 'bytes', max: highest },
        series: [READS, WRITES],
        dot: count.read + count.write > MANY_POINTS ? 1 : 3,
      },
    ],
  ])
  const { raster } = figure.panels[0]!
  await readAccessLog(path, (operation, timeUs, offset, length) => {
    if (operation === 'read') raster.add(0, timeUs / 1e6, offset, length)
    else if (operation === 'write') raster.add(1, timeUs / 1e6, offset, length)
  })
  const summary = {
    ...info,
    seconds: lastUs / 1e6,
    reads: count.read,
    readBytes: bytes.read,
    writes: count.write,
    writtenBytes: bytes.write,
    flushes: count.flush,
    discards: count.discard,
    lost: count.lost,
    sequentialReads: sequential.read,
    sequentialWrites: sequential.write,
  }
  return { figure, summary }
}
