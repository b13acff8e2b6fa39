/** Hooks in the configuration: a list of `name` and `options`, with chihaya's names and options. */
import type { ClientApprovalOptions } from '../hooks/client-approval.ts'
import type { IntervalVariationOptions } from '../hooks/interval-variation.ts'
import type { JwtOptions } from '../hooks/jwt.ts'
import type { TorrentApprovalOptions } from '../hooks/torrent-approval.ts'
import { count, duration, fraction, list, text, toggle } from './fields.ts'
import type { Located, LocatedEntry, Report } from './located.ts'
import { type AnySection, type Field, presetOf, readSection, type Section } from './schema.ts'

export type HookConfig =
  | { readonly name: 'jwt'; readonly options: JwtOptions }
  | { readonly name: 'client approval'; readonly options: ClientApprovalOptions }
  | { readonly name: 'torrent approval'; readonly options: TorrentApprovalOptions }
  | { readonly name: 'interval variation'; readonly options: IntervalVariationOptions }

const MINUTE_MS = 60_000

const required = (key: string, doc: string, limit = 'must be given'): Field<string> =>
  text({ key, doc, preset: '', limit })

const jwt: Section<JwtOptions> = {
  kind: 'section',
  key: 'jwt',
  doc: 'Announces must carry a JSON Web Token in the parameter `jwt` (over UDP in the URL data of BEP 41), signed with RS256 or ES256 by a key of the set, for this issuer, audience and info-hash (claim `infohash`), within `nbf` and `exp`.',
  fields: {
    issuer: required('issuer', 'What the claim `iss` must be.'),
    audience: required('audience', 'What the claim `aud` must be or hold.'),
    jwkSetUrl: text({
      key: 'jwk_set_url',
      doc: 'Where the JSON Web Key Set is published. The tracker does not start without it.',
      preset: '',
      limit: 'a URL, http or https; must be given',
      check: (value) =>
        /^https?:\/\/[^\s]+$/.test(value) ? undefined : 'is not a URL of http or https',
    }),
    updateIntervalMs: duration({
      key: 'jwk_set_update_interval',
      presetMs: 5 * MINUTE_MS,
      leastMs: 1000,
      mostMs: 24 * 60 * MINUTE_MS,
      doc: 'How often the set is fetched again. When that fails the keys before stay.',
    }),
  },
}

const clients = (key: string, doc: string): Field<readonly string[]> =>
  list({
    key,
    doc,
    preset: [],
    limit: 'six bytes each: those of a peer id behind the dash, or its first',
    item: 'six ASCII characters of a peer id, such as TR3000',
    most: 10_000,
    parse: (value) => (/^[\x20-\x7e]{6}$/.test(value) ? value : undefined),
  })

const clientApproval: Section<ClientApprovalOptions> = {
  kind: 'section',
  key: 'client approval',
  doc: 'Only clients of a list, or all but those. One of the two lists.',
  fields: {
    whitelist: clients('whitelist', 'The clients that may announce.'),
    blacklist: clients('blacklist', 'The clients that may not.'),
  },
}

const hashes = (key: string, doc: string): Field<readonly string[]> =>
  list({
    key,
    doc,
    preset: [],
    limit: '40 hexadecimal digits each; for many use a file',
    item: 'an info-hash of 40 hexadecimal digits',
    most: 100_000,
    parse: (value) => (/^[0-9a-f]{40}$/i.test(value) ? value.toLowerCase() : undefined),
  })

const hashFile = (key: string, doc: string): Field<string> =>
  text({ key, doc, preset: '', limit: 'a path; 40 hexadecimal digits a line, # begins a comment' })

const torrentApproval: Section<TorrentApprovalOptions> = {
  kind: 'section',
  key: 'torrent approval',
  doc: 'Only torrents of a list, or all but those. One of the four. A file may have millions of lines; it is read again when it changes (looked at every 5 s, and on SIGHUP), without a pause, and only if it has no mistake.',
  fields: {
    whitelist: hashes('whitelist', 'The torrents that may be announced.'),
    blacklist: hashes('blacklist', 'The torrents that may not.'),
    whitelistFile: hashFile('whitelist_file', 'A file of torrents that may be announced.'),
    blacklistFile: hashFile('blacklist_file', 'A file of torrents that may not.'),
  },
}

const intervalVariation: Section<IntervalVariationOptions> = {
  kind: 'section',
  key: 'interval variation',
  doc: 'Lengthens the interval of some answers, so that clients that came together do not come back together.',
  fields: {
    probability: fraction({
      key: 'modify_response_probability',
      preset: 1,
      doc: 'How many of the answers are changed.',
    }),
    maxIncreaseSeconds: count({
      key: 'max_increase_delta',
      preset: 60,
      least: 1,
      most: 86_400,
      doc: 'Seconds added at most; at least one is.',
    }),
    modifyMinInterval: toggle({
      key: 'modify_min_interval',
      preset: false,
      doc: 'Lengthen the minimum interval too.',
    }),
  },
}

/** Sections of options by the name of the hook. */
export const hookSections: ReadonlyMap<string, AnySection> = new Map(
  [jwt, clientApproval, torrentApproval, intervalVariation].map((section) => [
    section.key,
    section as unknown as AnySection,
  ]),
)

const MAX_HOOKS = 64

/** The list of hooks that run before an answer. */
export function prehooks(): Field<readonly HookConfig[]> {
  return {
    kind: 'field',
    key: 'prehooks',
    aliases: [],
    doc: 'Hooks that run on every announce before it is answered, in this order: approval, tokens, intervals.',
    type: 'list',
    limit: `name and options each: ${[...hookSections.keys()].join(', ')}`,
    preset: [],
    restart: false,
    read: (value, report) => {
      if (!Array.isArray(value.value)) report('must be a list of hooks, each with name and options')
      const items = Array.isArray(value.value) ? (value.value as readonly Located[]) : []
      if (items.length > MAX_HOOKS)
        report(`has ${items.length} hooks: at most ${MAX_HOOKS} are allowed`)
      return items.flatMap((item) => readHook(item, (at, what) => report(what, at)) ?? [])
    },
    show: (hooks) => JSON.stringify(hooks),
  }
}

/** Hooks that run after an answer. None of chihaya's does anything there. */
export function posthooks(): Field<readonly HookConfig[]> {
  return {
    ...prehooks(),
    key: 'posthooks',
    doc: "Hooks that run after an answer. There is none yet: all of chihaya's refuse or change an answer, and belong to prehooks.",
    limit: 'empty',
    read: (value, report) => {
      if (!Array.isArray(value.value) || value.value.length > 0) {
        report('after an answer nothing can be refused or changed: these hooks belong to prehooks')
      }
      return []
    },
  }
}

function readHook(item: Located, problem: Report): HookConfig | undefined {
  if (!(item.value instanceof Map)) {
    problem(item.at, 'a hook is a map with name and options')
    return undefined
  }
  const entries = item.value as ReadonlyMap<string, LocatedEntry>
  for (const [key, entry] of entries) {
    // `config` is what older versions of chihaya call it.
    if (!['name', 'options', 'config'].includes(key)) {
      problem(entry.keyAt, `${key} is not a key of a hook: name, options`)
    }
  }
  const nameEntry = entries.get('name')
  const name = String(nameEntry?.value.value ?? '')
  const section = hookSections.get(name)
  if (section === undefined) {
    const known = [...hookSections.keys()].join(', ')
    problem(
      nameEntry?.value.at ?? item.at,
      `${JSON.stringify(name.slice(0, 100))} is none of the hooks: ${known}`,
    )
    return undefined
  }
  const given = (entries.get('options') ?? entries.get('config'))?.value
  const reports = { problem, notice: problem }
  const options =
    given === undefined ? presetOf(section) : readSection(section, given, name, reports)
  const wrong = missing(name, options)
  if (wrong !== undefined) problem(given?.at ?? item.at, `${name}: ${wrong}`)
  return { name, options } as unknown as HookConfig
}

/** What no option can see by itself. */
function missing(name: string, options: Record<string, unknown>): string | undefined {
  if (name === 'jwt') {
    const empty = [
      ['issuer', options.issuer],
      ['audience', options.audience],
      ['jwk_set_url', options.jwkSetUrl],
    ].filter(([, value]) => value === '')
    return empty.length === 0 ? undefined : `${empty.map(([key]) => key).join(', ')} must be given`
  }
  if (!name.endsWith('approval')) return undefined
  const lists = Object.values(options).filter((value) => (value as { length: number }).length > 0)
  if (lists.length === 1) return undefined
  return lists.length === 0 ? 'a list must be given' : 'only one list can be given'
}
