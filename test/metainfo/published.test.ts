/** Torrents that others published, of real content: their info-hashes are those that are known in public, and libtorrent's. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { toHex } from '../../src/base/index.ts'
import {
  formatMagnet,
  hasAllLayers,
  type Metainfo,
  parseMagnet,
  parseMetainfo,
} from '../../src/metainfo/index.ts'
import { output } from '../interop/peers/child.ts'
import { LIBTORRENT_PYTHON } from '../interop/peers/libtorrent.ts'
import { havePeers } from '../interop/peers/presence.ts'

const folder = fileURLToPath(new URL('../../../test/fixtures/torrents/', import.meta.url))

interface Published {
  readonly file: string
  readonly name: string
  readonly v1: string | undefined
  readonly v2: string | undefined
  /** With filler. */
  readonly files: number
  readonly pieceBytes: number
  /** Of the content, without filler. */
  readonly contentBytes: number
  /** As it was published with it. */
  readonly magnet?: string
}

const PUBLISHED: readonly Published[] = [
  {
    file: 'debian-10.8.0-amd64-netinst.iso.torrent',
    name: 'debian-10.8.0-amd64-netinst.iso',
    v1: '4090c3c2a394a49974dfbbf2ce7ad0db3cdeddd7',
    v2: undefined,
    files: 1,
    pieceBytes: 262_144,
    contentBytes: 352_321_536,
    magnet:
      'magnet:?xt=urn:btih:4090c3c2a394a49974dfbbf2ce7ad0db3cdeddd7&dn=debian-10.8.0-amd64-netinst.iso' +
      '&tr=http%3A%2F%2Fbttracker.debian.org%3A6969%2Fannounce',
  },
  {
    file: 'sintel.torrent',
    name: 'Sintel',
    v1: '08ada5a7a6183aae1e09d831df6748d566095a10',
    v2: undefined,
    files: 11,
    pieceBytes: 131_072,
    contentBytes: 129_302_391,
  },
  {
    file: 'bittorrent-v2-test.torrent',
    name: 'bittorrent-v2-test',
    v1: undefined,
    v2: 'caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e',
    files: 21,
    pieceBytes: 4_194_304,
    contentBytes: 1_534_222_888,
    magnet:
      'magnet:?xt=urn:btmh:1220caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e' +
      '&dn=bittorrent-v2-test',
  },
  {
    file: 'bittorrent-v2-hybrid-test.torrent',
    name: 'bittorrent-v1-v2-hybrid-test',
    v1: '631a31dd0a46257d5078c0dee4e66e26f73e42ac',
    v2: 'd8dd32ac93357c368556af3ac1d95c9d76bd0dff6fa9833ecdac3d53134efabb',
    files: 17,
    pieceBytes: 524_288,
    contentBytes: 895_544_883,
    magnet:
      'magnet:?xt=urn:btih:631a31dd0a46257d5078c0dee4e66e26f73e42ac' +
      '&xt=urn:btmh:1220d8dd32ac93357c368556af3ac1d95c9d76bd0dff6fa9833ecdac3d53134efabb' +
      '&dn=bittorrent-v1-v2-hybrid-test',
  },
]

const load = (file: string): Metainfo => parseMetainfo(readFileSync(`${folder}${file}`))

for (const { file, name, v1, v2, files, pieceBytes, contentBytes, magnet } of PUBLISHED) {
  test(`${file} is read, and has the info-hashes that it is known by`, () => {
    const { info, layers, trackers } = load(file)
    assert.equal(info.name, name)
    // Of v2 alone the name is the beginning of its hash.
    assert.equal(toHex(info.infoHash), v1 ?? v2!.slice(0, 40))
    assert.equal(info.infoHashV2 && toHex(info.infoHashV2), v2)
    assert.deepEqual(
      [
        info.files.length,
        info.pieceBytes,
        info.files.reduce((sum, one) => sum + (one.padding ? 0 : one.bytes), 0),
      ],
      [files, pieceBytes, contentBytes],
    )
    assert.ok(hasAllLayers(info, layers), 'every layer is there, and proves itself')
    if (magnet === undefined) return
    const { infoHash, infoHashV2 } = info
    const said = { name, trackers: trackers.flat(), peers: [], totalBytes: undefined }
    assert.equal(formatMagnet({ infoHash, infoHashV2, ...said }), magnet)
    const meant = parseMagnet(magnet)
    assert.deepEqual([meant.infoHash, meant.infoHashV2], [infoHash, infoHashV2])
  })
}

const READ = `
import json, sys, libtorrent as lt
for path in sys.argv[1:]:
    ti = lt.torrent_info(path)
    hashes = ti.info_hashes()
    files = ti.files()
    content = sum(files.file_size(i) for i in range(files.num_files())
                  if not files.file_flags(i) & lt.file_flags_t.flag_pad_file)
    print(json.dumps([
        str(hashes.v1) if hashes.has_v1() else None,
        str(hashes.v2) if hashes.has_v2() else None,
        ti.name(), ti.piece_length(), ti.num_pieces(), content]))
`

test('libtorrent reads the same in them', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const paths = PUBLISHED.map(({ file }) => `${folder}${file}`)
  const words = ['-W', 'ignore', '-c', READ, ...paths]
  const lines = (await output('libtorrent', LIBTORRENT_PYTHON, words, 60_000)).trim().split('\n')
  assert.equal(lines.length, PUBLISHED.length)
  for (const [i, line] of lines.entries()) {
    const { v1 = null, v2 = null, name, pieceBytes, file, contentBytes } = PUBLISHED[i]!
    const { info } = load(file)
    assert.deepEqual(JSON.parse(line), [v1, v2, name, pieceBytes, info.pieceCount, contentBytes])
  }
})
