/** Where an axis has its ticks, and what is written there. */

export interface Axis {
  /** The value at the far end; the near one is 0. More than 0. */
  readonly max: number
  /** Ascending, from 0 to at most `max`. */
  readonly ticks: readonly { readonly value: number; readonly text: string }[]
  /** Of the numbers at the ticks: `GiB`, `s`; empty for counts. */
  readonly unit: string
}

export type Quantity = 'bytes' | 'seconds' | 'count'

const UNITS: Readonly<Record<Quantity, readonly (readonly [name: string, size: number])[]>> = {
  bytes: [
    ['B', 1],
    ['KiB', 2 ** 10],
    ['MiB', 2 ** 20],
    ['GiB', 2 ** 30],
    ['TiB', 2 ** 40],
    ['PiB', 2 ** 50],
  ],
  seconds: [
    ['ms', 1e-3],
    ['s', 1],
    ['min', 60],
    ['h', 3600],
  ],
  count: [['', 1]],
}
/** A unit is taken when there are at least two of it. */
const UNITS_MIN = 2
/** What is smaller is drawn as nothing at all: a microsecond is. */
const VALUE_MIN = 1e-6

/** About `wanted` ticks at round numbers for values from 0 to `max`. */
export function axisFor(quantity: Quantity, max: number, wanted = 5): Axis {
  const top = max >= VALUE_MIN ? max : 1
  const units = UNITS[quantity]
  let [unit, size] = units[0]!
  for (const [name, bytes] of units) if (top >= UNITS_MIN * bytes) [unit, size] = [name, bytes]
  const step = roundStep(top / size / wanted)
  const ticks: { value: number; text: string }[] = []
  for (let i = 0; i * step * size <= top * (1 + 1e-9); i++) {
    ticks.push({ value: i * step * size, text: label(i * step) })
  }
  return { max: top, ticks, unit }
}

/** The smallest of 1, 2, 5 times a power of ten that is at least `rough`. */
function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough))
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough * 0.999)!
}

/** 45000 -> "45,000"; 0.30000000000000004 -> "0.3". */
function label(value: number): string {
  const text = Number(value.toPrecision(6)).toString()
  const [whole, fraction] = text.split('.')
  const grouped = groupDigits(whole!)
  return fraction === undefined ? grouped : `${grouped}.${fraction}`
}

/** 1234567 -> "1,234,567". */
export function groupDigits(whole: number | string): string {
  return whole.toString().replace(/\B(?=(\d{3})+$)/g, ',')
}
