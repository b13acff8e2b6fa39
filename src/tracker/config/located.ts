/**
 * YAML text as plain values that know where they stand (`file:line:column`), so that whatever is wrong with one can be
 * said with its place. Anchors work; a document that unfolds to too much is refused.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'

export type Scalar = string | number | boolean | null
export interface Located {
  readonly value: Scalar | readonly Located[] | ReadonlyMap<string, LocatedEntry>
  /** As it was written, where YAML took it for a number or a truth: a hash or a secret of digits alone is a text. */
  readonly source?: string
  /** Where it was written: `file:line:column`, or the name of an environment variable. */
  readonly at: string
}
export interface LocatedEntry {
  readonly keyAt: string
  readonly value: Located
}

export type Report = (at: string, text: string) => void

const MAX_DEPTH = 32
const MAX_NODES = 1_000_000

/** The document; null when it is empty or has problems, which are reported. */
export function parseLocated(text: string, file: string, report: Report): Located | null {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    logLevel: 'silent',
  })
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${Math.max(1, line)}:${Math.max(1, col)}`
  }
  const wrong = [...document.errors, ...document.warnings]
  for (const error of wrong) report(place(error.pos[0]), error.message)
  if (wrong.length > 0 || document.contents === null) return null
  const walker = new Walker(document, place, report)
  return walker.locate(document.contents, 0)
}

class Walker {
  readonly #document: Document
  readonly #place: (offset: number) => string
  readonly #report: Report
  #left = MAX_NODES

  constructor(document: Document, place: (offset: number) => string, report: Report) {
    this.#document = document
    this.#place = place
    this.#report = report
  }

  locate(node: unknown, depth: number): Located {
    const at = this.#place(startOf(node))
    const nothing = { value: null, at }
    if (depth > MAX_DEPTH || this.#left-- <= 0) {
      if (this.#left > -2) this.#report(at, 'nested too deeply, or unfolds to too many values')
      this.#left = -2
      return nothing
    }
    if (isAlias(node)) return this.locate(node.resolve(this.#document), depth + 1)
    if (isScalar(node)) {
      const { value } = node
      // What YAML took for a number or a date may be a name: the text decides, in the field that reads it.
      if (typeof value === 'number' && node.source !== undefined && !/^-?\d/.test(node.source)) {
        return { value: node.source, at }
      }
      if (typeof value === 'number' || typeof value === 'boolean') {
        return { value, at, source: node.source ?? String(value) }
      }
      return { value: isPlain(value) ? value : String(value), at }
    }
    if (isSeq(node)) return { value: node.items.map((item) => this.locate(item, depth + 1)), at }
    if (!isMap(node)) return nothing
    const entries = new Map<string, LocatedEntry>()
    for (const pair of node.items) {
      const keyAt = this.#place(startOf(pair.key))
      const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key)
      const value =
        pair.value === null ? { value: null, at: keyAt } : this.locate(pair.value, depth + 1)
      entries.set(key, { keyAt, value })
    }
    return { value: entries, at }
  }
}

function startOf(node: unknown): number {
  const { range } = (node ?? {}) as { range?: readonly number[] | null }
  return range?.[0] ?? 0
}

function isPlain(value: unknown): value is Scalar {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}

/** Lays `value` over `tree` at `path`: maps are made where there are none. */
export function overlay(
  tree: Located | null,
  path: readonly string[],
  value: string,
  at: string,
): Located {
  if (path.length === 0) return { value, at }
  const [key, ...rest] = path
  const entries = new Map(tree !== null && tree.value instanceof Map ? tree.value : [])
  const below = overlay(entries.get(key!)?.value ?? null, rest, value, at)
  entries.set(key!, { keyAt: at, value: below })
  return { value: entries, at: tree?.at ?? at }
}

/** Where the value at `path` (keys, and places in lists) was written; for what was not, the nearest above it, or `otherwise`. */
export function placeOf(
  tree: Located | null,
  path: readonly (string | number)[],
  otherwise: string,
): string {
  if (tree === null) return otherwise
  const [first, ...rest] = path
  const { value, at } = tree
  if (typeof first === 'number' && Array.isArray(value)) {
    return placeOf((value as readonly Located[])[first] ?? null, rest, at)
  }
  if (typeof first === 'string' && value instanceof Map) {
    return placeOf((value as ReadonlyMap<string, LocatedEntry>).get(first)?.value ?? null, rest, at)
  }
  return at
}
