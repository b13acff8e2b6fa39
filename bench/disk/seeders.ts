/** The seeders of seeder-process.ts as a child of the benchmark. */
import { fileURLToPath } from 'node:url'
import { Child } from '../../test/interop/peers/child.ts'

const LIMIT_MS = 600_000

export interface SeedersTask {
  /** Where the .torrent files go. */
  readonly directory: string
  readonly torrents: number
  readonly torrentBytes: number
  readonly pieceBytes: number
  /** Seeders. */
  readonly count: number
  /** Of the pieces that one holds. */
  readonly share: number
  readonly seed: number
}

export interface RunningSeeders {
  readonly child: Child
  /** Paths of the .torrent files, in the order of their numbers. */
  readonly torrents: readonly string[]
  /** From now on the next byte of payload is told; the result waits for it and says when it was sent. */
  watch(): Promise<() => Promise<number>>
  end(): Promise<void>
}

export async function startSeeders(task: SeedersTask): Promise<RunningSeeders> {
  const program = fileURLToPath(new URL('./seeder-process.js', import.meta.url))
  const child = new Child('partial seeders', process.execPath, [program, JSON.stringify(task)])
  const { torrents } = await child.event('ready', LIMIT_MS)
  return {
    child,
    torrents: torrents as string[],
    async watch() {
      const seen = child.events.length
      child.say('watch')
      await child.event('watching', LIMIT_MS, seen)
      return async () => (await child.event('first-byte', LIMIT_MS, seen)).atMs
    },
    async end() {
      child.closeStdin()
      await child.succeed(LIMIT_MS)
    },
  }
}
