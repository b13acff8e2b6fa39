/**
 * Suite `swarm`, part 3: what BitTorrent v2 costs in hashing. 10 GiB (1 GiB in quick runs) by the hash trees
 * of v2 against the SHA-1 of v1, and by both at once as a hybrid wants it; verifying them piece by piece as
 * they come from peers, and making them, as an import does. Figures are GiB a second of CPU time: no disk and
 * no network take part, the same 64 MiB of memory goes by again and again.
 */
import { seededRandom } from '../../src/base/index.ts'
import {
  buildInfo,
  layoutFiles,
  PieceHashes,
  type TorrentFormat,
  type TorrentInfo,
  TreeBuilder,
} from '../../src/metainfo/index.ts'
import { PieceHasher } from '../../src/node/piece-hasher.ts'
import { interleave } from '../statistics.ts'
import { lineOf, type Suite, type SuiteContext } from '../suite.ts'
import { inMemory } from './engine/ram.ts'
import { benchCapped } from './swarm/capped.ts'
import { benchConnections } from './swarm/connections.ts'
import { benchFinish } from './swarm/finish.ts'

const GIB = 2 ** 30
const MEMORY_BYTES = 64 * 2 ** 20
const PIECE_BYTES = 4 * 2 ** 20
const FORMATS: readonly TorrentFormat[] = ['v1', 'v2', 'hybrid']

type Contender = `${'make' | 'verify'} ${TorrentFormat}`

function content(): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(MEMORY_BYTES))
  seededRandom(3).fill(bytes.subarray(0, 65_536))
  for (let filled = 65_536; filled < bytes.length; filled *= 2) bytes.copyWithin(filled, 0, filled)
  return bytes
}

/** CPU seconds of `run`. */
function cpuSeconds(run: () => void): number {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

/** What an import takes from `rounds` times the memory. */
function make(
  bytes: Uint8Array,
  rounds: number,
  format: TorrentFormat,
): { info: TorrentInfo; layers: ReadonlyMap<string, Uint8Array> } {
  const entries = [{ path: [], bytes: rounds * bytes.length }]
  const layout = layoutFiles('bench', entries, { format, pieceBytes: PIECE_BYTES })
  const pieceHashes = new Uint8Array((layout.totalBytes / PIECE_BYTES) * 20)
  const pieces = new PieceHasher(PIECE_BYTES, (piece, digest) =>
    pieceHashes.set(digest, piece * 20),
  )
  const trees = new TreeBuilder(layout.files, PIECE_BYTES)
  for (let round = 0; round < rounds; round++) {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const window = bytes.subarray(at, at + PIECE_BYTES)
      if (format !== 'v2') pieces.update(window)
      if (format !== 'v1') trees.update(window)
    }
  }
  pieces.finish()
  const files = layout.files.map((file, i) => {
    const piecesRoot = trees.roots[i]
    return piecesRoot === undefined ? file : { ...file, piecesRoot }
  })
  return { info: buildInfo({ ...layout, files, pieceHashes }), layers: trees.layers }
}

/** Every piece as it would come from peers: whole in memory, judged by all the hashes that the format has. */
function verify(
  bytes: Uint8Array,
  info: TorrentInfo,
  layers: ReadonlyMap<string, Uint8Array>,
): void {
  const hashes = new PieceHashes(info, layers)
  for (let piece = 0; piece < info.pieceCount; piece++) {
    const at = (piece * PIECE_BYTES) % bytes.length
    if (hashes.judge(piece, bytes.subarray(at, at + PIECE_BYTES)) !== 'right') {
      throw new Error(`piece ${piece} is not what was hashed`)
    }
  }
}

export const swarm: Suite = {
  name: 'swarm',
  about:
    'a swarm against its bound, the cost of connections, hashing by the trees of v2 against v1',
  parts: ['finish', 'capped', 'connections', 'hashing'],
  async run(context) {
    if (context.runs('finish')) await benchFinish(context)
    if (context.runs('capped')) await inMemory(context, benchCapped)
    if (context.runs('connections')) await inMemory(context, benchConnections)
    if (context.runs('hashing')) await benchHashing(context)
  },
}

async function benchHashing(context: SuiteContext): Promise<void> {
  const bytes = content()
  const totalGib = context.quick ? 1 : 10
  const rounds = (totalGib * GIB) / MEMORY_BYTES
  const runs = context.quick ? 1 : 3
  const made = new Map(FORMATS.map((format) => [format, make(bytes, rounds, format)]))
  const contenders = FORMATS.flatMap((format) => [
    [`make ${format}`, async () => cpuSeconds(() => void make(bytes, rounds, format))] as const,
    [
      `verify ${format}`,
      async () => {
        const { info, layers } = made.get(format)!
        return cpuSeconds(() => verify(bytes, info, layers))
      },
    ] as const,
  ])
  const results = await interleave(contenders, runs, (name, round, seconds) =>
    context.log(`${name}, round ${round}: ${seconds.toFixed(2)} s of CPU`),
  )
  for (const what of ['make', 'verify'] as const) {
    const rates = (format: TorrentFormat): number[] =>
      results.get(`${what} ${format}` as Contender)!.map((seconds) => totalGib / seconds)
    for (const format of FORMATS) {
      context.report(
        lineOf(
          {
            suite: 'swarm',
            name: `${what} ${format}`,
            unit: 'GiB/s of CPU',
            better: 'more',
            values: rates(format),
            note: `${totalGib} GiB in pieces of 4 MiB`,
          },
          format === 'v1' ? undefined : { peer: 'v1', values: rates('v1') },
        ),
      )
    }
  }
}
