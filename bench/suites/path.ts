/**
 * Suite `path`: the whole way of one large file, and what stands beside it. A download of 1 GiB from
 * one libtorrent seeder over loopback, against libtorrent and aria2 as downloaders; the import and the
 * export of 1 GiB against cp and sha1sum. Method: bench/README.md.
 */
import { makeFile } from '../../test/interop/content.ts'
import { peerVersion } from '../../test/interop/peers/presence.ts'
import type { Suite } from '../suite.ts'
import { benchCopies } from './path/copies.ts'
import { benchDownload } from './path/download.ts'
import { PathBench } from './path/setup.ts'

export const path: Suite = {
  name: 'path',
  about: 'download of 1 GiB over loopback; import and export of 1 GiB',
  async run(context) {
    const bench = new PathBench(context)
    context.log(
      `content: ${bench.contentBytes / 2 ** 20} MiB; rounds: ${bench.rounds} after one unmeasured`,
    )
    await bench.warmUp()
    await makeFile(bench.content, bench.contentBytes, 'bench path')
    if (peerVersion('libtorrent') === undefined) {
      context.log('download: skipped, the seeder (libtorrent) is not installed')
    } else {
      await benchDownload(bench)
    }
    await benchCopies(bench)
  },
}
