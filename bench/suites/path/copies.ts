/**
 * Import of a file into a volume and export from it, against what an administrator would do with a
 * file: copy it and take its SHA-1.
 *
 * Import is timed inside `seedbed up FILE`, from `ready` to `shared`: reading, hashing, writing, and
 * making it durable. Export is the whole command, Node's start included: reading, verifying every
 * piece, writing, fsync. The rivals are whole commands too; once as they are (the copy is left in
 * the page cache) and once with a sync of the copy, which is what seedbed promises.
 */
import { spawnSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { systemClock } from '../../../src/base/index.ts'
import { Child } from '../../../test/interop/peers/child.ts'
import { drain, seedbed, shared, up } from '../../../test/interop/peers/seedbed.ts'
import { interleave } from '../../statistics.ts'
import { lineOf } from '../../suite.ts'
import { type PathBench, STORAGE_TARGET } from './setup.ts'

const HOST = '127.0.0.1'
const LIMIT_MS = 300_000

type Contender = 'import' | 'export' | 'cp + sha1sum' | 'cp + sync + sha1sum'

export async function benchCopies(bench: PathBench): Promise<void> {
  const { context } = bench
  let image = ''
  let infoHash = ''

  const importing = async (): Promise<number> => {
    image = await bench.usedVolume()
    const data = await bench.fresh('import-data')
    const { child } = await up({
      data,
      host: HOST,
      paths: [bench.content],
      more: ['--device', image],
    })
    const ready = await child.event('ready', LIMIT_MS)
    const done = await shared(child, 'content.bin', LIMIT_MS)
    infoHash = done.infoHash
    await drain(child)
    return bench.rate(done.atMs - ready.atMs)
  }
  const exporting = async (): Promise<number> => {
    const out = await bench.fresh('export')
    return timed(bench, () => seedbed(['export', image, infoHash, '--out', out, '--json']))
  }
  const copying = (sync: boolean) => async (): Promise<number> => {
    const out = await bench.fresh('copy')
    const command = `cp "$1" "$2" && ${sync ? 'sync "$2" && ' : ''}sha1sum "$2"`
    return timed(
      bench,
      () => new Child('cp', 'sh', ['-c', command, 'sh', bench.content, `${out}/copy.bin`]),
    )
  }
  const contenders: [Contender, () => Promise<number>][] = [['import', importing]]
  const rivals = ['cp + sha1sum', 'cp + sync + sha1sum'] as const
  const installed = spawnSync('sha1sum', ['--version'], { stdio: 'ignore' }).status === 0
  if (installed) {
    contenders.push([rivals[0], copying(false)], [rivals[1], copying(true)])
  }
  // The unmeasured round runs in this order, so that every export finds an import.
  contenders.push(['export', exporting])
  const results = await interleave(contenders, bench.rounds, (name, round, rate) => {
    context.log(
      `copies, ${round === 0 ? 'unmeasured' : `round ${round}`}, ${name}: ${rate.toFixed(0)} MB/s`,
    )
  })
  for (const name of ['import-data', 'export', 'copy']) {
    await rm(bench.at(name), { recursive: true, force: true })
  }

  for (const name of ['import', 'export'] as const) {
    for (const peer of rivals) {
      context.report(
        lineOf(
          {
            suite: 'path',
            name,
            unit: 'MB/s',
            better: 'more',
            values: results.get(name)!,
            target: STORAGE_TARGET,
          },
          { peer, values: results.get(peer) },
        ),
      )
    }
  }
}

/** Rate of a whole command, from its start to its end. */
async function timed(bench: PathBench, start: () => Child): Promise<number> {
  const startedMs = systemClock.monotonicMs()
  await start().succeed(LIMIT_MS)
  return bench.rate(systemClock.monotonicMs() - startedMs)
}
