/** A figure as PNG: everything is pixels of one palette, text included. */
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
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphPixel } from './font.ts'
import { type Colour, encodePng, type IndexedImage } from './png.ts'

const SCALE = 2
const ADVANCE: number = (GLYPH_WIDTH + 1) * SCALE
/** From the top of a glyph to its base line. */
const ASCENT: number = 7 * SCALE
const SWATCH = 14

export function drawPng(figure: Figure): Buffer {
  const canvas = new Canvas(figure.width, figure.height)
  for (const panel of figure.panels) drawPanel(canvas, panel)
  return encodePng(canvas)
}

class Canvas implements IndexedImage {
  readonly width: number
  readonly height: number
  readonly pixels: Uint8Array
  readonly palette: Colour[] = [PAPER, INK, GRID]

  constructor(width: number, height: number) {
    this.width = width
    this.height = height
    this.pixels = new Uint8Array(width * height)
  }

  indexOf(colour: Colour): number {
    const found = this.palette.findIndex((known) => known.every((part, i) => part === colour[i]))
    return found !== -1 ? found : this.palette.push(colour) - 1
  }

  rectangle(x: number, y: number, width: number, height: number, colour: Colour): void {
    const index = this.indexOf(colour)
    const end = Math.min(this.height, y + height)
    for (let row = Math.max(0, y); row < end; row++) {
      const from = row * this.width
      this.pixels.fill(index, from + Math.max(0, x), from + Math.min(this.width, x + width))
    }
  }

  /** `x` is the left end, the middle or the right end of the text; `y` its base line. */
  text(text: string, x: number, y: number, anchor: 'start' | 'middle' | 'end'): void {
    const width = text.length * ADVANCE - SCALE
    const left = anchor === 'start' ? x : anchor === 'end' ? x - width : x - Math.floor(width / 2)
    for (const [i, character] of [...text].entries()) {
      for (let row = 0; row < GLYPH_HEIGHT; row++) {
        for (let column = 0; column < GLYPH_WIDTH; column++) {
          if (!glyphPixel(character, column, row)) continue
          const at = left + i * ADVANCE + column * SCALE
          this.rectangle(at, y - ASCENT + row * SCALE, SCALE, SCALE, INK)
        }
      }
    }
  }
}

function drawPanel(canvas: Canvas, panel: Panel): void {
  const area = plotArea(panel)
  const right = area.x + area.width
  const bottom = area.y + area.height
  // Struck twice: bold.
  for (const shift of [0, 1]) canvas.text(panel.title, area.x + shift, panel.top + 26, 'start')
  drawLegend(canvas, panel)
  canvas.text(panel.yLabel, area.x, area.y - 10, 'start')
  canvas.text(panel.xLabel, right, bottom + TICKS + LABEL - 4, 'end')
  for (const { value, text } of panel.x.ticks) {
    const x = area.x + Math.round((value / panel.x.max) * area.width)
    canvas.rectangle(x, area.y, 1, area.height, GRID)
    canvas.rectangle(x, bottom, 1, 6, INK)
    canvas.text(text, x, bottom + 24, 'middle')
  }
  for (const { value, text } of panel.y.ticks) {
    const y = bottom - Math.round((value / panel.y.max) * area.height)
    canvas.rectangle(area.x, y, area.width, 1, GRID)
    canvas.rectangle(area.x - 6, y, 6, 1, INK)
    canvas.text(text, area.x - 12, y + 7, 'end')
  }
  const { raster } = panel
  const indices = rasterPalette(panel.series).map((colour) => canvas.indexOf(colour))
  for (let y = 0; y < raster.height; y++) {
    for (let x = 0; x < raster.width; x++) {
      const bits = raster.pixels[y * raster.width + x]!
      if (bits !== 0) canvas.pixels[(area.y + y) * canvas.width + area.x + x] = indices[bits]!
    }
  }
  canvas.rectangle(area.x - 1, area.y, 1, area.height + 1, INK)
  canvas.rectangle(area.x - 1, bottom, area.width + 1, 1, INK)
}

/** At the right end of the title's line, when there is more than one series to tell apart. */
function drawLegend(canvas: Canvas, panel: Panel): void {
  if (panel.series.length < 2) return
  let right = panel.left + panel.width - RIGHT
  for (const { name, colour } of [...panel.series].reverse()) {
    canvas.text(name, right, panel.top + 26, 'end')
    right -= name.length * ADVANCE + 8 + SWATCH
    canvas.rectangle(right, panel.top + 26 - SWATCH, SWATCH, SWATCH, colour)
    right -= 2 * ADVANCE
  }
}
