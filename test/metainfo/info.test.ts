/** The info dictionary: what is understood, what is refused and by which code. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { fromLatin1, SeedbedError, seededRandom, toHex } from '../../src/base/index.ts'
import { type Encodable, encode } from '../../src/bencode/index.ts'
import {
  countPieces,
  FILES_MAX,
  metainfoErrors,
  PATH_COMPONENT_BYTES_MAX,
  PATH_COMPONENTS_MAX,
  PIECE_BYTES_MAX,
  parseInfo,
  TORRENT_BYTES_MAX,
} from '../../src/metainfo/index.ts'
import { codeOf, hashes, type LooseDictionary, multiFile, singleFile } from './torrents.ts'

test('a single file', () => {
  const bytes = encode(singleFile())
  assert.deepEqual(parseInfo(bytes), {
    format: 'v1',
    infoHashV2: undefined,
    infoHash: new Uint8Array(createHash('sha1').update(bytes).digest()),
    infoBytes: bytes,
    name: 'one.bin',
    multiFile: false,
    files: [{ path: ['one.bin'], bytes: 50_000, offset: 0, padding: false }],
    totalBytes: 50_000,
    contentBytes: 50_000,
    pieceBytes: 16_384,
    pieceCount: 4,
    pieceHashes: hashes(4),
    private: false,
  })
})

test('several files lie back to back, empty ones and filler among them', () => {
  const files = [
    { length: 0, path: ['empty'] },
    { attr: 'x', length: 10_000, path: ['bin', 'tool'] },
    { attr: 'hp', length: 6384, path: ['.pad', '6384'] },
    { length: 0, path: ['bin', 'nothing'] },
    { length: 33_616, path: ['ü', '日本'] },
    { attr: 'p', length: 0, path: ['.pad', '6384'] },
  ]
  const info = parseInfo(encode(multiFile({ files, private: 1 })))
  assert.equal(info.multiFile, true)
  assert.equal(info.private, true)
  assert.equal(info.totalBytes, 50_000)
  assert.deepEqual(
    info.files.map((file) => [file.path.join('/'), file.offset, file.bytes, file.padding]),
    [
      ['empty', 0, 0, false],
      ['bin/tool', 0, 10_000, false],
      ['.pad/6384', 10_000, 6384, true],
      ['bin/nothing', 16_384, 0, false],
      ['ü/日本', 16_384, 33_616, false],
      ['.pad/6384', 50_000, 0, true],
    ],
  )
})

test('one file in a folder is not a single file', () => {
  const info = parseInfo(encode(multiFile({ files: [{ length: 50_000, path: ['x'] }] })))
  assert.deepEqual([info.multiFile, info.name, info.files[0]!.path], [true, 'folder', ['x']])
})

test('a UTF-8 form beside a name in another encoding is preferred', () => {
  const files = [
    { length: 50_000, path: [fromLatin1('\xfc')], 'path.utf-8': ['ü'] },
    { length: 0, path: ['fine'], 'path.utf-8': [fromLatin1('\xff')] },
  ]
  const changes = { files, name: fromLatin1('\xe4'), 'name.utf-8': 'ä' }
  const info = parseInfo(encode(multiFile(changes)))
  assert.equal(info.name, 'ä')
  assert.deepEqual(
    info.files.map((file) => file.path),
    [['ü'], ['fine']],
  )
})

test('keys out of order keep the info-hash of the bytes as they came', () => {
  const canonical = encode(singleFile())
  const text = Buffer.from(canonical).toString('latin1')
  const bytes = fromLatin1(`d4:name7:one.bin${text.slice(1).replace('4:name7:one.bin', '')}`)
  const info = parseInfo(bytes)
  assert.equal(toHex(info.infoHash), createHash('sha1').update(bytes).digest('hex'))
  assert.notEqual(toHex(info.infoHash), toHex(parseInfo(canonical).infoHash))
})

test('a Buffer gives the same as a plain array', () => {
  const bytes = encode(multiFile())
  assert.deepEqual(parseInfo(Buffer.from(bytes)), parseInfo(bytes))
})

test('content up to 2^53 - 1 bytes is counted exactly', () => {
  const max = Number.MAX_SAFE_INTEGER
  assert.equal(countPieces(max, 2), 2 ** 52)
  assert.equal(countPieces(max, PIECE_BYTES_MAX), 2 ** 24)
  assert.equal(countPieces(2 ** 50, 2 ** 28), 2 ** 22)
  assert.equal(countPieces(1, 16_384), 1)
  assert.equal(countPieces(16_384, 16_384), 1)
  assert.equal(countPieces(16_385, 16_384), 2)
  const pebibyte = singleFile({
    length: 2 ** 50,
    'piece length': 2 ** 28,
    pieces: new Uint8Array(2 ** 22 * 20),
  })
  assert.equal(parseInfo(encode(pebibyte)).pieceCount, 2 ** 22)
})

const file = (path: Encodable, more: LooseDictionary = {}): LooseDictionary => ({
  length: 50_000,
  path,
  ...more,
})
const empty = (path: Encodable): LooseDictionary => ({ length: 0, path })
const inFiles = (...files: LooseDictionary[]): LooseDictionary => multiFile({ files })

const refused: readonly (readonly [string, keyof typeof metainfoErrors, Encodable])[] = [
  ['a list', 'METAINFO_NOT_BENCODE', []],
  ['no name', 'METAINFO_BAD_INFO', singleFile({ name: undefined })],
  ['a number as name', 'METAINFO_BAD_INFO', singleFile({ name: 1 })],
  ['no length', 'METAINFO_BAD_INFO', singleFile({ length: undefined })],
  ['a negative length', 'METAINFO_BAD_INFO', singleFile({ length: -1 })],
  ['a text as length', 'METAINFO_BAD_INFO', singleFile({ length: '5' })],
  ['length and files', 'METAINFO_BAD_INFO', multiFile({ length: 50_000 })],
  ['files as a text', 'METAINFO_BAD_INFO', multiFile({ files: 'x' })],
  ['a file as a text', 'METAINFO_BAD_INFO', multiFile({ files: ['x'] })],
  ['a file without path', 'METAINFO_BAD_INFO', inFiles({ length: 50_000 })],
  ['an empty path', 'METAINFO_BAD_INFO', inFiles(file([]))],
  ['a number in a path', 'METAINFO_BAD_INFO', inFiles(file([7]))],
  ['no piece length', 'METAINFO_BAD_INFO', singleFile({ 'piece length': undefined })],
  ['no pieces', 'METAINFO_BAD_INFO', singleFile({ pieces: undefined })],
  ['pieces as a list', 'METAINFO_BAD_INFO', singleFile({ pieces: [] })],
  ['piece length 0', 'METAINFO_BAD_PIECES', singleFile({ 'piece length': 0 })],
  ['piece length -1', 'METAINFO_BAD_PIECES', singleFile({ 'piece length': -1 })],
  ['a hash too few', 'METAINFO_BAD_PIECES', singleFile({ pieces: hashes(3) })],
  ['a hash too many', 'METAINFO_BAD_PIECES', singleFile({ pieces: hashes(5) })],
  ['a broken hash', 'METAINFO_BAD_PIECES', singleFile({ pieces: hashes(4).subarray(1) })],
  ['no bytes', 'METAINFO_EMPTY', singleFile({ length: 0, pieces: '' })],
  ['no files', 'METAINFO_EMPTY', multiFile({ files: [], pieces: '' })],
  ['empty files only', 'METAINFO_EMPTY', multiFile({ files: [empty(['a'])], pieces: '' })],
  ['v2 without a tree', 'METAINFO_BAD_INFO', singleFile({ pieces: undefined, 'meta version': 2 })],
  [
    'a tree without its version',
    'METAINFO_BAD_INFO',
    singleFile({ pieces: undefined, 'file tree': {} }),
  ],
  ['a later version', 'METAINFO_VERSION', singleFile({ 'meta version': 3 })],
  ['a version that is none', 'METAINFO_VERSION', singleFile({ 'meta version': '2' })],
  ['a symbolic link to nowhere', 'METAINFO_SYMLINK', inFiles(file(['a'], { attr: 'l' }))],
  [
    'a symbolic link to the outside',
    'METAINFO_SYMLINK',
    inFiles(file(['b']), { ...empty(['a']), attr: 'l', 'symlink path': ['..', 'x'] }),
  ],
  [
    'a symbolic link with bytes',
    'METAINFO_BAD_INFO',
    inFiles(file(['a'], { attr: 'l', 'symlink path': ['x'] })),
  ],
  ['a name not UTF-8', 'METAINFO_NOT_UTF8', singleFile({ name: fromLatin1('\xff') })],
  ['a path not UTF-8', 'METAINFO_NOT_UTF8', inFiles(file([fromLatin1('\xff')]))],
  ['a path twice', 'METAINFO_DUPLICATE_PATH', inFiles(file(['a', 'b']), empty(['a', 'b']))],
  ['a file, then folder', 'METAINFO_DUPLICATE_PATH', inFiles(file(['a']), empty(['a', 'b']))],
  ['a folder, then file', 'METAINFO_DUPLICATE_PATH', inFiles(file(['a', 'b']), empty(['a']))],
  ['a large piece', 'METAINFO_TOO_LARGE', singleFile({ 'piece length': PIECE_BYTES_MAX + 1 })],
  ['2^53 bytes', 'METAINFO_TOO_LARGE', singleFile({ length: 2n ** 53n })],
  [
    '2^53 bytes in all',
    'METAINFO_TOO_LARGE',
    inFiles(file(['a']), file(['b'], { length: Number.MAX_SAFE_INTEGER })),
  ],
  [
    'a deep path',
    'METAINFO_TOO_LARGE',
    inFiles(file(new Array<string>(PATH_COMPONENTS_MAX + 1).fill('a'))),
  ],
  [
    'a long name',
    'METAINFO_TOO_LARGE',
    inFiles(file(['ü'.repeat(PATH_COMPONENT_BYTES_MAX / 2 + 1)])),
  ],
]

for (const [what, code, value] of refused) {
  test(`refuses ${what}: ${code}`, () => {
    assert.equal(
      codeOf(() => parseInfo(encode(value))),
      code,
    )
  })
}

for (const name of ['', '.', '..', '/', 'a/b', '/etc', '..\\x', 'a\\b', 'a\0', '\0']) {
  test(`refuses ${JSON.stringify(name)} as a name and in a path`, () => {
    for (const info of [
      singleFile({ name }),
      multiFile({ name }),
      inFiles(file(['a', name, 'b'])),
    ]) {
      assert.equal(
        codeOf(() => parseInfo(encode(info))),
        'METAINFO_UNSAFE_PATH',
      )
    }
    assert.equal(
      codeOf(() => parseInfo(encode(inFiles(file(['ok'], { 'path.utf-8': [name] }))))),
      'METAINFO_UNSAFE_PATH',
    )
    assert.equal(
      codeOf(() => parseInfo(encode(inFiles(file([name], { attr: 'p' }))))),
      'METAINFO_UNSAFE_PATH',
    )
  })
}

test('names that only look dangerous pass', () => {
  for (const name of ['...', '..a', ' ', 'con', '__proto__', 'constructor', '%2e%2e', 'a:b']) {
    assert.deepEqual(parseInfo(encode(inFiles(file([name])))).files[0]!.path, [name])
  }
})

test('the number of files and the size of the dictionary are bounded', () => {
  const files = Array.from({ length: FILES_MAX + 1 }, () => empty(['a']))
  assert.equal(
    codeOf(() => parseInfo(encode(multiFile({ files })))),
    'METAINFO_TOO_LARGE',
  )
  assert.equal(
    codeOf(() => parseInfo(new Uint8Array(TORRENT_BYTES_MAX + 1))),
    'METAINFO_TOO_LARGE',
  )
})

test('a message shows a hostile name short and without control characters', () => {
  const name = `\x1b[2J${'x'.repeat(900)}/`
  assert.throws(
    () => parseInfo(encode(singleFile({ name }))),
    (error: Error) => error.message.length < 200 && !error.message.includes('\x1b'),
  )
})

test('spoiled dictionaries throw METAINFO_ errors only', () => {
  const random = seededRandom(47)
  const seeds = [encode(singleFile()), encode(multiFile()), encode(inFiles(file(['a', 'b'])))]
  const alphabet = fromLatin1('0123456789ilde:-/.\x00\xff')
  const seen = new Set<string>()
  for (let round = 0; round < 15_000; round++) {
    const bytes = seeds[round % seeds.length]!.slice()
    for (let edits = 1 + (random.uint32() % 3); edits > 0; edits--) {
      bytes[random.uint32() % bytes.length] = alphabet[random.uint32() % alphabet.length]!
    }
    try {
      const info = parseInfo(bytes)
      assert.equal(info.pieceHashes.length, info.pieceCount * 20)
      seen.add('accepted')
    } catch (error) {
      assert.ok(error instanceof SeedbedError, String(error))
      assert.ok(error.code in metainfoErrors, error.code)
      seen.add(error.code)
    }
  }
  for (const outcome of ['accepted', 'METAINFO_NOT_BENCODE', 'METAINFO_BAD_INFO']) {
    assert.ok(seen.has(outcome), `${outcome} never happened`)
  }
})
