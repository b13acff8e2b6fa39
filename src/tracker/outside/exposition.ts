/**
 * Metrics as text: the format 0.0.4 of Prometheus, and OpenMetrics 1.0, which differ in a few words.
 *
 *     # HELP name what       # TYPE name counter|gauge|histogram
 *     name_total{label="value"} 5            counter
 *     name_bucket{le="0.5"} 3   name_sum 1.2   name_count 4      histogram, buckets cumulative
 */

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly labels?: Labels
  readonly value: number
}

export interface HistogramSample {
  readonly labels?: Labels
  readonly bounds: readonly number[]
  /** One for each bound, and one beyond; not cumulative. */
  readonly buckets: readonly number[]
  readonly sum: number
}

export type Family =
  | {
      /** Without `_total`, which counters get. */
      readonly name: string
      readonly help: string
      readonly type: 'counter' | 'gauge'
      readonly samples: readonly Sample[]
    }
  | {
      readonly name: string
      readonly help: string
      readonly type: 'histogram'
      readonly samples: readonly HistogramSample[]
    }

export type ExpositionFormat = 'text' | 'openmetrics'

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** What an Accept header asks for. */
export function formatFor(accept: string): ExpositionFormat {
  let [open, text] = [0, 0]
  for (const part of accept.slice(0, 1000).split(',')) {
    const [type, ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase())
    const q = parameters.find((parameter) => parameter.startsWith('q='))
    const weight = q === undefined ? 1 : Number(q.slice(2)) || 0
    if (type === 'application/openmetrics-text') open = Math.max(open, weight)
    if (type === 'text/plain' || type === '*/*' || type === 'text/*') text = Math.max(text, weight)
  }
  return open > 0 && open >= text ? 'openmetrics' : 'text'
}

export function renderFamilies(families: readonly Family[], format: ExpositionFormat): string {
  const lines: string[] = []
  for (const family of families) {
    const { name, help, type } = family
    // In the older format a counter's family is named as its samples are.
    const title = type === 'counter' && format === 'text' ? `${name}_total` : name
    lines.push(`# HELP ${title} ${escapeHelp(help)}`, `# TYPE ${title} ${type}`)
    if (family.type === 'histogram') {
      for (const sample of family.samples) histogram(name, sample, format, lines)
    } else {
      const suffix = type === 'counter' ? '_total' : ''
      for (const { labels, value } of family.samples) {
        lines.push(`${name}${suffix}${labelText(labels)} ${numberText(value)}`)
      }
    }
  }
  if (format === 'openmetrics') lines.push('# EOF')
  return `${lines.join('\n')}\n`
}

function histogram(
  name: string,
  sample: HistogramSample,
  format: ExpositionFormat,
  lines: string[],
): void {
  const { labels = {}, bounds, buckets, sum } = sample
  let count = 0
  for (const [i, bound] of [...bounds, Number.POSITIVE_INFINITY].entries()) {
    count += buckets[i]!
    lines.push(`${name}_bucket${labelText({ ...labels, le: boundText(bound, format) })} ${count}`)
  }
  lines.push(`${name}_sum${labelText(labels)} ${numberText(sum)}`)
  lines.push(`${name}_count${labelText(labels)} ${count}`)
}

function labelText(labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return Number.isNaN(value) ? 'NaN' : String(value)
}

/** Bounds are floating-point numbers in OpenMetrics, and look like it. Elsewhere they are as other trackers write them: dashboards name them. */
function boundText(value: number, format: ExpositionFormat): string {
  return format === 'openmetrics' && Number.isInteger(value) ? `${value}.0` : numberText(value)
}
