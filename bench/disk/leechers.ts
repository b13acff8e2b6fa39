/** The leechers of leecher-process.ts as a child of the benchmark. */
import { fileURLToPath } from 'node:url'
import { Child } from '../../test/interop/peers/child.ts'

const LIMIT_MS = 60_000

export interface LeechersTask {
  /** Where the seeder listens, on 127.0.0.1. */
  readonly port: number
  /** Paths of .torrent files. */
  readonly torrents: readonly string[]
  readonly leechers: number
  /** They come within this time. */
  readonly joinMs: number
  readonly seed: number
}

export interface Received {
  /** Of payload, so far. */
  readonly bytes: number
  readonly connected: number
  readonly unchoked: number
  readonly atMs: number
}

export function startLeechers(task: LeechersTask): Child {
  const program = fileURLToPath(new URL('./leecher-process.js', import.meta.url))
  return new Child('leechers', process.execPath, [program, JSON.stringify(task)])
}

export async function received(child: Child): Promise<Received> {
  const seen = child.events.length
  child.say('bytes')
  return (await child.event('bytes', LIMIT_MS, seen)) as unknown as Received
}
