/** Hooks in the configuration: a list of `name` and `options`, with chihaya's names and options. */
import type { AccountingOptions } from '../hooks/accounting.ts'
import type { ClientApprovalOptions, IntervalVariationOptions } from '../hooks/hook-share.ts'
import type { JwtOptions } from '../hooks/jwt.ts'
import type { PasskeyOptions } from '../hooks/passkey.ts'
import type { TorrentApprovalOptions } from '../hooks/torrent-approval.ts'
import { bytes, count, duration, fraction, list, text, toggle } from './fields.ts'
import type { Located, LocatedEntry, Report } from './located.ts'
import { type AnySection, type Field, presetOf, readSection, type Section } from './schema.ts'

export type HookConfig =
  | { readonly name: 'jwt'; readonly options: JwtOptions }
  | { readonly name: 'client approval'; readonly options: ClientApprovalOptions }
  | { readonly name: 'torrent approval'; readonly options: TorrentApprovalOptions }
  | { readonly name: 'interval variation'; readonly options: IntervalVariationOptions }
  | { readonly name: 'passkey'; readonly options: PasskeyOptions }
  | { readonly name: 'accounting'; readonly options: AccountingOptions }

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

const passkey: Section<PasskeyOptions> = {
  kind: 'section',
  key: 'passkey',
  doc: 'The private mode: announces come to a path with a key, so `announce_routes` must have a parameter (`/:passkey/announce`); over UDP the path comes in the URL data of BEP 41. Keys are in a file, which is read again when it changes. Scrapes need a key too (`/:passkey/scrape` in `scrape_routes`); over UDP, where they have no path, there are none.',
  fields: {
    file: text({
      key: 'file',
      preset: '',
      limit:
        'a path; must be given. A line has a key (8 to 128 letters, digits, - and _) and, if there is one, the name of its owner',
      doc: 'The keys.',
    }),
  },
}

const accounting: Section<AccountingOptions> = {
  kind: 'section',
  key: 'accounting',
  doc: 'An append-only log, a line of JSON an announce: `time`, `owner` (of the passkey), `infoHash`, `peerId`, `event`, `uploaded` and `downloaded` since the announce before, `leftChange`, `left`, and `unknown` when nothing was known before; numbers are below 2^53. Belongs to posthooks.',
  fields: {
    file: text({
      key: 'file',
      preset: '',
      limit: 'a path; must be given',
      doc: 'The log. It is opened for every write, once a second, so it can be moved away.',
    }),
    memoryBytes: bytes({
      key: 'memory',
      preset: 16 * 2 ** 20,
      least: 64 * 2 ** 10,
      most: 4 * 2 ** 30,
      doc: 'For what clients said last, 36 bytes each. Beyond it those longest not heard of are forgotten.',
    }),
  },
}

/** Those that run behind an answer; all others run before it. */
const AFTER: ReadonlySet<string> = new Set(['accounting'])

/** Sections of options by the name of the hook. */
export const hookSections: ReadonlyMap<string, AnySection> = new Map(
  [jwt, clientApproval, torrentApproval, intervalVariation, passkey, accounting].map((section) => [
    section.key,
    section as unknown as AnySection,
  ]),
)

const MAX_HOOKS = 64

/** The list of hooks that run before an answer. */
export function prehooks(): Field<readonly HookConfig[]> {
  return hooks(
    'prehooks',
    'Hooks that run on every announce before it is answered, in this order.',
    (name) => !AFTER.has(name),
    'runs after the answer: it belongs to posthooks',
  )
}

/** The list of hooks that run after an answer. None of chihaya's does anything there. */
export function posthooks(): Field<readonly HookConfig[]> {
  return hooks(
    'posthooks',
    'Hooks that run on every announce after it was answered, in this order.',
    (name) => AFTER.has(name),
    'belongs to prehooks: after an answer nothing can be refused or changed',
  )
}

function hooks(
  key: string,
  doc: string,
  fits: (name: string) => boolean,
  misplaced: string,
): Field<readonly HookConfig[]> {
  return {
    kind: 'field',
    key,
    aliases: [],
    doc,
    type: 'list',
    limit: `name and options each: ${[...hookSections.keys()].filter(fits).join(', ')}`,
    preset: [],
    restart: false,
    read: (value, report) => {
      if (!Array.isArray(value.value)) report('must be a list of hooks, each with name and options')
      const items = Array.isArray(value.value) ? (value.value as readonly Located[]) : []
      if (items.length > MAX_HOOKS)
        report(`has ${items.length} hooks: at most ${MAX_HOOKS} are allowed`)
      return items.flatMap((item) => {
        const hook = readHook(item, (at, what) => report(what, at))
        if (hook !== undefined && !fits(hook.name)) report(`${hook.name} ${misplaced}`, item.at)
        return hook ?? []
      })
    },
    show: (value) => JSON.stringify(value),
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
  if (AFTER.has(name) || name === 'passkey')
    return options.file === '' ? 'file must be given' : undefined
  if (!name.endsWith('approval')) return undefined
  const lists = Object.values(options).filter((value) => (value as { length: number }).length > 0)
  if (lists.length === 1) return undefined
  return lists.length === 0 ? 'a list must be given' : 'only one list can be given'
}
