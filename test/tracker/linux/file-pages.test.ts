/** What the start needed and nobody needs any more: which mappings are given back, and that nothing is lost by it. */
import assert from 'node:assert/strict'
import { readFileSync, realpathSync } from 'node:fs'
import { test } from 'node:test'
import { dropFilePages, filePages } from '../../../src/tracker/linux/file-pages.ts'
import { MADV_DONTNEED } from '../../../src/tracker/linux/libc.ts'
import { libc, onLinux } from './linux.ts'

const CLEAN = [
  'Rss:  64 kB',
  'Private_Dirty:  0 kB',
  'Anonymous:  0 kB',
  'Swap:  0 kB',
  'VmFlags: rd',
]

/** As /proc/PID/smaps writes it, at pages 1 to 3. */
const mapping = (permissions: string, path: string, lines: readonly string[] = CLEAN): string =>
  `${[`1000-3000 ${permissions} 00000000 fe:00 ${path === '' ? 0 : 77} ${path}`, ...lines].join('\n')}\n`

test('only private mappings of files that are not writable and have no page of their own are dropped', () => {
  const without = (name: string): readonly string[] =>
    CLEAN.filter((line) => !line.startsWith(name))
  const says = (line: string): readonly string[] => [...without(line.split(':')[0]!), line]
  for (const [permissions, path, lines, dropped] of [
    ['r-xp', '/usr/bin/node', CLEAN, true],
    ['r--p', '/usr/lib/a name (deleted)', CLEAN, true],
    ['rw-p', '/usr/bin/node', CLEAN, false],
    ['rwxp', '/usr/bin/node', CLEAN, false],
    ['---p', '/usr/lib/libc.so.6', CLEAN, false],
    ['r--s', '/var/cache/shared', CLEAN, false],
    ['r--p', '', CLEAN, false],
    ['r-xp', '[vdso]', CLEAN, false],
    ['r--p', '[anon: stack]', CLEAN, false],
    ['r--p', '/relocated', says('Anonymous:  4 kB'), false],
    ['r--p', '/swapped', says('Swap:  4 kB'), false],
    ['r--p', '/unsaid', without('Anonymous'), false],
    ['r--p', '/unsaid', without('Swap'), false],
  ] as const) {
    const found = filePages(mapping(permissions, path, lines))
    assert.deepEqual(
      found,
      dropped ? [{ start: 0x1000n, end: 0x3000n }] : [],
      `${permissions} ${path} ${lines}`,
    )
  }
})

test('what a mapping says is not taken for what its neighbour says', () => {
  const dirty = mapping('r--p', '/relocated', ['Anonymous:  4 kB', 'Swap:  0 kB'])
  const silent = mapping('r-xp', '/silent', [])
  const high = mapping('r-xp', '/high').replace('1000-3000', '7f41f4ded000-7f41f4df1000')
  assert.deepEqual(filePages(`${silent}${mapping('rw-p', '')}${dirty}${high}${dirty}`), [
    { start: 0x7f41f4ded000n, end: 0x7f41f4df1000n },
  ])
  assert.deepEqual(filePages(''), [])
})

/** Of this process, by where it begins. */
function mappings(): ReadonlyMap<
  bigint,
  { readonly end: bigint; readonly permissions: string; readonly path: string }
> {
  const lines = readFileSync('/proc/self/maps', 'latin1').trimEnd().split('\n')
  return new Map(
    lines.map((line) => {
      const [, start, end, permissions, path] = /^(\w+)-(\w+) (\S+) \S+ \S+ \d+ *(.*)$/.exec(line)!
      return [
        BigInt(`0x${start}`),
        { end: BigInt(`0x${end}`), permissions: permissions!, path: path! },
      ]
    }),
  )
}

test('of a process nothing writable and nothing anonymous is given', onLinux, () => {
  const given: [bigint, bigint][] = []
  const now = mappings()
  dropFilePages({
    madvise(address, bytes, advice) {
      assert.equal(advice, MADV_DONTNEED)
      given.push([address as bigint, bytes])
      return 0
    },
  })
  for (const [address, bytes] of given) {
    const { end, permissions, path } = now.get(address)!
    assert.equal(address + bytes, end)
    assert.match(permissions, /^r-[x-]p$/)
    assert.match(path, /^\//)
  }
  const text = [...now].find(
    ([, { permissions, path }]) =>
      permissions === 'r-xp' && path === realpathSync('/proc/self/exe'),
  )
  assert.ok(
    given.some(([address]) => address === text?.[0]),
    'the code of node is given',
  )
})

const residentOfFilesKib = (): number =>
  Number(/RssFile:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'latin1'))![1])

test('resident pages of files fall, and what is needed again is there', onLinux, () => {
  const before = residentOfFilesKib()
  dropFilePages(libc)
  assert.ok(residentOfFilesKib() < before)
  assert.equal(new Intl.NumberFormat('de').format(1234.5), '1.234,5')
  assert.equal(new Function('return 6 * 7')(), 42)
})
