/**
 * libtorrent as the second opinion: the same content, laid out and described by both, must have the
 * same info-hash, files and sizes. Skipped where python3 has no libtorrent (Debian:
 * python3-libtorrent).
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fromHex, toHex } from '../../src/base/index.ts'
import {
  buildInfo,
  countPieces,
  encodeMetainfo,
  type FileEntry,
  formatMagnet,
  hasAllLayers,
  layoutFiles,
  PieceHashes,
  parseMagnet,
  parseMetainfo,
} from '../../src/metainfo/index.ts'
import { madeTorrent } from './made.ts'
import { hashes } from './torrents.ts'

const python = process.env.SEEDBED_TEST_PYTHON ?? '/usr/bin/python3'

/** Runs `script` with `input` as JSON on its standard input; its standard output is JSON. */
function run(script: string, input: unknown): unknown {
  const result = spawnSync(python, ['-W', 'ignore', '-c', script], {
    input: JSON.stringify(input),
    encoding: 'utf8',
    timeout: 20_000,
    maxBuffer: 16 * 1024 * 1024,
  })
  assert.equal(result.status, 0, result.stderr)
  return JSON.parse(result.stdout)
}

const available = spawnSync(python, ['-c', 'import libtorrent'], { timeout: 20_000 }).status === 0
const skip = available
  ? false
  : `${python} cannot import libtorrent (apt install python3-libtorrent)`

const READ = `
import json, sys, libtorrent as lt
asked = json.load(sys.stdin)
out = []
for torrent in asked:
    ti = lt.torrent_info(bytes.fromhex(torrent))
    fs = ti.files()
    out.append({
        'infoHash': str(ti.info_hashes().v1),
        'name': ti.name(),
        'pieceBytes': ti.piece_length(),
        'pieceCount': ti.num_pieces(),
        'totalBytes': ti.total_size(),
        'private': ti.priv(),
        # libtorrent shuffles the trackers of a tier.
        'trackers': sorted([t.tier, t.url] for t in ti.trackers()),
        'magnet': lt.make_magnet_uri(ti),
        'files': [[fs.file_path(i), fs.file_size(i), fs.file_offset(i),
                   bool(fs.file_flags(i) & lt.file_flags_t.flag_pad_file)]
                  for i in range(fs.num_files())],
    })
json.dump(out, sys.stdout)
`

const CREATE = `
import json, os, sys, tempfile, libtorrent as lt
asked = json.load(sys.stdin)
fs = lt.file_storage()
for path, size in asked['files']:
    fs.add_file(path, size)
flags = lt.create_torrent.v1_only
if asked['canonical']:
    flags = lt.create_torrent.canonical_files
ct = lt.create_torrent(fs, asked['pieceBytes'], flags)
ct.add_tracker('udp://tracker.example:6969/announce', 0)
ct.set_comment('Grüße')
ct.set_creator('libtorrent')
with tempfile.TemporaryDirectory() as folder:
    for path, size in asked['files']:
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), 'wb') as file:
            file.write(bytes(size))
    lt.set_piece_hashes(ct, folder)
encoded = lt.bencode(ct.generate())
json.dump(encoded.hex(), sys.stdout)
`

interface Reading {
  readonly infoHash: string
  readonly name: string
  readonly pieceBytes: number
  readonly pieceCount: number
  readonly totalBytes: number
  readonly private: boolean
  readonly trackers: readonly (readonly [number, string])[]
  readonly magnet: string
  readonly files: readonly (readonly [string, number, number, boolean])[]
}

const entry = (path: string, bytes: number): FileEntry => ({ path: path.split('/'), bytes })
const contents: readonly {
  readonly name: string
  readonly entries: readonly FileEntry[]
  readonly pieceBytes: number
}[] = [
  { name: 'one.iso', entries: [{ path: [], bytes: 100_000 }], pieceBytes: 16_384 },
  { name: 'folder', entries: [entry('folder', 1)], pieceBytes: 16_384 },
  {
    name: 'tree',
    entries: [
      entry('src/a.c', 20_000),
      entry('src.h', 5),
      entry('empty', 0),
      entry('grüße/日本/😀', 70_000),
    ],
    pieceBytes: 32_768,
  },
  { name: 'large', entries: [entry('x', 2 ** 40 + 1), entry('y', 2 ** 41)], pieceBytes: 2 ** 26 },
]

test('libtorrent reads what we make, and computes the same info-hash', { skip }, () => {
  const trackers = [['http://b.example/announce', 'udp://a.example:1'], ['udp://c.example:2']]
  const torrents = contents.map(({ name, entries, pieceBytes }, index) => {
    const layout = layoutFiles(name, entries)
    const pieceHashes = hashes(countPieces(layout.totalBytes, pieceBytes))
    return buildInfo({ ...layout, pieceBytes, pieceHashes, private: index === 2 })
  })
  const files = torrents.map(({ infoBytes }) => toHex(encodeMetainfo({ infoBytes, trackers })))
  const readings = run(READ, files) as Reading[]
  assert.equal(readings.length, torrents.length)
  for (const [index, reading] of readings.entries()) {
    const info = torrents[index]!
    const prefix = info.multiFile ? [info.name] : []
    const { magnet, ...rest } = reading
    assert.deepEqual(rest, {
      infoHash: toHex(info.infoHash),
      name: info.name,
      pieceBytes: info.pieceBytes,
      pieceCount: info.pieceCount,
      totalBytes: info.totalBytes,
      private: info.private,
      trackers: trackers.flatMap((tier, level) => tier.map((url) => [level, url])),
      files: info.files.map(({ path, bytes, offset, padding }) => [
        [...prefix, ...path].join('/'),
        bytes,
        offset,
        padding,
      ]),
    })
    const parsed = parseMagnet(magnet)
    assert.deepEqual([parsed.infoHash, parsed.name], [info.infoHash, info.name])
    assert.deepEqual(parsed.trackers.toSorted(), trackers.flat().toSorted())
  }
})

for (const canonical of [false, true]) {
  const what = canonical ? 'hybrids with filler' : 'v1 torrents'
  test(`we read what libtorrent makes: ${what}`, { skip }, () => {
    const files: readonly (readonly [string, number])[] = [
      ['root/b/large', 100_000],
      ['root/a', 16_385],
      ['root/c/empty', 0],
      ['root/d', 7],
    ]
    const torrent = run(CREATE, { files, pieceBytes: 16_384, canonical }) as string
    const metainfo = parseMetainfo(fromHex(torrent)!)
    const { info } = metainfo
    assert.deepEqual(metainfo.trackers, [['udp://tracker.example:6969/announce']])
    assert.deepEqual([metainfo.comment, metainfo.createdBy], ['Grüße', 'libtorrent'])
    const [reading] = run(READ, [torrent]) as [Reading]
    assert.equal(toHex(info.infoHash), reading.infoHash)
    assert.deepEqual(
      info.files.map((file) => [
        ['root', ...file.path].join('/'),
        file.bytes,
        file.offset,
        file.padding,
      ]),
      reading.files,
    )
    assert.equal(info.totalBytes, reading.totalBytes)
    assert.equal(
      info.files.some((file) => file.padding),
      canonical,
    )
    if (!canonical) {
      const { name, multiFile, pieceBytes, pieceHashes } = info
      const again = buildInfo({ name, multiFile, files: info.files, pieceBytes, pieceHashes })
      assert.deepEqual(again.infoBytes, info.infoBytes)
    }
  })
}

test('libtorrent understands the magnets that we write', { skip }, () => {
  const script = `
import json, sys, libtorrent as lt
p = lt.parse_magnet_uri(json.load(sys.stdin))
json.dump([str(p.info_hashes.v1), str(p.info_hashes.v2), p.name, p.trackers, p.peers], sys.stdout)
`
  const infoHash = new Uint8Array(20).map((_, i) => i * 13)
  const infoHashV2 = new Uint8Array(32).map((_, i) => i * 7)
  const magnet = formatMagnet({
    infoHash,
    infoHashV2,
    name: 'a b&c=ü',
    trackers: ['udp://a.example:1/x?y=z&w', 'http://b.example/'],
    peers: [
      { host: '10.0.0.1', port: 6881 },
      { host: '2001:db8::1', port: 6882 },
    ],
    totalBytes: 5,
  })
  assert.deepEqual(run(script, magnet), [
    toHex(infoHash),
    toHex(infoHashV2),
    'a b&c=ü',
    ['udp://a.example:1/x?y=z&w', 'http://b.example/'],
    [
      ['10.0.0.1', 6881],
      ['2001:db8::1', 6882],
    ],
  ])
})

/** Makes a torrent of the folder in each format, of what lies in it. */
const PUBLISH = `
import json, os, sys, libtorrent as lt
asked = json.load(sys.stdin)
fs = lt.file_storage()
lt.add_files(fs, asked['folder'])
flags = {'v1': lt.create_torrent.v1_only, 'v2': lt.create_torrent.v2_only, 'hybrid': 0}
ct = lt.create_torrent(fs, asked['pieceBytes'], flags[asked['format']])
lt.set_piece_hashes(ct, os.path.dirname(asked['folder']))
torrent = lt.bencode(ct.generate())
ti = lt.torrent_info(torrent)
json.dump([torrent.hex(), str(ti.info_hashes().v1), str(ti.info_hashes().v2), ti.num_pieces(),
           lt.make_magnet_uri(ti)], sys.stdout)
`

const READ_V2 = `
import json, sys, libtorrent as lt
ti = lt.torrent_info(bytes.fromhex(json.load(sys.stdin)))
fs = ti.files()
pad = lt.file_flags_t.flag_pad_file
json.dump([str(ti.info_hashes().v1), str(ti.info_hashes().v2), ti.num_pieces(), ti.piece_length(),
           [[fs.file_path(i), fs.file_size(i), fs.file_offset(i), fs.root(i).to_bytes().hex()]
            for i in range(fs.num_files()) if not fs.file_flags(i) & pad]], sys.stdout)
`

const ZEROS = (bytes: number): string => '0'.repeat(2 * bytes)

/** This project's own source: content with empty, small and larger files, some of them in folders. */
const published = fileURLToPath(new URL('../../../src', import.meta.url))

for (const format of ['v1', 'v2', 'hybrid'] as const) {
  test(`what libtorrent publishes has the same names and hashes here: ${format}`, { skip }, () => {
    const asked = { folder: published, pieceBytes: 16_384, format }
    const [torrent, v1, v2, pieces, link] = run(PUBLISH, asked) as [
      string,
      string,
      string,
      number,
      string,
    ]
    const { info, layers } = parseMetainfo(fromHex(torrent)!)
    assert.equal(info.format, format)
    assert.equal(toHex(info.infoHash), format === 'v2' ? v2.slice(0, 40) : v1)
    assert.equal(
      info.infoHashV2 === undefined ? ZEROS(32) : toHex(info.infoHashV2),
      format === 'v1' ? ZEROS(32) : v2,
    )
    assert.equal(info.pieceCount, pieces)
    assert.ok(hasAllLayers(info, layers))
    const magnet = parseMagnet(link)
    assert.deepEqual([magnet.infoHash, magnet.infoHashV2], [info.infoHash, info.infoHashV2])
    const hashes = new PieceHashes(info, layers)
    const space = new Uint8Array(info.totalBytes)
    for (const file of info.files) {
      if (!file.padding && file.bytes > 0) {
        space.set(readFileSync(join(published, ...file.path)), file.offset)
      }
    }
    for (let piece = 0; piece < info.pieceCount; piece++) {
      const start = piece * info.pieceBytes
      const content = space.subarray(start, start + hashes.contentLength(piece))
      assert.equal(hashes.judge(piece, content), 'right', `piece ${piece}`)
    }
  })
}

for (const format of ['v2', 'hybrid'] as const) {
  for (const entries of [
    [entry('one.bin', 70_000)],
    [{ path: [], bytes: 5_000_000 }],
    [entry('b/c', 40_000), entry('b.c', 16_384), entry('a', 1), entry('b/empty', 0)],
  ]) {
    const what = entries.map(({ path }) => path.join('/')).join(' ')
    test(`libtorrent reads our ${format}: ${what}`, { skip }, () => {
      const { info, layers } = madeTorrent('made', entries, format, 32_768)
      const file = encodeMetainfo({ infoBytes: info.infoBytes, layers })
      const prefix = info.multiFile ? ['made'] : []
      assert.deepEqual(run(READ_V2, toHex(file)), [
        format === 'v2' ? ZEROS(20) : toHex(info.infoHash),
        toHex(info.infoHashV2!),
        info.pieceCount,
        info.pieceBytes,
        info.files
          .filter(({ padding }) => !padding)
          .map(({ path, bytes, offset, piecesRoot }) => [
            [...prefix, ...path].join('/'),
            bytes,
            offset,
            piecesRoot === undefined ? ZEROS(32) : toHex(piecesRoot),
          ]),
      ])
    })
  }
}
