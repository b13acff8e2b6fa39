/** The kinds of fields: how each is read from YAML (or from the text of an environment variable) and shown. */
import { parseAddress } from '../addresses.ts'
import type { Located } from './located.ts'
import type { Field } from './schema.ts'

export interface FieldText {
  readonly key: string
  readonly doc: string
  readonly aliases?: readonly string[]
  readonly restart?: boolean
}

type Read<T> = Field<T>['read']

function field<T>(
  text: FieldText,
  type: string,
  limit: string,
  preset: T,
  read: Read<T>,
  show: (value: T) => string,
): Field<T> {
  const { key, doc, aliases = [], restart = false } = text
  return { kind: 'field', key, doc, aliases, restart, type, limit, preset, read, show }
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds of `1h30m`, `2.5s`, `0`; undefined when it is none. The notation of Go. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text) || text.length > 64) return undefined
  let total = 0
  for (const [, amount, , unit] of text.matchAll(/(\d+(\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * UNIT_MS[unit!]!
  }
  return Math.round(total)
}

export function showDuration(valueMs: number): string {
  if (valueMs === 0) return '0s'
  let rest = valueMs
  let text = ''
  for (const unit of ['h', 'm', 's', 'ms']) {
    const amount = Math.floor(rest / UNIT_MS[unit]!)
    if (amount > 0) text += `${amount}${unit}`
    rest -= amount * UNIT_MS[unit]!
  }
  return text
}

function quote(value: unknown): string {
  return JSON.stringify(typeof value === 'string' ? value.slice(0, 100) : value)
}

function textOf({ value }: Located): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

/** The same for what is no number: as it was written. */
function writtenOf(located: Located): string | undefined {
  return located.source ?? textOf(located)
}

export function duration(
  text: FieldText & {
    readonly presetMs: number
    readonly leastMs: number
    readonly mostMs: number
    readonly why?: string
  },
): Field<number> {
  const { presetMs, leastMs, mostMs, why } = text
  const limit = `${showDuration(leastMs)} to ${showDuration(mostMs)}${why === undefined ? '' : `: ${why}`}`
  const read: Read<number> = (value, report) => {
    const written = textOf(value)
    const durationMs = written === undefined ? undefined : parseDuration(written)
    if (durationMs === undefined) {
      report(
        `${quote(value.value)} is not a duration such as 15m or 1h30m (a number needs its unit)`,
      )
    } else if (durationMs < leastMs || durationMs > mostMs) {
      report(`${written} is outside of its limit, ${limit}`)
    }
    return durationMs ?? presetMs
  }
  return field(text, 'duration', limit, presetMs, read, showDuration)
}

export function count(
  text: FieldText & {
    readonly preset: number
    readonly least: number
    readonly most: number
    readonly why?: string
  },
): Field<number> {
  const { preset, least, most, why } = text
  const limit = `${least} to ${most}${why === undefined ? '' : `: ${why}`}`
  const read: Read<number> = (value, report) => {
    const written = textOf(value)
    const number =
      written !== undefined && /^-?\d{1,15}$/.test(written) ? Number(written) : Number.NaN
    if (Number.isNaN(number)) report(`${quote(value.value)} is not a whole number`)
    else if (number < least || number > most) report(`${number} is outside of its limit, ${limit}`)
    return number
  }
  return field(text, 'whole number', limit, preset, read, String)
}

export function fraction(text: FieldText & { readonly preset: number }): Field<number> {
  const read: Read<number> = (value, report) => {
    const number = Number(textOf(value) || Number.NaN)
    if (!(number > 0 && number <= 1)) report(`${quote(value.value)} is not above 0 and at most 1`)
    return number
  }
  return field(text, 'number', 'above 0, at most 1', text.preset, read, String)
}

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
}

function showBytes(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    if (bytes > 0 && bytes % UNIT_BYTES[unit]! === 0) return `${bytes / UNIT_BYTES[unit]!}${unit}`
  }
  return String(bytes)
}

export function bytes(
  text: FieldText & {
    readonly preset: number
    readonly least: number
    readonly most: number
    readonly why?: string
  },
): Field<number> {
  const { preset, least, most, why } = text
  const limit = `${showBytes(least)} to ${showBytes(most)}${why === undefined ? '' : `: ${why}`}`
  const read: Read<number> = (value, report) => {
    const match = /^(\d{1,15}(?:\.\d{1,6})?) ?(KiB|MiB|GiB|)$/.exec(textOf(value) ?? '')
    const size = match === null ? Number.NaN : Math.round(Number(match[1]) * UNIT_BYTES[match[2]!]!)
    if (Number.isNaN(size)) report(`${quote(value.value)} is not a size such as 512MiB or 2GiB`)
    else if (size !== preset && (size < least || size > most))
      report(`${quote(value.value)} is outside of its limit, ${limit}`)
    return size
  }
  return field(text, 'size', limit, preset, read, showBytes)
}

export function toggle(text: FieldText & { readonly preset: boolean }): Field<boolean> {
  const read: Read<boolean> = (value, report) => {
    const written = textOf(value)
    if (written !== 'true' && written !== 'false')
      report(`${quote(value.value)} is neither true nor false`)
    return written === 'true'
  }
  return field(text, 'true or false', 'true, false', text.preset, read, String)
}

export interface TextRule {
  readonly preset: string
  readonly limit: string
  /** Says what is wrong with it, or nothing. The empty text is always allowed. */
  check?(value: string): string | undefined
  /** Not shown when it is wrong: messages end in logs. */
  readonly secret?: boolean
}

export function text(rule: FieldText & TextRule): Field<string> {
  const read: Read<string> = (value, report) => {
    const written = writtenOf(value)
    const shown = rule.secret === true ? 'what is given' : quote(written ?? value.value)
    if (written === undefined) report(`${shown} is not a text`)
    else if (written.length > 4096) report('is longer than 4096 characters')
    else if (written !== '') {
      const wrong = rule.check?.(written)
      if (wrong !== undefined) report(`${shown} ${wrong}`)
    }
    return written ?? ''
  }
  return field(rule, 'text', rule.limit, rule.preset, read, JSON.stringify)
}

export function choice(
  text: FieldText & {
    readonly preset: string
    readonly among: readonly string[]
    readonly why?: string
  },
): Field<string> {
  const { among, why } = text
  const limit = `${among.join(', ')}${why === undefined ? '' : `: ${why}`}`
  const read: Read<string> = (value, report) => {
    const written = writtenOf(value) ?? ''
    if (!among.includes(written)) report(`${quote(value.value)} is none of ${limit}`)
    return written
  }
  return field(text, 'text', limit, text.preset, read, JSON.stringify)
}

/** The items of a YAML list, or of one text with commas between. */
function itemsOf(value: Located): readonly Located[] {
  if (Array.isArray(value.value)) return value.value as readonly Located[]
  const written = writtenOf(value)
  if (written === undefined) return [value]
  if (written === '') return []
  return written.split(',').map((part) => ({ value: part.trim(), at: value.at }))
}

export interface ListRule {
  readonly preset: readonly string[]
  readonly limit: string
  readonly item: string
  /** The item as it is kept, or undefined when it is none. */
  parse(value: string): string | undefined
  readonly least?: number
  readonly most: number
}

export function list(rule: FieldText & ListRule): Field<readonly string[]> {
  const read: Read<readonly string[]> = (value, report) => {
    const items = itemsOf(value)
    const { least = 0, most } = rule
    if (items.length < least || items.length > most) {
      report(`has ${items.length} items: ${least} to ${most} are allowed`)
      return []
    }
    return items.map((item) => {
      const parsed = rule.parse(writtenOf(item) ?? '\0')
      if (parsed === undefined) report(`${quote(item.value)} is not ${rule.item}`, item.at)
      return parsed ?? ''
    })
  }
  const show = (values: readonly string[]): string =>
    `[${values.map((one) => JSON.stringify(one)).join(', ')}]`
  return field(rule, 'list', rule.limit, rule.preset, read, show)
}

/** An address and a port to listen on. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/**
 * Endpoints of `host:port`. No host and `[::]` are all addresses of both families, as in Go; an IPv4 socket and an
 * IPv6 socket are opened for them.
 */
export function parseEndpoint(written: string): readonly Endpoint[] | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(written)
  if (match === null) return undefined
  const port = Number(match[3])
  if (port > 65_535) return undefined
  const host = match[1] ?? match[2]!
  if (host === '' || host === '::') {
    return [
      { address: '0.0.0.0', port },
      { address: '::', port },
    ]
  }
  if (host === 'localhost') {
    return [
      { address: '127.0.0.1', port },
      { address: '::1', port },
    ]
  }
  return parseAddress(host) === null ? undefined : [{ address: host, port }]
}

export function showEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

export interface EndpointRule extends FieldText {
  /** As written. */
  readonly preset: readonly string[]
}

/** Where to listen: one `host:port`, or a list of them; empty for nowhere. */
export function endpoints(rule: EndpointRule): Field<readonly string[]> {
  return list({
    ...rule,
    limit:
      'host:port with an IP address, localhost, or no host for all addresses; or a list; or empty for none',
    item: 'an IP address (or localhost, or nothing) and a port, such as 0.0.0.0:6969 or [::1]:6969',
    most: 64,
    parse: (value) => (parseEndpoint(value) === undefined ? undefined : value),
  })
}

/** The different endpoints that are meant. */
export function endpointsOf(written: readonly string[]): readonly Endpoint[] {
  const found = new Map<string, Endpoint>()
  for (const endpoint of written.flatMap((one) => parseEndpoint(one) ?? [])) {
    found.set(showEndpoint(endpoint), endpoint)
  }
  return [...found.values()]
}
