/** BitTorrent v2 and hybrids: what is made is read again, and what contradicts itself is refused. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { below, SeedbedError, seededRandom, toHex } from '../../src/base/index.ts'
import { decode, type Encodable, encode } from '../../src/bencode/index.ts'
import {
  choosePaddedPieceBytes,
  encodeMetainfo,
  type FileEntry,
  hasAllLayers,
  layeredFiles,
  layoutFiles,
  type metainfoErrors,
  PATH_COMPONENTS_MAX,
  PieceHashes,
  parseInfo,
  parseMetainfo,
  type TorrentFormat,
  TreeBuilder,
} from '../../src/metainfo/index.ts'
import { madeTorrent } from './made.ts'
import { codeOf, type LooseDictionary } from './torrents.ts'

const KIB = 1024
const entries: readonly FileEntry[] = [
  { path: ['b', 'two'], bytes: 70_000 },
  { path: ['a.bin'], bytes: 100_000 },
  { path: ['b', 'empty'], bytes: 0 },
  { path: ['b.bin'], bytes: 16 * KIB },
  { path: ['c'], bytes: 1, executable: true },
]

test('v2 files begin pieces, in the order of the tree', () => {
  const { info } = madeTorrent('folder', entries, 'v2', 32 * KIB)
  assert.equal(info.format, 'v2')
  assert.equal(info.pieceHashes.length, 0)
  assert.deepEqual(
    info.files.map((file) => [file.path.join('/'), file.offset / KIB, file.bytes, file.padding]),
    [
      ['a.bin', 0, 100_000, false],
      ['.pad/31072', 100_000 / KIB, 31_072, true],
      ['b/empty', 128, 0, false],
      ['b/two', 128, 70_000, false],
      ['.pad/28304', 128 + 70_000 / KIB, 28_304, true],
      ['b.bin', 224, 16 * KIB, false],
      ['.pad/16384', 240, 16 * KIB, true],
      ['c', 256, 1, false],
    ],
  )
  assert.equal(info.contentBytes, 186_385)
  assert.equal(info.pieceCount, 9)
  const sha256 = createHash('sha256').update(info.infoBytes).digest()
  assert.deepEqual(info.infoHashV2, new Uint8Array(sha256))
  assert.deepEqual(info.infoHash, new Uint8Array(sha256.subarray(0, 20)))
  assert.deepEqual(
    [...layeredFiles(info).values()].map(({ pieces }) => pieces),
    [4, 3],
  )
  assert.equal(info.files.at(-1)!.executable, true)
})

test('a hybrid has both names, the same files, and filler that v1 can read', () => {
  const { info } = madeTorrent('folder', entries, 'hybrid', 32 * KIB)
  const v2 = madeTorrent('folder', entries, 'v2', 32 * KIB).info
  assert.equal(info.format, 'hybrid')
  assert.deepEqual(
    info.infoHash,
    new Uint8Array(createHash('sha1').update(info.infoBytes).digest()),
  )
  assert.deepEqual(info.files, v2.files)
  assert.equal(info.pieceHashes.length, info.pieceCount * 20)
})

for (const format of ['v1', 'v2', 'hybrid'] as const) {
  test(`one file alone: ${format}`, () => {
    const { info, layers } = madeTorrent('one', [{ path: [], bytes: 50_000 }], format, 16 * KIB)
    assert.deepEqual([info.multiFile, info.format, info.pieceCount], [false, format, 4])
    assert.equal(layers.size, format === 'v1' ? 0 : 1)
    assert.ok(hasAllLayers(info, layers))
  })

  test(`pieces are judged: ${format}`, () => {
    const { info, layers, space } = madeTorrent('folder', entries, format, 32 * KIB)
    const hashes = new PieceHashes(info, layers)
    for (let piece = 0; piece < info.pieceCount; piece++) {
      const start = piece * info.pieceBytes
      const content = space.slice(start, start + hashes.contentLength(piece))
      assert.equal(hashes.judge(piece, content), 'right')
      content[content.length - 1]! ^= 1
      assert.equal(hashes.judge(piece, content), 'wrong')
    }
    const content = entries.reduce((sum, { bytes }) => sum + bytes, 0)
    let counted = 0
    for (let piece = 0; piece < info.pieceCount; piece++) counted += hashes.contentLength(piece)
    assert.equal(counted, content)
  })
}

test('without its layers v2 cannot judge, and a hybrid judges by SHA-1', () => {
  for (const [format, verdict] of [
    ['v2', 'unknown'],
    ['hybrid', 'right'],
  ] as const) {
    const { info, space } = madeTorrent('folder', entries, format, 32 * KIB)
    assert.equal(new PieceHashes(info).judge(0, space.subarray(0, 32 * KIB)), verdict)
  }
})

test('a piece that fits one hash and not the other is torn', () => {
  const made = madeTorrent('folder', entries, 'hybrid', 32 * KIB)
  const { layers, space } = made
  const pieceHashes = Uint8Array.from(made.info.pieceHashes)
  pieceHashes[0]! ^= 1
  const hashes = new PieceHashes({ ...made.info, pieceHashes }, layers)
  assert.equal(hashes.judge(0, space.subarray(0, 32 * KIB)), 'torn')
})

test('layers are proven when a .torrent file is read; wrong ones are as good as missing', () => {
  const { info, layers } = madeTorrent('folder', entries, 'v2', 32 * KIB)
  const whole = parseMetainfo(encodeMetainfo({ infoBytes: info.infoBytes, layers }))
  assert.deepEqual(whole.layers, layers)
  const [first] = layers.keys()
  const spoilt = new Map([...layers].map(([root, layer]) => [root, Uint8Array.from(layer)]))
  spoilt.get(first!)![5]! ^= 1
  const read = parseMetainfo(encodeMetainfo({ infoBytes: info.infoBytes, layers: spoilt }))
  assert.deepEqual([...read.layers.keys()], [...layers.keys()].slice(1))
  assert.equal(hasAllLayers(info, read.layers), false)
  const without = parseMetainfo(encodeMetainfo({ infoBytes: info.infoBytes }))
  assert.equal(without.layers.size, 0)
})

/** A hybrid's info dictionary, to be spoilt. */
function hybrid(change: (info: Map<string, Encodable>) => void): Uint8Array {
  const { info } = madeTorrent('folder', entries, 'hybrid', 32 * KIB)
  const dictionary = decode(info.infoBytes) as Map<string, Encodable>
  change(dictionary)
  return encode(dictionary)
}

type Dictionary = Map<string, Encodable>
const filesOf = (info: Dictionary): Dictionary[] => info.get('files') as Dictionary[]
const treeOf = (info: Dictionary): Dictionary => info.get('file tree') as Dictionary
const leafOf = (tree: Dictionary, name: string): Dictionary =>
  (tree.get(name) as Dictionary).get('') as Dictionary

const contradictions: readonly (readonly [
  string,
  keyof typeof metainfoErrors,
  (info: Dictionary) => void,
])[] = [
  ['another size', 'METAINFO_HYBRID', (info) => leafOf(treeOf(info), 'c').set('length', 2)],
  [
    'another name',
    'METAINFO_HYBRID',
    (info) =>
      filesOf(info)
        .at(-1)!
        .set('path', [Buffer.from('d')]),
  ],
  ['a file more in v1', 'METAINFO_HYBRID', (info) => treeOf(info).delete('c')],
  [
    'a file more in v2',
    'METAINFO_HYBRID',
    (info) => treeOf(info).set('d', new Map([['', new Map([['length', 0]])]])),
  ],
  [
    'another order',
    'METAINFO_HYBRID',
    (info) => {
      const files = filesOf(info)
      info.set('files', [files[1]!, files[0]!, ...files.slice(2)])
    },
  ],
  [
    'filler of another size',
    'METAINFO_HYBRID',
    (info) => {
      filesOf(info)[1]!.set('length', 31_071)
    },
  ],
  [
    'a link in one part only',
    'METAINFO_HYBRID',
    (info) =>
      filesOf(info)[2]!
        .set('attr', Buffer.from('l'))
        .set('symlink path', [Buffer.from('c')]),
  ],
  ['filler in the tree', 'METAINFO_BAD_INFO', (info) => leafOf(treeOf(info), 'c').set('attr', 'p')],
  ['no root', 'METAINFO_BAD_INFO', (info) => leafOf(treeOf(info), 'c').delete('pieces root')],
  [
    'a short root',
    'METAINFO_BAD_INFO',
    (info) => leafOf(treeOf(info), 'c').set('pieces root', new Uint8Array(31)),
  ],
  [
    'a file that is a folder',
    'METAINFO_BAD_INFO',
    (info) => (treeOf(info).get('c') as Dictionary).set('x', new Map()),
  ],
  ['a root that is a file', 'METAINFO_BAD_INFO', (info) => treeOf(info).set('', new Map())],
  ['a step upwards', 'METAINFO_UNSAFE_PATH', (info) => treeOf(info).set('..', new Map())],
  ['a separator', 'METAINFO_UNSAFE_PATH', (info) => treeOf(info).set('x/y', new Map())],
  ['no UTF-8', 'METAINFO_NOT_UTF8', (info) => treeOf(info).set('\xff', new Map())],
  ['a number for a folder', 'METAINFO_BAD_INFO', (info) => treeOf(info).set('z', 5)],
  ['an odd piece length', 'METAINFO_BAD_PIECES', (info) => info.set('piece length', 32_769)],
  ['small pieces', 'METAINFO_BAD_PIECES', (info) => info.set('piece length', 8192)],
]

for (const [what, code, change] of contradictions) {
  test(`a hybrid with ${what} is refused: ${code}`, () => {
    assert.equal(
      codeOf(() => parseInfo(hybrid(change))),
      code,
    )
  })
}

test('a tree out of order is refused: readers would number its pieces differently', () => {
  const file = (name: string): string =>
    `${name.length}:${name}d0:d6:lengthi1e11:pieces root32:${'r'.repeat(32)}ee`
  const tree = (names: readonly string[]): Buffer =>
    Buffer.from(
      `d9:file treed${names.map(file).join('')}e12:meta versioni2e4:name1:n12:piece lengthi16384ee`,
    )
  assert.equal(parseInfo(tree(['a', 'b'])).pieceCount, 2)
  assert.equal(
    codeOf(() => parseInfo(tree(['b', 'a']))),
    'METAINFO_BAD_INFO',
  )
})

test('a tree may be as deep as a path, and no deeper', () => {
  const nested = (depth: number): LooseDictionary => {
    let tree: Encodable = { '': { length: 1, 'pieces root': new Uint8Array(32) } }
    for (let i = 0; i < depth; i++) tree = { d: tree }
    return { 'file tree': tree, 'meta version': 2, name: 'n', 'piece length': 16_384 }
  }
  const deepest = parseInfo(encode(nested(PATH_COMPONENTS_MAX)))
  assert.equal(deepest.files[0]!.path.length, PATH_COMPONENTS_MAX)
  assert.equal(
    codeOf(() => parseInfo(encode(nested(PATH_COMPONENTS_MAX + 1)))),
    'METAINFO_TOO_LARGE',
  )
})

test('links are kept, with where they lead, in v1 and v2', () => {
  const tree = {
    a: { '': { length: 1, 'pieces root': new Uint8Array(32) } },
    l: { '': { attr: 'l', length: 0, 'symlink path': ['a'] } },
  }
  const files = [
    { length: 1, path: ['a'] },
    { attr: 'l', length: 0, path: ['l'], 'symlink path': ['a'] },
  ]
  const common = { name: 'n', 'piece length': 16_384 }
  const v2 = { 'file tree': tree, 'meta version': 2 }
  const v1 = { files, pieces: new Uint8Array(20) }
  for (const parts of [v1, v2, { ...v1, ...v2 }]) {
    assert.deepEqual(parseInfo(encode({ ...common, ...parts })).files.at(-1)!.symlink, ['a'])
  }
})

test('spoilt trees throw METAINFO_ errors only', () => {
  const random = seededRandom(52)
  const whole = madeTorrent('folder', entries, 'hybrid', 32 * KIB).info.infoBytes
  const { layers } = madeTorrent('folder', entries, 'hybrid', 32 * KIB)
  const file = encodeMetainfo({ infoBytes: whole, layers })
  for (const original of [whole, file]) {
    for (let round = 0; round < 3_000; round++) {
      const bytes = Uint8Array.from(original)
      const changes = 1 + below(random, 4)
      for (let i = 0; i < changes; i++) {
        bytes[below(random, bytes.length)] = below(random, 4) === 0 ? 0x30 : below(random, 256)
      }
      try {
        if (original === whole) parseInfo(bytes)
        else parseMetainfo(bytes)
      } catch (error) {
        assert.ok(error instanceof SeedbedError && error.code.startsWith('METAINFO_'), `${error}`)
      }
    }
  }
})

const anyEntries = fc
  .uniqueArray(
    fc.record({
      path: fc.array(fc.constantFrom('a', 'b', 'b.c', 'ü', 'z'), { minLength: 1, maxLength: 3 }),
      bytes: fc.oneof(fc.constant(0), fc.nat({ max: 90_000 }), fc.constant(32 * KIB)),
    }),
    { minLength: 1, maxLength: 6, selector: ({ path }) => path.join('/') },
  )
  .filter(
    (list) =>
      list.some(({ bytes }) => bytes > 0) &&
      list.every(({ path }) =>
        list.every((other) => path === other.path || !isPrefix(path, other.path)),
      ),
  )

function isPrefix(path: readonly string[], other: readonly string[]): boolean {
  return path.every((name, i) => other[i] === name)
}

test('whatever was made is read as it was laid out, and its bytes are right', () => {
  fc.assert(
    fc.property(
      anyEntries,
      fc.constantFrom<TorrentFormat>('v1', 'v2', 'hybrid'),
      (list, format) => {
        const { info, layers, layout, space } = madeTorrent('n', list, format, 32 * KIB)
        assert.equal(info.format, format)
        assert.deepEqual(
          info.files.map(({ path, bytes, offset, padding }) => ({ path, bytes, offset, padding })),
          layout.files.map(({ path, bytes, offset, padding }) => ({
            path,
            bytes,
            offset,
            padding,
          })),
        )
        assert.ok(hasAllLayers(info, layers))
        const hashes = new PieceHashes(info, layers)
        for (let piece = 0; piece < info.pieceCount; piece++) {
          const start = piece * info.pieceBytes
          const content = space.subarray(start, start + hashes.contentLength(piece))
          assert.equal(hashes.judge(piece, content), 'right')
        }
        const file = parseMetainfo(encodeMetainfo({ infoBytes: info.infoBytes, layers }))
        assert.deepEqual(file.info, info)
        assert.deepEqual(file.layers, layers)
      },
    ),
    { seed: 5200, numRuns: 80 },
  )
})

test('trees do not depend on how the bytes were handed over', () => {
  const layout = layoutFiles('n', entries, { format: 'v2', pieceBytes: 32 * KIB })
  const space = new Uint8Array(layout.totalBytes)
  seededRandom(3).fill(space)
  const build = (step: number): string[] => {
    const builder = new TreeBuilder(layout.files, layout.pieceBytes)
    for (let at = 0; at < space.length; at += step) builder.update(space.subarray(at, at + step))
    return [...builder.roots.map((root) => (root === undefined ? '' : toHex(root)))]
  }
  const once = build(space.length)
  assert.equal(once.filter((root) => root !== '').length, 4)
  for (const step of [1_000, 16_384, 32_768, 65_537]) assert.deepEqual(build(step), once)
})

test('small files make pieces small, so that filler stays small', () => {
  const MIB = KIB * KIB
  assert.equal(choosePaddedPieceBytes([8 * 1024 * MIB]), 4 * MIB)
  const photos = new Array<number>(10_000).fill(300_000)
  const pieceBytes = choosePaddedPieceBytes(photos)
  assert.equal(pieceBytes, 16 * KIB)
  // More small files than that: hashes would outgrow the filler that they save.
  assert.equal(choosePaddedPieceBytes(new Array<number>(200_000).fill(300_000)), 512 * KIB)
})
