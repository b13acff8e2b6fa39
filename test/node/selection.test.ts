/** Which files are wanted: patterns against paths. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeedbedError } from '../../src/base/index.ts'
import { decodeAttributes, encodeAttributes } from '../../src/node/index.ts'
import { globOf, selectFiles } from '../../src/node/selection.ts'
import { torrentOf } from '../torrent-store/torrent.ts'

const cases: [pattern: string, matches: string[], others: string[]][] = [
  ['*.txt', ['a.txt', 'x/y/a.txt', '.txt'], ['a.txt.gz', 'atxt']],
  ['a?', ['ab', 'deep/ax'], ['a', 'abc', 'a/b']],
  ['docs/*', ['docs/a', 'docs/.b'], ['docs/a/b', 'x/docs/a', 'docs']],
  ['docs/**', ['docs/a', 'docs/a/b'], ['doc/a']],
  ['**/b', ['b', 'a/b', 'a/c/b'], ['ab', 'b/c']],
  ['x/**/z', ['x/z', 'x/y/z', 'x/y/y/z'], ['xz', 'x/yz']],
  ['[1] (2) {3}+^$.|\\', ['[1] (2) {3}+^$.|\\'], ['1']],
  ['ü*', ['übung', 'a/ü'], ['u']],
]
test('patterns', () => {
  for (const [pattern, matches, others] of cases) {
    for (const path of matches) assert.ok(globOf(pattern)(path), `${pattern} matches ${path}`)
    for (const path of others) assert.ok(!globOf(pattern)(path), `${pattern} leaves ${path}`)
  }
})

test('files that match are wanted; padding is not; none at all is an error', () => {
  const info = torrentOf(new Uint8Array(100), 16_384, 'name', [
    { path: ['a', 'one.iso'], bytes: 40 },
    { path: ['.pad'], bytes: 10, padding: true },
    { path: ['b', 'two.iso'], bytes: 40 },
    { path: ['b', 'sums'], bytes: 10 },
    { path: ['empty'], bytes: 0 },
  ])
  assert.deepEqual(selectFiles(info, ['*.iso']), [2, 0, 2, 0, 0])
  assert.deepEqual(selectFiles(info, ['b/*', 'empty']), [0, 0, 2, 2, 2])
  for (const nothing of ['c/*', '.pad', 'empty']) {
    assert.throws(
      () => selectFiles(info, [nothing]),
      (error) => error instanceof SeedbedError && error.code === 'NODE_NO_FILES',
    )
  }
})

test('what is wanted is kept beside the torrent', () => {
  const only = ['*.iso', 'b/**']
  const trackers = [['http://a'], ['udp://b']]
  assert.deepEqual(decodeAttributes(encodeAttributes({ trackers, only })), { trackers, only })
  assert.deepEqual(decodeAttributes(encodeAttributes({ trackers })), { trackers })
})
