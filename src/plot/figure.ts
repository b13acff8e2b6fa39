/**
 * A figure: panels of points over two axes, laid out once, drawn as PNG (draw-png.ts) or SVG
 * (draw-svg.ts). Lengths are pixels.
 *
 * ```
 * +-------------------------------------------+
 * | title                    # reads # writes |   TITLE
 * | y label                                   |   LABEL
 * |   8 +--------------------------------+    |
 * |   4 |  raster                        |    |
 * |   0 +--------------------------------+    |
 * |     0        10        20        30       |   TICKS
 * |                            x label        |   LABEL
 * +-------------------------------------------+
 *  LEFT                               RIGHT
 * ```
 */
import type { Colour } from './png.ts'
import { PointRaster } from './raster.ts'
import { type Axis, axisFor, type Quantity } from './scale.ts'

const WIDTH = 1280
const LEFT = 120
export const RIGHT = 50
const TITLE = 40
export const LABEL = 28
export const TICKS = 28
const GAP = 12
const PLOT_HEIGHT = 420
const PANEL_HEIGHT: number = TITLE + LABEL + PLOT_HEIGHT + TICKS + LABEL + GAP

export interface Series {
  readonly name: string
  readonly colour: Colour
}

/** The colour of a pixel where several series were. */
const MIXED: Colour = [118, 42, 131, 255]
const TRANSPARENT: Colour = [255, 255, 255, 0]
export const INK: Colour = [40, 40, 40, 255]
export const GRID: Colour = [225, 225, 225, 255]
export const PAPER: Colour = [255, 255, 255, 255]
export const READS: Series = { name: 'reads', colour: [33, 102, 172, 255] }
export const WRITES: Series = { name: 'writes', colour: [214, 84, 39, 255] }

export interface AxisSpec {
  readonly label: string
  readonly quantity: Quantity
  readonly max: number
}

export interface PanelSpec {
  readonly title: string
  readonly x: AxisSpec
  readonly y: AxisSpec
  /** At most eight. */
  readonly series: readonly Series[]
  /** Side of a point. Default 2. */
  readonly dot?: number
}

export interface Panel {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
  /** To be filled with points by whoever has them. */
  readonly raster: PointRaster
  /** Of the panel in the figure. */
  readonly left: number
  readonly top: number
  readonly width: number
}

export interface Figure {
  readonly width: number
  readonly height: number
  readonly panels: readonly Panel[]
}

/** Rows of panels, those of a row side by side. */
export function layOut(rows: readonly (readonly PanelSpec[])[]): Figure {
  const panels: Panel[] = []
  for (const [row, specs] of rows.entries()) {
    const width = Math.floor(WIDTH / specs.length)
    for (const [column, spec] of specs.entries()) {
      const x = axisFor(spec.x.quantity, spec.x.max, specs.length === 1 ? 8 : 4)
      const y = axisFor(spec.y.quantity, spec.y.max)
      panels.push({
        title: spec.title,
        xLabel: withUnit(spec.x.label, x.unit),
        yLabel: withUnit(spec.y.label, y.unit),
        x,
        y,
        series: spec.series,
        raster: new PointRaster(width - LEFT - RIGHT, PLOT_HEIGHT, x.max, y.max, spec.dot),
        left: column * width,
        top: row * PANEL_HEIGHT,
        width,
      })
    }
  }
  return { width: WIDTH, height: rows.length * PANEL_HEIGHT, panels }
}

function withUnit(label: string, unit: string): string {
  return unit === '' ? label : `${label}, ${unit}`
}

/** The colour of each value that a pixel of the raster can have; 0 is seen through. */
export function rasterPalette(series: readonly Series[]): Colour[] {
  return Array.from({ length: 2 ** series.length }, (_, bits) => {
    if (bits === 0) return TRANSPARENT
    const only = Math.log2(bits)
    return Number.isInteger(only) ? series[only]!.colour : MIXED
  })
}

/** Where the raster lies in the figure. */
export function plotArea({ raster, left, top }: Panel): {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
} {
  const { width, height } = raster
  return { x: left + LEFT, y: top + TITLE + LABEL, width, height }
}
