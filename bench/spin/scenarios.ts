/** The scenarios by which downloads to a disk that spins are judged, and what each has to reach. */
import { SCALED, type Scenario } from './scenario.ts'

const MIB = 1024 * 1024

/** Fractions of the raw sequential limit; a write of data is one of the payload, metadata left out. */
export const TARGETS: {
  readonly writeFraction: number
  readonly readFraction: number
  readonly meanDataWriteBytes: number
  readonly seeksPerGib: number
} = {
  writeFraction: 0.95,
  readFraction: 0.9,
  meanDataWriteBytes: 3.9 * MIB,
  seeksPerGib: 30,
}

export type Size = 'quick' | 'scaled' | 'full'

/** `quick` has half the torrents of `scaled`, `full` has eight times the bytes and the cache. */
export function scenarios(size: Size): Scenario[] {
  const torrents = size === 'quick' ? 12 : 25
  const scale = size === 'full' ? 8 : 1
  const base: Omit<Scenario, 'name'> = {
    ...SCALED,
    torrents,
    torrentBytes: scale * SCALED.torrentBytes,
    cacheBytes: scale * SCALED.cacheBytes,
    diskBytes: scale * SCALED.diskBytes,
  }
  const many = size === 'quick' ? 48 : 100
  return [
    { ...base, name: 'downloads' },
    { ...base, name: 'pieces-64k', pieceBytes: 64 * 1024 },
    { ...base, name: 'pieces-1m', pieceBytes: MIB },
    {
      ...base,
      name: 'parallel-100',
      torrents: many,
      parallel: many,
      torrentBytes: size === 'full' ? 128 * MIB : 32 * MIB,
      cacheBytes: SCALED.cacheBytes,
      diskBytes: 4 * SCALED.diskBytes,
    },
    {
      ...base,
      name: 'aged',
      agingRounds: 10,
      diskBytes: (size === 'quick' ? 4 : 8) * scale * SCALED.diskBytes,
    },
    { ...base, name: 'no-elevator', queueDepth: 1 },
  ]
}
