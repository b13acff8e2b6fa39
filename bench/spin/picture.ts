/** What a disk was asked for, drawn as `seedbed plot` draws a log. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ManualClock } from '../../src/base/index.ts'
import { AccessLogWriter } from '../../src/block-device/index.ts'
import { accessFigure, drawSvg } from '../../src/plot/index.ts'

export interface Access {
  /** Since the first moment. */
  readonly ms: number
  readonly kind: 'read' | 'write'
  readonly offset: number
  readonly bytes: number
}

/** The log's writer keeps up with so many a turn of the event loop. */
const AT_A_TIME = 2_000

/** Writes an SVG to `path`; `directory` is for what lies there meanwhile. */
export async function drawAccesses(
  accesses: readonly Access[],
  diskBytes: number,
  path: string,
  directory: string,
): Promise<void> {
  const clock = new ManualClock()
  const logPath = join(directory, 'picture.log')
  const log = await AccessLogWriter.create(logPath, {
    clock,
    deviceBytes: diskBytes,
    onFailure: (error) => {
      throw error
    },
  })
  for (const [i, { ms, kind, offset, bytes }] of accesses.entries()) {
    clock.advance(ms - clock.monotonicMs())
    log.note(kind === 'read' ? 0 : 1, offset, bytes)
    if (i % AT_A_TIME === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await log.close()
  const { figure } = await accessFigure(logPath)
  await writeFile(path, drawSvg(figure))
  await rm(logPath)
}
