/**
 * A bound on the memory of a process and of the page cache that it fills: a memory control group (version 1 or 2). Linux,
 * root. It is gone when the process has ended and `remove` was called.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { delay, systemClock } from '../../src/base/index.ts'

const V1 = '/sys/fs/cgroup/memory'
const V2 = '/sys/fs/cgroup'
const REMOVE_TRIES = 50

export class MemoryLimit {
  readonly #group: string

  private constructor(group: string) {
    this.#group = group
  }

  /** Undefined where there are no such groups. */
  static make(name: string, bytes: number): MemoryLimit | undefined {
    const version1 = existsSync(join(V1, 'memory.limit_in_bytes'))
    const group = join(version1 ? V1 : V2, `seedbed-bench-${name}-${process.pid}`)
    try {
      mkdirSync(group)
      writeFileSync(join(group, version1 ? 'memory.limit_in_bytes' : 'memory.max'), `${bytes}`)
      return new MemoryLimit(group)
    } catch {
      return undefined
    }
  }

  /** Words to put in front of a command that is to run within. */
  get within(): readonly string[] {
    const procs = join(this.#group, 'cgroup.procs')
    return ['sh', '-c', `echo $$ > ${procs} && exec "$@"`, 'sh']
  }

  /** When its processes have ended. */
  async remove(): Promise<void> {
    for (let tries = 0; tries < REMOVE_TRIES; tries++) {
      try {
        rmdirSync(this.#group)
        return
      } catch {
        await delay(systemClock, 100)
      }
    }
  }
}
