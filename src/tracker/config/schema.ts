/**
 * A configuration's shape as data: what is read, checked, printed with comments, and rendered as a reference page
 * all come from one table of fields, so they cannot say different things.
 *
 *     Section<T>   key, one sentence, and a Field or Section for every property of T
 *     Field<T>     key, one sentence, type, limit, preset; reads a Located value, shows one as YAML
 *
 * Invariant: what is not in the table is an error. Nothing is ignored without a word.
 */
import type { Located, LocatedEntry, Report } from './located.ts'

export interface Field<T> {
  readonly kind: 'field'
  /** As written in YAML. */
  readonly key: string
  /** Older names of the same key. */
  readonly aliases: readonly string[]
  /** What it does, in one or two sentences. */
  readonly doc: string
  readonly type: string
  /** What is allowed, and why. */
  readonly limit: string
  readonly preset: T
  /** A running tracker cannot take a new value. */
  readonly restart: boolean
  /** Returns the value, or reports what is wrong with it and returns anything of the type. */
  read(value: Located, report: (text: string, at?: string) => void): T
  /** YAML of a value, on one line. */
  show(value: T): string
}

export type Fields<T> = { readonly [K in keyof T]-?: Field<T[K]> | Section<T[K]> }

export interface Section<T> {
  readonly kind: 'section'
  readonly key: string
  readonly doc: string
  readonly fields: Fields<T>
  /** Keys of other trackers that are taken and have no effect here: why. */
  readonly inert?: Readonly<Record<string, string>>
}

export type AnyField = Field<unknown>
export type AnySection = Section<Record<string, unknown>>
export type AnyMember = AnyField | AnySection

/** The members of a section, with the names of their properties. */
export function membersOf<T>(section: Section<T>): readonly (readonly [string, AnyMember])[] {
  return Object.entries(section.fields) as unknown as readonly (readonly [string, AnyMember])[]
}

/** What a section is when nothing is said. */
export function presetOf<T>(section: Section<T>): T {
  const values = membersOf(section).map(([name, member]) => [
    name,
    member.kind === 'field' ? member.preset : presetOf(member),
  ])
  return Object.fromEntries(values) as T
}

export interface Reports {
  readonly problem: Report
  readonly notice: Report
}

/** Reads a section over `presets`; every problem is reported, with its place. */
export function readSection<T>(
  section: Section<T>,
  value: Located,
  path: string,
  reports: Reports,
  presets: T = presetOf(section),
): T {
  const result = { ...presets } as Record<string, unknown>
  if (value.value === null) return presets
  if (!(value.value instanceof Map)) {
    reports.problem(value.at, `${path} must be a map of keys and values`)
    return presets
  }
  const entries = value.value as ReadonlyMap<string, LocatedEntry>
  const members = new Map<string, readonly [string, AnyMember]>()
  for (const [name, member] of membersOf(section)) {
    members.set(member.key, [name, member])
    if (member.kind === 'field') for (const key of member.aliases) members.set(key, [name, member])
  }
  const seen = new Map<string, string>()
  for (const [key, entry] of entries) {
    const keyPath = path === '' ? key : `${path}.${key}`
    const inert = section.inert?.[key]
    if (inert !== undefined) {
      reports.notice(entry.keyAt, `${keyPath} has no effect: ${inert}`)
      continue
    }
    const found = members.get(key)
    if (found === undefined) {
      const near = nearest(key, [...members.keys()])
      const hint = near === undefined ? '' : `; did you mean ${near}?`
      reports.problem(entry.keyAt, `${keyPath} is not a key of this configuration${hint}`)
      continue
    }
    const [name, member] = found
    const other = seen.get(name)
    if (other !== undefined) reports.problem(entry.keyAt, `${keyPath} says the same as ${other}`)
    seen.set(name, key)
    if (member.kind === 'section') {
      result[name] = readSection(member, entry.value, keyPath, reports, result[name] as never)
    } else if (entry.value.value !== null) {
      result[name] = member.read(entry.value, (text, at = entry.value.at) =>
        reports.problem(at, `${keyPath}: ${text}`),
      )
    }
  }
  return result as T
}

/** The key that differs least, if it differs little. */
function nearest(key: string, keys: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.min(4, Math.ceil(key.length / 3) + 1)
  for (const candidate of keys) {
    const difference = editDistance(key.slice(0, 64).toLowerCase(), candidate)
    if (difference >= least) continue
    least = difference
    best = candidate
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** Paths of the fields that differ and cannot change while the tracker runs. */
export function needRestart<T>(section: Section<T>, before: T, after: T, path: string): string[] {
  const found: string[] = []
  for (const [name, member] of membersOf(section)) {
    const was = (before as Record<string, unknown>)[name]
    const is = (after as Record<string, unknown>)[name]
    const keyPath = `${path}.${member.key}`
    if (member.kind === 'section')
      found.push(...needRestart(member, was as never, is as never, keyPath))
    else if (member.restart && member.show(was) !== member.show(is)) found.push(keyPath)
  }
  return found
}

/** `after`, but with the values of `before` where a restart would be needed. */
export function keepUnchangeable<T>(section: Section<T>, before: T, after: T): T {
  const values = membersOf(section).map(([name, member]) => {
    const was = (before as Record<string, unknown>)[name]
    const is = (after as Record<string, unknown>)[name]
    if (member.kind === 'section')
      return [name, keepUnchangeable(member, was as never, is as never)]
    return [name, member.restart ? was : is]
  })
  return Object.fromEntries(values) as T
}
