/** The judge is judged: content that differs in any way must be seen to differ. */
import assert from 'node:assert/strict'
import { appendFile, mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  differences,
  digest,
  makeFile,
  makeTree,
  pseudoRandom,
  scratchDirectory,
  TREE_FILES_MIN,
} from './content.ts'

async function smallTree(path: string): Promise<void> {
  await makeFile(join(path, 'a'), 100_000, 'a')
  await makeFile(join(path, 'b', 'c'), 3, 'c')
  await makeFile(join(path, 'b', 'empty'), 0, 'empty')
}

test('a tree equals its copy', async (t) => {
  const scratch = await scratchDirectory(t)
  await smallTree(join(scratch, 'one'))
  await smallTree(join(scratch, 'two'))
  const [one, two] = [await digest(join(scratch, 'one')), await digest(join(scratch, 'two'))]
  assert.equal(one.size, 3)
  assert.deepEqual(differences(one, two), [])
})

const damages: Readonly<Record<string, (path: string) => Promise<void>>> = {
  'a flipped byte': async (path) => {
    const file = await open(join(path, 'a'), 'r+')
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, 77_777)
    byte[0]! ^= 1
    await file.write(byte, 0, 1, 77_777)
    await file.close()
  },
  'a byte too many': (path) => appendFile(join(path, 'b', 'c'), 'x'),
  'a missing empty file': (path) => rm(join(path, 'b', 'empty')),
  'a file too many': (path) => writeFile(join(path, 'b', 'd'), ''),
  'a renamed file': (path) => rename(join(path, 'a'), join(path, 'A')),
}

for (const [name, damage] of Object.entries(damages)) {
  test(`the comparison sees ${name}`, async (t) => {
    const scratch = await scratchDirectory(t)
    await smallTree(scratch)
    const before = await digest(scratch)
    await damage(scratch)
    assert.notDeepEqual(differences(before, await digest(scratch)), [])
  })
}

test('pseudo-random content is the same for the same seed, and nothing in it repeats', () => {
  const all = Buffer.concat([...pseudoRandom('seed', 9 * 1024 * 1024 + 5)])
  assert.equal(all.length, 9 * 1024 * 1024 + 5)
  assert.ok(all.equals(Buffer.concat([...pseudoRandom('seed', all.length)])))
  assert.ok(!all.equals(Buffer.concat([...pseudoRandom('other', all.length)])))
  const sectors = new Set<string>()
  for (let at = 0; at + 4096 <= all.length; at += 4096) {
    sectors.add(all.toString('latin1', at, at + 4096))
  }
  assert.equal(sectors.size, Math.floor(all.length / 4096))
})

test('the tree has the files that it claims, and at least a thousand', async (t) => {
  const scratch = await scratchDirectory(t)
  await mkdir(join(scratch, 'tree'))
  const { files } = await makeTree(join(scratch, 'tree'))
  assert.ok(files >= TREE_FILES_MIN)
  assert.equal((await digest(join(scratch, 'tree'))).size, files)
})
