/** Making torrents: piece lengths, layouts, and what comes out is what the parser lets in. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toHex } from '../../src/base/index.ts'
import {
  buildInfo,
  choosePieceBytes,
  countPieces,
  type FileEntry,
  fileSpans,
  layoutFiles,
  parseInfo,
  TORRENT_BYTES_MAX,
} from '../../src/metainfo/index.ts'
import { codeOf, hashes } from './torrents.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const TIB = 1024 * GIB

const choices: readonly (readonly [number, number])[] = [
  [1, 16 * KIB],
  [32 * MIB, 16 * KIB],
  [32 * MIB + 1, 32 * KIB],
  [64 * MIB - 1, 32 * KIB],
  [64 * MIB, 256 * KIB],
  [512 * MIB, 256 * KIB],
  [GIB, 512 * KIB],
  [4 * GIB, 2 * MIB],
  [8 * GIB, 4 * MIB],
  [64 * GIB, 4 * MIB],
  [64 * GIB + 1, 8 * MIB],
  [256 * GIB, 16 * MIB],
  [4 * TIB, 16 * MIB],
  [5 * TIB, 32 * MIB],
  [1024 * TIB, 256 * MIB],
]

for (const [totalBytes, pieceBytes] of choices) {
  test(`content of ${totalBytes} bytes gets pieces of ${pieceBytes}`, () => {
    assert.equal(choosePieceBytes(totalBytes), pieceBytes)
  })
}

test('the chosen piece length is a power of two, grows with the content and fits up to 1 PiB', () => {
  let previous = 0
  for (let totalBytes = 1; totalBytes <= 1024 * TIB; totalBytes = Math.ceil(totalBytes * 1.1)) {
    const pieceBytes = choosePieceBytes(totalBytes)
    assert.equal(Math.log2(pieceBytes) % 1, 0)
    assert.ok(pieceBytes >= previous)
    assert.ok(countPieces(totalBytes, pieceBytes) * 20 < TORRENT_BYTES_MAX)
    previous = pieceBytes
  }
})

const entry = (path: string, bytes: number): FileEntry => ({ path: path.split('/'), bytes })

test('files are laid out in the order of the bytes of their paths', () => {
  const layout = layoutFiles('root', [
    entry('b', 3),
    entry('a/z', 2),
    entry('a.txt', 1),
    entry('ﬁ', 7),
    entry('😀', 5),
    entry('a/b/c', 0),
    entry('A', 4),
  ])
  assert.deepEqual(
    layout.files.map((file) => [file.path.join('/'), file.offset]),
    // U+FB01 sorts before U+1F600 as bytes, after it as UTF-16.
    [
      ['A', 0],
      ['a.txt', 4],
      ['a/b/c', 5],
      ['a/z', 5],
      ['b', 7],
      ['ﬁ', 10],
      ['😀', 17],
    ],
  )
  assert.equal(layout.totalBytes, 22)
  assert.equal(layout.multiFile, true)
})

test('an entry with an empty path is a single file', () => {
  const layout = layoutFiles('movie.mkv', [{ path: [], bytes: 9 }])
  assert.deepEqual(layout, {
    format: 'v1',
    name: 'movie.mkv',
    multiFile: false,
    files: [{ path: ['movie.mkv'], bytes: 9, offset: 0, padding: false }],
    totalBytes: 9,
    pieceBytes: 16_384,
  })
  const info = buildInfo({ ...layout, pieceBytes: 16_384, pieceHashes: hashes(1) })
  assert.deepEqual(info.files, layout.files)
  assert.equal(info.multiFile, false)
  assert.equal(layoutFiles('movie.mkv', [entry('movie.mkv', 9)]).multiFile, true)
})

test('what cannot be let in cannot be made', () => {
  const build = (name: string, entries: FileEntry[], pieces: number): (() => unknown) => {
    return () =>
      buildInfo({ ...layoutFiles(name, entries), pieceBytes: 16_384, pieceHashes: hashes(pieces) })
  }
  assert.equal(codeOf(build('x', [], 0)), 'METAINFO_EMPTY')
  assert.equal(codeOf(build('x', [entry('a', 0)], 0)), 'METAINFO_EMPTY')
  assert.equal(codeOf(build('..', [entry('a', 1)], 1)), 'METAINFO_UNSAFE_PATH')
  assert.equal(codeOf(build('x', [entry('a/../b', 1)], 1)), 'METAINFO_UNSAFE_PATH')
  assert.equal(codeOf(build('x', [entry('a\\b', 1)], 1)), 'METAINFO_UNSAFE_PATH')
  assert.equal(codeOf(build('x', [{ path: [], bytes: 1 }, entry('b', 1)], 1)), 'METAINFO_BAD_INFO')
  assert.equal(codeOf(build('x', [entry('a', 1)], 2)), 'METAINFO_BAD_PIECES')
  assert.equal(codeOf(build('x', [entry('a', 1), entry('a', 2)], 1)), 'METAINFO_DUPLICATE_PATH')
  assert.equal(codeOf(build('x', [entry('\ud800', 1)], 1)), 'METAINFO_NOT_UTF8')
})

const name = fc.stringMatching(/^[a-cü😀.]{1,3}$/u).filter((text) => text !== '.' && text !== '..')
const entries = fc
  .uniqueArray(
    fc.record({
      path: fc.array(name, { minLength: 1, maxLength: 3 }),
      bytes: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 40 })),
    }),
    { selector: ({ path }) => path.join('/'), minLength: 1, maxLength: 12 },
  )
  .filter((list) => {
    const paths = list.map(({ path }) => path.join('/'))
    return !paths.some((path) => paths.some((other) => other.startsWith(`${path}/`)))
  })
  .filter((list) => list.some(({ bytes }) => bytes > 0))

test('a layout survives the info dictionary, and its order does not depend on the listing', () => {
  fc.assert(
    fc.property(
      entries,
      fc.boolean(),
      fc.integer({ min: 1, max: 64 }),
      (list, secret, pieceBytes) => {
        const layout = layoutFiles('root', list)
        const pieceHashes = hashes(countPieces(layout.totalBytes, pieceBytes))
        const parts = { pieceBytes, pieceHashes, private: secret }
        const info = buildInfo({ ...layout, ...parts })
        assert.deepEqual(info.files, layout.files)
        assert.equal(info.totalBytes, layout.totalBytes)
        assert.equal(info.private, secret)
        assert.deepEqual(parseInfo(info.infoBytes), info)
        const again = buildInfo({ ...layoutFiles('root', list.toReversed()), ...parts })
        assert.equal(toHex(again.infoHash), toHex(info.infoHash))
      },
    ),
    { seed: 52, numRuns: 300 },
  )
})

test('filler is written with its attribute', () => {
  const files = [
    { path: ['a'], bytes: 10, padding: false },
    { path: ['.pad', '6'], bytes: 6, padding: true },
    { path: ['b'], bytes: 1, padding: false },
  ]
  const info = buildInfo({
    name: 'x',
    multiFile: true,
    files,
    pieceBytes: 16,
    pieceHashes: hashes(2),
  })
  assert.deepEqual(
    info.files.map((file) => file.padding),
    [false, true, false],
  )
})

test('a range of the torrent maps to runs of files, byte for byte', () => {
  fc.assert(
    fc.property(entries, fc.nat(), fc.nat(), (list, a, b) => {
      const layout = layoutFiles('root', list)
      const offset = a % (layout.totalBytes + 1)
      const bytes = b % (layout.totalBytes - offset + 1)
      // The model: every byte of the torrent by itself.
      const byByte = layout.files.flatMap((file, fileIndex) =>
        Array.from({ length: file.bytes }, (_, fileOffset) => `${fileIndex}:${fileOffset}`),
      )
      const spans = fileSpans(layout, offset, bytes)
      const covered = spans.flatMap((span) =>
        Array.from({ length: span.bytes }, (_, i) => `${span.fileIndex}:${span.fileOffset + i}`),
      )
      assert.deepEqual(covered, byByte.slice(offset, offset + bytes))
      assert.ok(spans.every((span) => span.bytes > 0))
      assert.equal(new Set(spans.map((span) => span.fileIndex)).size, spans.length)
    }),
    { seed: 53, numRuns: 500 },
  )
})

test('a range that leaves the torrent is a mistake', () => {
  const layout = layoutFiles('root', [entry('a', 10)])
  assert.deepEqual(fileSpans(layout, 10, 0), [])
  for (const [offset, bytes] of [
    [10, 1],
    [0, 11],
    [-1, 1],
    [0, -1],
    [11, 0],
  ] as const) {
    assert.throws(() => fileSpans(layout, offset, bytes), RangeError)
  }
})
