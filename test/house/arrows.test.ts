/**
 * The house keeps its arrows: a room imports only the rooms that the design lets it know, and only
 * through their faces; nothing runs in a circle.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
const source = join(repository, 'src')

const KNOWS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  bencode: ['base'],
  metainfo: ['base', 'bencode'],
  'peer-store': ['base'],
  tracker: ['base', 'bencode', 'peer-store'],
  'block-device': ['base'],
  'torrent-store': ['base'],
  filesystem: ['base', 'block-device', 'torrent-store'],
  'plain-files': ['base', 'bencode', 'metainfo', 'block-device', 'torrent-store'],
  'chunk-store': ['base', 'block-device', 'filesystem'],
  engine: ['base', 'bencode', 'metainfo', 'block-device', 'torrent-store'],
  node: [
    'base',
    'bencode',
    'metainfo',
    'peer-store',
    'tracker',
    'block-device',
    'torrent-store',
    'filesystem',
    'plain-files',
    'engine',
  ],
  plot: ['base', 'block-device', 'filesystem'],
  cli: [
    'base',
    'node',
    'metainfo',
    'tracker',
    'block-device',
    'torrent-store',
    'filesystem',
    'plot',
  ],
}

interface Import {
  readonly from: string
  readonly to: string
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(source, file), 'utf8')
  const found: Import[] = []
  for (const match of text.matchAll(/(?:from|import\(|import)\s*'(\.[^']+)'/g)) {
    const target = relative(source, resolve(source, dirname(file), match[1]!))
    found.push({ from: file, to: target })
  }
  return found
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
)
const room = (path: string): string => path.split('/')[0]!

test('there are files and imports to look at', () => {
  assert.ok(files.length > 10)
  assert.ok(files.flatMap(importsOf).length > 10)
})

test('every room is in the plan', () => {
  assert.deepEqual([...new Set(files.map(room))].sort(), Object.keys(KNOWS).sort())
})

test('a room imports only rooms that it may know, through their index', () => {
  const wrong: string[] = []
  for (const { from, to } of files.flatMap(importsOf)) {
    if (room(from) === room(to)) continue
    if (!KNOWS[room(from)]?.includes(room(to))) wrong.push(`${from} may not know ${to}`)
    else if (to !== `${room(to)}/index.ts`) wrong.push(`${from} goes past the face: ${to}`)
  }
  assert.deepEqual(wrong, [])
})

test('no file imports itself through others', () => {
  const edges = new Map(files.map((file) => [file, importsOf(file).map((edge) => edge.to)]))
  const state = new Map<string, 'open' | 'done'>()
  const circles: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return
    if (state.get(file) === 'open') {
      circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
      return
    }
    state.set(file, 'open')
    for (const next of edges.get(file) ?? []) visit(next, [...path, file])
    state.set(file, 'done')
  }
  for (const file of files) visit(file, [])
  assert.deepEqual(circles, [])
})
