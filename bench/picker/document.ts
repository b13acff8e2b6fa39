/**
 * What the study says in docs/internals/picker.md: tables between two marks, and the picture of the frontier. The
 * sentences around them are written by people and not touched.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { svgCircle, svgDocument, svgGridLine, svgPolyline, svgText } from '../svg.ts'
import { STRATEGIES, type Strategy } from './choosers.ts'
import { LEAVES, type Measure, nameOf, type Row, SWARM, spreadOf, titleOf } from './study.ts'

const BEGIN = '<!-- figures: begin -->'
const END = '<!-- figures: end -->'

/** Into `docs`, the directory of that name. */
export function writeDocuments(rows: readonly Row[], docs: string): void {
  const path = join(docs, 'internals/picker.md')
  const text = readFileSync(path, 'utf8')
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`${path} has no place for the figures`)
  const head = text.slice(0, begin + BEGIN.length)
  writeFileSync(path, `${head}\n\n${tablesOf(rows)}\n\n${text.slice(end)}`)
  writeFileSync(join(docs, 'images/picker-frontier.svg'), pictureOf(rows))
}

export function tablesOf(rows: readonly Row[]): string {
  const titles = [...new Set(rows.map(titleOf))]
  return titles.map((title) => tableOf(rows.filter((row) => titleOf(row) === title))).join('\n\n')
}

function tableOf(rows: readonly Row[]): string {
  const { seeds, swarm } = rows[0]!
  const heads = [
    'picker, active',
    'whole',
    'write, KiB',
    'seeks a GiB',
    'disk time',
    'done',
    'p95',
    'seed sent',
    ...LEAVES.map((leaves) => `lives ${leaves}`),
    'copies',
    'least',
    'variation',
  ]
  const lines = rows.map((row) => {
    const with2 = (measure: Measure): string => spread(row, measure, (value) => value.toFixed(2))
    const cells = [
      nameOf(row),
      with2('whole'),
      spread(row, 'meanWriteBytes', (value) => (value / 1024).toFixed(0)),
      spread(row, 'seeksPerGib', (value) => value.toFixed(0)),
      with2('diskTime'),
      with2('completion'),
      with2('completionP95'),
      with2('seedSent'),
      ...row.survival.map((share) => share.toFixed(2)),
      with2('meanCopies'),
      with2('leastCopies'),
      with2('variation'),
    ]
    return `| ${cells.join(' | ')} |`
  })
  return [
    `### ${titleOf(rows[0]!)}, memory for ${swarm.cacheStripes} stripes, ${seeds} seeds`,
    '',
    `| ${heads.join(' | ')} |`,
    `| --- |${' ---: |'.repeat(heads.length - 1)}`,
    ...lines,
  ].join('\n')
}

/** The median and, where they differ from it, the quartiles. */
function spread(row: Row, measure: Measure, show: (value: number) => string): string {
  const { low, median, high } = spreadOf(row.runs[measure])
  const [a, b, c] = [show(low), show(median), show(high)]
  return a === c ? b : `${b} (${a}–${c})`
}

const COLORS: Readonly<Record<Strategy, string>> = {
  random: '#757575',
  rarest: '#6a1b9a',
  affinity: '#ef6c00',
  guarded: '#c62828',
  extent: '#2e7d32',
  dealt: '#1565c0',
  sequential: '#5d4037',
}
const WIDTH = 1000
const HEIGHT = 720
const LEFT = 60
const TOP = 70
const PANEL = { width: 420, height: 260, right: 70, below: 70 } as const
const PICTURED = [64 * 1024, 1024 * 1024]
const ACROSS: readonly (readonly [Measure, string])[] = [
  ['completion', 'median completion, of the bound'],
  ['seedSent', 'sent by the seed until others have all, by the content'],
]

/** Seeks against completion, and against how long everybody depends on the seed; an SVG document. */
export function pictureOf(rows: readonly Row[]): string {
  const title = 'What writing in order costs the swarm'
  const parts = [svgText(LEFT, 24, 'start', title, ' font-weight="bold"')]
  for (const [i, strategy] of STRATEGIES.entries()) {
    parts.push(
      svgCircle(LEFT + 6 + i * 110, 44, 5, COLORS[strategy]),
      svgText(LEFT + 16 + i * 110, 48, 'start', strategy),
    )
  }
  for (const [down, bytes] of PICTURED.entries()) {
    for (const [across, [measure, label]] of ACROSS.entries()) {
      const x = LEFT + across * (PANEL.width + PANEL.right)
      const y = TOP + down * (PANEL.height + PANEL.below)
      const shown = rows.filter(
        ({ pieceBytes, swarm }) => pieceBytes === bytes && swarm.totalBytes === SWARM.totalBytes,
      )
      if (shown.length > 0) {
        parts.push(...panel(shown, measure, `${label}; pieces of ${bytes / 1024} KiB`, x, y))
      }
    }
  }
  return svgDocument(WIDTH, HEIGHT, title, parts)
}

/** Seeks upwards, logarithmic from 10 to 100,000. */
function panel(
  rows: readonly Row[],
  measure: Measure,
  label: string,
  left: number,
  top: number,
): string[] {
  const bottom = top + PANEL.height
  const middle = (row: Row, of: Measure): number => spreadOf(row.runs[of]).median
  const most = Math.ceil(Math.max(...rows.map((row) => middle(row, measure))) * 2) / 2
  const least = 0.5
  const xOf = (value: number): number => left + ((value - least) / (most - least)) * PANEL.width
  const yOf = (value: number): number => bottom - ((Math.log10(value) - 1) / 4) * PANEL.height
  const parts: string[] = []
  for (let power = 1; power <= 5; power++) {
    const y = yOf(10 ** power)
    parts.push(
      svgGridLine([left, y], [left + PANEL.width, y]),
      svgText(left - 6, y + 4, 'end', String(10 ** power)),
    )
  }
  for (let value = least; value <= most; value += 0.5) {
    parts.push(
      svgGridLine([xOf(value), top], [xOf(value), bottom]),
      svgText(xOf(value), bottom + 16, 'middle', value.toFixed(1)),
    )
  }
  parts.push(
    svgText(left, top - 6, 'start', 'seeks a GiB'),
    svgText(left + PANEL.width / 2, bottom + 34, 'middle', label),
  )
  for (const strategy of STRATEGIES) {
    const own = rows.filter((row) => row.strategy === strategy)
    const places = own.map(
      (row) => [xOf(middle(row, measure)), yOf(middle(row, 'seeksPerGib'))] as const,
    )
    const color = COLORS[strategy]
    parts.push(svgPolyline(places, color))
    for (const [i, [x, y]] of places.entries()) {
      parts.push(svgCircle(x, y, 4, color))
      const { active } = own[i]!
      if (active !== undefined) {
        parts.push(svgText(x + 5, y - 5, 'start', String(active), ` fill="${color}"`))
      }
    }
  }
  return parts
}
