/** The load of leech.ts as a child of the benchmark. */
import { fileURLToPath } from 'node:url'
import { Child } from '../../../test/interop/peers/child.ts'

const LIMIT_MS = 60_000

export interface LeechTask {
  readonly port: number
  /** Lower-case hexadecimal. */
  readonly infoHash: string
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly connections: number
  /** Connected and nothing more. */
  readonly idle?: boolean
}

/** Resolves when all are connected. */
export async function leeches(task: LeechTask): Promise<Child> {
  const program = fileURLToPath(new URL('./leech.js', import.meta.url))
  const words = [program, JSON.stringify({ idle: false, ...task })]
  const child = new Child(`${task.connections} leeches`, process.execPath, words)
  await child.event('connected', LIMIT_MS)
  return child
}

/** Payload that they have received so far, and when. */
export async function receivedBytes(child: Child): Promise<{ bytes: number; atMs: number }> {
  const seen = child.events.length
  child.say('bytes')
  const { bytes, atMs } = await child.event('bytes', LIMIT_MS, seen)
  return { bytes: Number(bytes), atMs }
}
