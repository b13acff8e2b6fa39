/** What the pictures of the benchmarks are made of: SVG as text, without a library. Places are rounded to a tenth of a pixel. */

export type Place = readonly [x: number, y: number]

/** `parts` on white, with their title for who cannot see them. */
export function svgDocument(
  width: number,
  height: number,
  title: string,
  parts: readonly string[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

/** `more`: attributes besides, each after a space. */
export function svgText(
  x: number,
  y: number,
  anchor: 'start' | 'middle' | 'end',
  content: string,
  more: string = '',
): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${more}>${content}</text>`
}

/** A line of the grid behind a plot. */
export function svgGridLine(from: Place, to: Place): string {
  const [x1, y1, x2, y2] = [...from, ...to].map(round)
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#ddd"/>`
}

export function svgCircle(x: number, y: number, radius: number, color: string): string {
  return `<circle cx="${round(x)}" cy="${round(y)}" r="${radius}" fill="${color}"/>`
}

export function svgPolyline(places: readonly Place[], color: string, more: string = ''): string {
  const points = places.map(([x, y]) => `${round(x)},${round(y)}`).join(' ')
  return `<polyline points="${points}" fill="none" stroke="${color}"${more}/>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
