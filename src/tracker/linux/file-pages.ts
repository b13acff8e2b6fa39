/**
 * Gives back what only the start needed: pages of the node executable and of libraries that were read once, to boot node, to compile, to
 * parse a configuration. They are 45 MB of an idle tracker's resident memory, half of all; of 10 to 20 MB it has use afterwards.
 *
 * They are dropped from the process's page tables (MADV_DONTNEED), not from the page cache: who touches one again finds it there, with fifteen
 * neighbours, in a microsecond. Once at the start, and once more when V8 has compiled what is asked for all the time.
 *
 * Invariants: a range is given only when it is a private mapping of a file, is not writable, and has no page of its own: neither an anonymous
 * one (a relocation, a breakpoint) nor one in swap, which would be lost. What cannot be read or given stays as it is, and nobody is told.
 */
import { readFileSync } from 'node:fs'
import type { Clock } from '../../base/index.ts'
import { type Libc, MADV_DONTNEED } from './libc.ts'

const WARM_MS = 60_000

/** Addresses from `start`, a multiple of the page size, to before `end`. */
export interface PageRange {
  readonly start: bigint
  readonly end: bigint
}

/** Now and in a minute; the result forgets the latter. */
export function dropFilePagesTwice(libc: Libc, clock: Clock): () => void {
  dropFilePages(libc)
  return clock.after(WARM_MS, () => dropFilePages(libc), true)
}

/** From this process. */
export function dropFilePages(libc: Pick<Libc, 'madvise'>): void {
  let smaps: string
  try {
    smaps = readFileSync('/proc/self/smaps', 'latin1')
  } catch {
    // A kernel without it, or a process that may not look at itself.
    return
  }
  for (const { start, end } of filePages(smaps)) libc.madvise(start, end - start, MADV_DONTNEED)
}

/**
 * Of what /proc/PID/smaps says (proc_pid_smaps(5)), what can be dropped and is found again in its file:
 *
 *     00b72000-025fe000 r-xp 00772000 fe:00 247580   /usr/bin/node
 *     Rss:   22656 kB   …   Anonymous:   0 kB   …   Swap:   0 kB   …
 */
export function filePages(smaps: string): readonly PageRange[] {
  const found: PageRange[] = []
  for (const [whole, start, end] of smaps.matchAll(MAPPING)) {
    if (OWN.every((pattern) => pattern.test(whole))) {
      found.push({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) })
    }
  }
  return found
}

/** A mapping's first line, when it is of a file and neither writable nor shared, and its lines of names and sizes. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p [0-9a-f]+ \S+ \d+ +\/.*\n(?:[A-Z].*\n)*/gm

/** Lines that must be there: a kernel that does not say it is not believed. */
const OWN = [/^Anonymous: +0 kB$/m, /^Swap: +0 kB$/m]
