/**
 * A figure as SVG: axes and text are vectors, the points an embedded PNG, so that a hundred thousand of
 * them make a file that a browser opens at once.
 */
import {
  type Figure,
  GRID,
  INK,
  LABEL,
  PAPER,
  type Panel,
  plotArea,
  RIGHT,
  rasterPalette,
  TICKS,
} from './figure.ts'
import { type Colour, encodePng } from './png.ts'

const FONT_PX = 18
/** Of an average character; where a legend begins has to be guessed without a font. */
const CHARACTER_PX = 9
const SWATCH = 14

export function drawSvg(figure: Figure): string {
  const { width, height } = figure
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="${FONT_PX}" fill="${hex(INK)}">`,
    `<title>${escapeXml(figure.panels.map((panel) => panel.title).join('; '))}</title>`,
    `<rect width="${width}" height="${height}" fill="${hex(PAPER)}"/>`,
    ...figure.panels.flatMap(drawPanel),
    '</svg>',
    '',
  ].join('\n')
}

function drawPanel(panel: Panel): string[] {
  const area = plotArea(panel)
  const right = area.x + area.width
  const bottom = area.y + area.height
  const lines = [
    text(panel.title, area.x, panel.top + 26, 'start', ' font-weight="bold"'),
    ...drawLegend(panel),
    text(panel.yLabel, area.x, area.y - 10, 'start'),
    text(panel.xLabel, right, bottom + TICKS + LABEL - 4, 'end'),
  ]
  let grid = ''
  let ticks = ''
  for (const { value, text: label } of panel.x.ticks) {
    const x = area.x + Math.round((value / panel.x.max) * area.width)
    grid += `M${x} ${area.y}v${area.height}`
    ticks += `M${x} ${bottom}v6`
    lines.push(text(label, x, bottom + 24, 'middle'))
  }
  for (const { value, text: label } of panel.y.ticks) {
    const y = bottom - Math.round((value / panel.y.max) * area.height)
    grid += `M${area.x} ${y}h${area.width}`
    ticks += `M${area.x} ${y}h-6`
    lines.push(text(label, area.x - 12, y + 6, 'end'))
  }
  const { width, height, pixels } = panel.raster
  const png = encodePng({ width, height, pixels, palette: rasterPalette(panel.series) })
  lines.push(
    `<path d="${grid}" stroke="${hex(GRID)}"/>`,
    `<image x="${area.x}" y="${area.y}" width="${width}" height="${height}" href="data:image/png;base64,${png.toString('base64')}"/>`,
    `<path d="${ticks}M${area.x} ${area.y}V${bottom}H${right}" fill="none" stroke="${hex(INK)}"/>`,
  )
  return lines
}

function drawLegend(panel: Panel): string[] {
  if (panel.series.length < 2) return []
  const lines: string[] = []
  let right = panel.left + panel.width - RIGHT
  for (const { name, colour } of [...panel.series].reverse()) {
    lines.push(text(name, right, panel.top + 26, 'end'))
    right -= name.length * CHARACTER_PX + 8 + SWATCH
    const y = panel.top + 26 - SWATCH
    lines.push(
      `<rect x="${right}" y="${y}" width="${SWATCH}" height="${SWATCH}" fill="${hex(colour)}"/>`,
    )
    right -= 2 * CHARACTER_PX
  }
  return lines
}

function text(content: string, x: number, y: number, anchor: string, more = ''): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}"${more}>${escapeXml(content)}</text>`
}

function escapeXml(content: string): string {
  return content.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
}

function hex([red, green, blue]: Colour): string {
  return `#${Buffer.from([red, green, blue]).toString('hex')}`
}
