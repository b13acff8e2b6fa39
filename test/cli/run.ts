/** Runs the built command as a user would, and reads its JSON lines. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const MAIN: string = fileURLToPath(new URL('../../src/cli/launch.cjs', import.meta.url))

// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes, judged by the assertions
export type JsonObject = Record<string, any>

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  readonly objects: readonly JsonObject[]
}

/** To the end, at most `timeoutMs`. */
export async function seedbed(args: readonly string[], timeoutMs = 120_000): Promise<Ended> {
  const running = start(args)
  const timer = setTimeout(() => running.process.kill('SIGKILL'), timeoutMs)
  const ended = await running.ended
  clearTimeout(timer)
  return ended
}

export interface Running {
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
  /** The next object of this event that was not handed out before; fails when the process ends first. */
  event(name: string): Promise<JsonObject>
  stop(signal?: NodeJS.Signals): Promise<Ended>
}

/** No router of the machine that runs the tests is asked for anything; one that is named is. */
function keptIn(args: readonly string[]): readonly string[] {
  const asks = ['up', 'get'].includes(args[0] ?? '') && !args.includes('--gateway')
  return asks ? [...args, '--no-port-mapping'] : args
}

export function start(args: readonly string[]): Running {
  const child = spawn(process.execPath, [MAIN, ...keptIn(args)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  })
  const lines: string[] = []
  const objects: JsonObject[] = []
  let stderr = ''
  let wake: (() => void)[] = []
  let over = false
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const reader = createInterface({ input: child.stdout })
  reader.on('line', (line) => {
    lines.push(line)
    if (line.startsWith('{')) objects.push(JSON.parse(line) as JsonObject)
    for (const resolve of wake.splice(0)) resolve()
  })
  const ended = once(child, 'close').then(([status]: (number | null)[]) => {
    over = true
    for (const resolve of wake.splice(0)) resolve()
    return { status: status ?? null, stdout: lines.join('\n'), stderr, objects }
  })
  const taken = new Set<JsonObject>()
  return {
    process: child,
    ended,
    async event(name) {
      for (;;) {
        const found = objects.find((object) => object.event === name && !taken.has(object))
        if (found !== undefined) {
          taken.add(found)
          return found
        }
        if (over) throw new Error(`ended before ${name}: ${stderr}\n${lines.join('\n')}`)
        await new Promise<void>((resolve) => {
          wake = [...wake, resolve]
        })
      }
    },
    stop(signal = 'SIGTERM') {
      child.kill(signal)
      return ended
    },
  }
}
