/**
 * The points of one panel as pixels: however many there are, they take the same memory and the same
 * room in a file. A pixel is a set of series (bits), so that two series in one place can be told.
 */
export class PointRaster {
  readonly width: number
  readonly height: number
  /** Bit `s` of a pixel: series `s` was there. */
  readonly pixels: Uint8Array
  readonly #xMax: number
  readonly #yMax: number
  readonly #dot: number

  /** `dot` is the side of a point in pixels. Values run from 0 at the left and the bottom. */
  constructor(width: number, height: number, xMax: number, yMax: number, dot = 2) {
    this.width = width
    this.height = height
    this.#xMax = xMax
    this.#yMax = yMax
    this.#dot = dot
    this.pixels = new Uint8Array(width * height)
  }

  /** A point at `x` that reaches from `y` up to `y + extent`. Allocates nothing. */
  add(series: number, x: number, y: number, extent = 0): void {
    const { width, height, pixels } = this
    const dot = this.#dot
    const left = clamp(Math.floor((x / this.#xMax) * width), width - dot)
    const low = clamp(Math.floor((y / this.#yMax) * height), height - dot)
    const high = clamp(Math.ceil(((y + extent) / this.#yMax) * height) - 1, height - 1)
    const rows = Math.max(dot, high - low + 1)
    for (let row = 0; row < rows && low + row < height; row++) {
      const from = (height - 1 - low - row) * width + left
      for (let i = 0; i < dot; i++) pixels[from + i] = pixels[from + i]! | (1 << series)
    }
  }
}

function clamp(value: number, max: number): number {
  return Math.max(0, Math.min(max, value))
}
