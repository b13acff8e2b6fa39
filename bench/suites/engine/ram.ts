/** A place in memory for the parts of suite `engine`, and the content that they share. */
import { statfsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { SuiteContext } from '../../suite.ts'
import { PathBench } from '../path/setup.ts'

const SHARED_MEMORY = '/dev/shm'

/** Runs in a directory of the machine's memory where there is one, else in the suite's own. */
export async function inMemory(
  context: SuiteContext,
  action: (bench: PathBench) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(SHARED_MEMORY, 'seedbed-bench-')).catch(() => undefined)
  if (directory === undefined) context.log('no /dev/shm: the figures include a disk')
  try {
    await action(new PathBench({ ...context, directory: directory ?? context.directory }))
  } finally {
    if (directory !== undefined) await rm(directory, { recursive: true })
  }
}

/** Bytes that the place has left. */
export function roomOf(bench: PathBench): number {
  const { bavail, bsize } = statfsSync(bench.at())
  return bavail * bsize
}
