/** For tests of what only Linux with koffi has. */
import { createRequire } from 'node:module'
import { type Libc, probeLibc } from '../../../src/tracker/linux/libc.ts'

const probe = probeLibc()

/** The options of such a test: it skips where the library cannot be had, and says why. */
export const onLinux: { readonly skip: string | false } = {
  skip: probe.reason === undefined ? false : `no fast path here: ${probe.reason}`,
}

export const libc = probe.libc as Libc

export const koffi = (): typeof import('koffi') =>
  createRequire(import.meta.url)('koffi') as typeof import('koffi')
