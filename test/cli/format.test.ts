import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  formatBytes,
  formatDuration,
  formatName,
  formatPercent,
  formatTable,
  parseBytes,
} from '../../src/cli/format.ts'

test('bytes read like a person would write them', () => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [2 ** 30, '1.0 GiB'],
    [250 * 2 ** 20, '250 MiB'],
    [2 ** 60, '1024 PiB'],
  ]
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text)
})

test('a hundred per cent is said only when it is whole', () => {
  assert.equal(formatPercent(999_999, 1_000_000), '99.9 %')
  assert.equal(formatPercent(7, 7), '100 %')
  assert.equal(formatPercent(0, 0), '0 %')
})

test('sizes are parsed with decimal and binary units, and nothing else is', () => {
  const cases: [string, number | undefined][] = [
    ['4096', 4096],
    ['4KiB', 4096],
    ['4 k', 4000],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['2GB', 2e9],
    ['1TiB', 2 ** 40],
    ['', undefined],
    ['-1', undefined],
    ['1 XB', undefined],
    ['99999PiB', undefined],
  ]
  for (const [text, bytes] of cases) assert.equal(parseBytes(text), bytes, text)
})

test('durations', () => {
  assert.equal(formatDuration(59.4), '59 s')
  assert.equal(formatDuration(61), '1 min 1 s')
  assert.equal(formatDuration(7260), '2 h 1 min')
  assert.equal(formatDuration(Number.POSITIVE_INFINITY), '–')
})

test('columns line up', () => {
  assert.equal(formatTable(['A', 'NUMBER'], [['long', '7']], [1]), 'A     NUMBER\nlong       7')
})

test('a hostile name cannot steer the terminal', () => {
  assert.equal(formatName('ok\u001b[2Jx\ny'), 'ok\\u001b[2Jx\\u000ay')
  assert.equal(formatName('größe 日本.iso'), 'größe 日本.iso')
})
