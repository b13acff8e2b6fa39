/** The CPU time of a process with all its threads, by /proc. */
import { readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100

export function cpuSecondsOf(pid: number): { readonly all: number; readonly user: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [user, system] = [Number(fields[11]), Number(fields[12])]
  return { all: (user + system) / TICKS_PER_SECOND, user: user / TICKS_PER_SECOND }
}
