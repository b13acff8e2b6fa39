/** Numbers and names for people. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** 1536 -> "1.5 KiB". */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

export function formatPercent(part: number, whole: number): string {
  if (whole === 0) return '0 %'
  // Never 100 before it is whole.
  const percent = Math.floor((part / whole) * 1000) / 10
  return `${percent.toFixed(percent === 100 ? 0 : 1)} %`
}

export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–'
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}

/** Bytes of "64MiB", "1.5 GB", "4096"; undefined when it is none of these. */
export function parseBytes(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?\s*$/i.exec(text)
  if (match === null) return undefined
  const power = ' kmgtp'.indexOf(match[2]!.toLowerCase() || ' ')
  const base = match[3] === '' && power > 0 ? 1000 : 1024
  const bytes = Math.round(Number(match[1]) * base ** power)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Rows under a header, columns as wide as they need; numbers to the right. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        right.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd()
  return [header, ...rows].map(line).join('\n')
}

/**
 * A name that came from outside, safe for a terminal: control and formatting characters (which could
 * move the cursor, turn the text around, or pretend to be another line) are shown as their code.
 */
export function formatName(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    return `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`
  })
}
