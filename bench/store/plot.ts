/**
 * Plots of the suite's JSON lines, as SVG without a library:
 *
 *     npm run bench -- store --json > lines.jsonl
 *     node dist/bench/store/plot.js lines.jsonl docs/images
 *
 * Two pictures: bytes of a swarm and bytes of a peer by their number, against the figures that the README of optmem
 * publishes. Both axes are logarithmic.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Line } from '../suite.ts'
import { svgCircle, svgDocument, svgGridLine, svgPolyline, svgText } from '../svg.ts'

interface Point {
  readonly x: number
  readonly y: number
}

interface Series {
  readonly name: string
  readonly color: string
  readonly points: readonly Point[]
}

interface Plot {
  readonly title: string
  readonly xLabel: string
  readonly series: readonly Series[]
}

const WIDTH = 640
const HEIGHT = 400
const LEFT = 60
const RIGHT = 170
const TOP = 40
const BOTTOM = 50

/** From the README of optmem: resident bytes each. */
const ORIGINAL_SWARMS: readonly Point[] = [{ x: 1e7, y: 201 }]
const ORIGINAL_PEERS: readonly Point[] = [
  { x: 2e6, y: 25.3 },
  { x: 2e7, y: 34 },
  { x: 5e7, y: 32.3 },
]

/** An SVG document. */
export function svgOf({ title, xLabel, series }: Plot): string {
  const all = series.flatMap(({ points }) => points)
  const xs = all.map(({ x }) => Math.log10(x))
  const ys = all.map(({ y }) => Math.log10(y))
  const [x0, x1] = [Math.floor(Math.min(...xs)), Math.ceil(Math.max(...xs))]
  const [y0, y1] = [Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys))]
  const across = (x: number): number =>
    LEFT + ((Math.log10(x) - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT)
  const down = (y: number): number =>
    HEIGHT - BOTTOM - ((Math.log10(y) - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM)
  const parts = [svgText(LEFT, 22, 'start', title)]
  for (let power = x0; power <= x1; power++) {
    const x = across(10 ** power)
    parts.push(
      svgGridLine([x, TOP], [x, HEIGHT - BOTTOM]),
      svgText(x, HEIGHT - BOTTOM + 18, 'middle', short(10 ** power)),
    )
  }
  for (let power = y0; power <= y1; power++) {
    const y = down(10 ** power)
    parts.push(
      svgGridLine([LEFT, y], [WIDTH - RIGHT, y]),
      svgText(LEFT - 6, y + 4, 'end', short(10 ** power)),
    )
  }
  parts.push(svgText((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, 'middle', xLabel))
  for (const [n, { name, color, points }] of series.entries()) {
    const places = points.map(({ x, y }) => [across(x), down(y)] as const)
    parts.push(
      svgPolyline(places, color, ' stroke-width="2"'),
      ...places.map(([x, y]) => svgCircle(x, y, 3, color)),
      svgCircle(WIDTH - RIGHT + 16, TOP + 8 + n * 20, 4, color),
      svgText(WIDTH - RIGHT + 26, TOP + 12 + n * 20, 'start', name),
    )
  }
  return svgDocument(WIDTH, HEIGHT, title, parts)
}

/** Points of the lines `kind/family/count` or `kind/family/n+n`. */
export function pointsOf(lines: readonly Line[], prefix: string, suffix = ''): Point[] {
  return lines.flatMap(({ name, value }) => {
    const match = /^(\d+)(?:\+(\d+))?(\/resident)?$/.exec(name.slice(prefix.length))
    if (!name.startsWith(prefix) || match === null || (match[3] ?? '') !== suffix) return []
    return value > 0 ? [{ x: Number(match[1]) + Number(match[2] ?? 0), y: value }] : []
  })
}

function short(value: number): string {
  if (value >= 1e6) return `${value / 1e6} M`
  if (value >= 1e3) return `${value / 1e3} k`
  return String(value)
}

function main(from: string, to: string): void {
  const lines = readFileSync(from, 'utf8')
    .split('\n')
    .filter((text) => text.startsWith('{'))
    .map((text) => JSON.parse(text) as Line)
  const series = (kind: string, original: readonly Point[]): Series[] => [
    { name: 'IPv4, store', color: '#1565c0', points: pointsOf(lines, `${kind}/IPv4/`) },
    { name: 'IPv6, store', color: '#2e7d32', points: pointsOf(lines, `${kind}/IPv6/`) },
    {
      name: 'IPv4, resident',
      color: '#90caf9',
      points: pointsOf(lines, `${kind}/IPv4/`, '/resident').filter(({ x }) => x >= 1e4),
    },
    { name: 'optmem (README)', color: '#c62828', points: original },
  ]
  const swarms = {
    title: 'Bytes of a swarm of one peer, by the number of swarms',
    xLabel: 'swarms',
    series: series('swarms', ORIGINAL_SWARMS),
  }
  const peers = {
    title: 'Bytes of a peer, by the number of peers in one swarm',
    xLabel: 'peers, half of them seeders',
    series: series('peers', ORIGINAL_PEERS),
  }
  writeFileSync(join(to, 'peer-store-swarms.svg'), svgOf(swarms))
  writeFileSync(join(to, 'peer-store-peers.svg'), svgOf(peers))
}

const [from, to] = process.argv.slice(2)
if (from !== undefined && to !== undefined) main(from, to)
