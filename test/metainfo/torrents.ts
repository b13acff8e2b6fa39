/** Info dictionaries for tests: a good one, and what to spoil in it. */
import type { Encodable } from '../../src/bencode/index.ts'

export interface LooseDictionary {
  readonly [key: string]: Encodable | undefined
}

export const hashes = (count: number): Uint8Array =>
  Uint8Array.from({ length: count * 20 }, (_, i) => i & 0xff)

/** Two files, 50,000 bytes, four pieces of 16 KiB; `changes` replace or (undefined) remove keys. */
export function multiFile(changes: LooseDictionary = {}): LooseDictionary {
  return {
    files: [
      { length: 20_000, path: ['a', 'one.bin'] },
      { length: 30_000, path: ['b.bin'] },
    ],
    name: 'folder',
    'piece length': 16_384,
    pieces: hashes(4),
    ...changes,
  }
}

/** One file of 50,000 bytes. */
export function singleFile(changes: LooseDictionary = {}): LooseDictionary {
  return { length: 50_000, name: 'one.bin', 'piece length': 16_384, pieces: hashes(4), ...changes }
}

export function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code)
    throw error
  }
  return 'accepted'
}
