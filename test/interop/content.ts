/**
 * Content for the tests, and the comparison that decides whether it survived.
 *
 * The tree is real: the repository's own node_modules, every link followed, plus the cases that a
 * package manager does not produce (an empty file, a name beyond ASCII, a file of exactly one
 * piece, a deep path). The big file is AES-CTR of a seed: as incompressible and as little alike from
 * place to place as random bytes, so a block of zeros, or one block in place of another, shows.
 */
import { createCipheriv, createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readdir, realpath, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
const CHUNK_BYTES = 4 * 1024 * 1024

export const TREE_FILES_MIN = 1_000
const TREE_FILES_MAX = 4_000
const TREE_BYTES_MAX = 256 * 1024 * 1024

/** A directory of its own, removed after the test (kept when SEEDBED_KEEP is set). */
export async function scratchDirectory(t: TestContext): Promise<string> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'seedbed-interop-')))
  t.after(async () => {
    if (process.env.SEEDBED_KEEP === undefined) await rm(path, { recursive: true, force: true })
  })
  return path
}

/** `bytes` pseudo-random bytes of `seed`, in pieces of at most 4 MiB. */
export function* pseudoRandom(seed: string, bytes: number): Generator<Uint8Array> {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16)
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  const zeros = Buffer.alloc(CHUNK_BYTES)
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
    yield cipher.update(left < CHUNK_BYTES ? zeros.subarray(0, left) : zeros)
  }
}

export async function makeFile(path: string, bytes: number, seed: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await pipeline(pseudoRandom(seed, bytes), createWriteStream(path))
}

/** Makes the tree described above at `path`; the number of files and bytes in it. */
export async function makeTree(path: string): Promise<{ files: number; bytes: number }> {
  let files = 0
  let bytes = 0
  for await (const [source, size] of walk(join(repository, 'node_modules'))) {
    if (files >= TREE_FILES_MAX || bytes + size > TREE_BYTES_MAX) break
    const target = join(path, relative(join(repository, 'node_modules'), source))
    await mkdir(dirname(target), { recursive: true })
    await copyFile(source, target)
    files++
    bytes += size
  }
  const odd: readonly (readonly [string, number])[] = [
    ['empty', 0],
    ['one byte', 1],
    ['exactly-one-piece.bin', 1024 * 1024],
    ['Größe – 大小 – 🌱.txt', 777],
    [join('d', 'e', 'e', 'p', ...Array.from({ length: 12 }, (_, i) => `level ${i}`), 'leaf'), 4097],
  ]
  for (const [name, size] of odd) await makeFile(join(path, name), size, name)
  files += odd.length
  bytes += odd.reduce((sum, [, size]) => sum + size, 0)
  // Sizes of a source tree: most files small, a few large.
  for (let i = 0; files < TREE_FILES_MIN; i++, files++) {
    const size = Math.floor(900 * 1.01 ** (i % 700))
    await makeFile(join(path, 'made', `${i % 40}`, `${i}.bin`), size, `made ${i}`)
    bytes += size
  }
  return { files, bytes }
}

/** Every file below `path` with its size, links followed, in the order of their names. */
async function* walk(path: string): AsyncGenerator<[path: string, bytes: number]> {
  for (const name of (await readdir(path)).sort()) {
    const entry = join(path, name)
    const found = await stat(entry).catch(() => undefined)
    if (found?.isDirectory()) yield* walk(entry)
    else if (found?.isFile()) yield [entry, found.size]
  }
}

/** Relative path to "bytes sha256" for every file of a tree; a single file has the path ''. */
export type Digests = ReadonlyMap<string, string>

export async function digest(path: string): Promise<Digests> {
  const digests = new Map<string, string>()
  if ((await stat(path)).isFile()) digests.set('', await digestFile(path))
  else {
    for await (const [file] of walk(path)) {
      digests.set(relative(path, file), await digestFile(file))
    }
  }
  return digests
}

async function digestFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return `${bytes} ${hash.digest('hex')}`
}

/** What differs between the two, one line a file; empty when they are identical. */
export function differences(expected: Digests, actual: Digests): string[] {
  const lines: string[] = []
  for (const [path, wanted] of expected) {
    const found = actual.get(path)
    if (found === undefined) lines.push(`missing: ${path}`)
    else if (found !== wanted) lines.push(`differs: ${path}: ${found} instead of ${wanted}`)
  }
  for (const path of actual.keys()) {
    if (!expected.has(path)) lines.push(`not expected: ${path}`)
  }
  return lines
}
