/**
 * From YAML and environment to a configuration, or to all that is wrong with them.
 *
 *     file   root `tracker:`, or `chihaya:` as chihaya has it
 *     env    SEEDBED_TRACKER__HTTP__ADDR=…   lies over tracker.http.addr; …__PRIVATE_KEY_FILE=… reads the value from a file
 *
 * Under `chihaya:` a front end without `addr` does not run, as there, nor does signalling unless it is said; all else is the same.
 */
import { readFileSync } from 'node:fs'
import type { SeedbedError } from '../../base/index.ts'
import { trackerError, unreadable } from '../errors.ts'
import {
  type Located,
  type LocatedEntry,
  overlay,
  parseLocated,
  placeOf,
  type Report,
} from './located.ts'
import { type AnyMember, membersOf, presetOf, type Reports, readSection } from './schema.ts'
import { type TrackerConfig, trackerSchema } from './settings.ts'

export const ENVIRONMENT_PREFIX = 'SEEDBED_TRACKER__'
const MAX_VALUE_FILE_BYTES = 65_536
const LISTED_PROBLEMS = 20

export interface LoadedConfig {
  readonly config: TrackerConfig
  /** What was taken but does not do what its writer may expect: `place: what`. */
  readonly notices: readonly string[]
  /** `tracker`, or `chihaya`. */
  readonly root: string
  /** Where the value at a path below the root was written: `file:line:column`, or the name of an environment variable. */
  placeOf(...path: readonly (string | number)[]): string
}

export interface ConfigSource {
  /** Absent: defaults, and the environment. */
  readonly text?: string
  /** For messages. */
  readonly file?: string
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/** Reads the file as it is now. Throws TRACKER_CONFIG_UNREADABLE or TRACKER_CONFIG. */
export function loadConfigFile(
  file: string,
  environment: ConfigSource['environment'] = {},
): LoadedConfig {
  return loadConfig({ text: readText(file), file, environment })
}

/** Throws TRACKER_CONFIG with a line `file:line:column: key: what is wrong` for each mistake. */
export function loadConfig(source: ConfigSource): LoadedConfig {
  const { text = '', file = 'configuration', environment = {} } = source
  const problems: string[] = []
  const notices: string[] = []
  const reports: Reports = {
    problem: (at, what) => problems.push(`${at}: ${what}`),
    notice: (at, what) => notices.push(`${at}: ${what}`),
  }
  const document = parseLocated(text, file, reports.problem)
  let { root, name } =
    problems.length > 0 ? { root: null, name: 'tracker' } : rootOf(document, reports)
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith(ENVIRONMENT_PREFIX) || value === undefined) continue
    root = layOver(root, variable, value, reports.problem)
  }
  const presets = name === 'chihaya' ? withoutFrontEnds() : presetOf(trackerSchema)
  const config = root === null ? presets : readSection(trackerSchema, root, name, reports, presets)
  if (problems.length === 0) checkTogether(config, root?.at ?? file, reports)
  if (problems.length > 0) throw mistakes(problems)
  const tree = root
  return { config, notices, root: name, placeOf: (...path) => placeOf(tree, path, file) }
}

/** TRACKER_CONFIG of all of `problems`, a line each. */
export function mistakes(
  problems: readonly string[],
  mend = 'docs/tracker-config.md lists every key; `seedbed tracker --print-defaults` prints them all.',
): SeedbedError {
  const listed = problems.slice(0, LISTED_PROBLEMS)
  if (problems.length > listed.length) listed.push(`and ${problems.length - listed.length} more`)
  return trackerError('TRACKER_CONFIG', listed.join('\n'), { mend })
}

function rootOf(
  document: Located | null,
  reports: Reports,
): { root: Located | null; name: string } {
  const nothing = { root: null, name: 'tracker' }
  if (document === null || document.value === null) return nothing
  const entries =
    document.value instanceof Map ? (document.value as ReadonlyMap<string, LocatedEntry>) : null
  if (entries === null) {
    reports.problem(document.at, 'a configuration is a map with the key tracker (or chihaya)')
    return nothing
  }
  for (const [key, entry] of entries) {
    if (key !== 'tracker' && key !== 'chihaya') {
      reports.problem(
        entry.keyAt,
        `${key} is not a key of this configuration: all of it is below tracker (or chihaya)`,
      )
    }
  }
  const [own, other] = [entries.get('tracker'), entries.get('chihaya')]
  if (own !== undefined && other !== undefined) {
    reports.problem(other.keyAt, 'there is tracker already: one of the two')
  }
  return own === undefined && other !== undefined
    ? { root: other.value, name: 'chihaya' }
    : { root: own?.value ?? null, name: 'tracker' }
}

function withoutFrontEnds(): TrackerConfig {
  const { http, udp, websocket, ...rest } = presetOf(trackerSchema)
  return {
    ...rest,
    http: { ...http, addr: [] },
    udp: { ...udp, addr: [] },
    websocket: { ...websocket, enabled: false },
  }
}

/** `SEEDBED_TRACKER__A__B=value` as a.b: value. */
function layOver(
  root: Located | null,
  variable: string,
  value: string,
  problem: Report,
): Located | null {
  const path = variable.slice(ENVIRONMENT_PREFIX.length).toLowerCase().split('__')
  const last = path.at(-1)!
  if (last.endsWith('_file') && memberAt(path) === undefined) {
    const target = [...path.slice(0, -1), last.slice(0, -'_file'.length)]
    if (memberAt(target)?.kind === 'field') {
      try {
        return overlay(root, target, readText(value, MAX_VALUE_FILE_BYTES).trim(), variable)
      } catch (error) {
        problem(variable, (error as Error).message)
        return root
      }
    }
  }
  return overlay(root, path, value, variable)
}

function memberAt(path: readonly string[]): AnyMember | undefined {
  let member: AnyMember | undefined = trackerSchema as unknown as AnyMember
  for (const key of path) {
    if (member?.kind !== 'section') return undefined
    member = membersOf(member)
      .map(([, one]) => one)
      .find((one) => one.key === key)
  }
  return member
}

export function readText(file: string, mostBytes: number = 64 * 2 ** 20): string {
  try {
    const bytes = readFileSync(file)
    if (bytes.length > mostBytes)
      throw new Error(`it has ${bytes.length} bytes, at most ${mostBytes} are read`)
    return bytes.toString('utf8')
  } catch (cause) {
    throw unreadable(file, cause)
  }
}

/** What no field can see by itself. */
function checkTogether(config: TrackerConfig, at: string, reports: Reports): void {
  const { announceIntervalMs, minAnnounceIntervalMs, storage, http, udp } = config
  if (minAnnounceIntervalMs > announceIntervalMs) {
    reports.problem(at, 'min_announce_interval is longer than announce_interval')
  }
  if (storage.config.peerLifetimeMs <= announceIntervalMs) {
    reports.problem(
      at,
      'storage.config.peer_lifetime is not longer than announce_interval: peers would be dropped before they announce again',
    )
  }
  const keyed = http.announceRoutes.some((route) => /\/:/.test(route))
  if (config.prehooks.some((hook) => hook.name === 'passkey') && !keyed) {
    reports.problem(
      at,
      'the hook passkey needs a route with a parameter, such as /:passkey/announce, in http.announce_routes',
    )
  }
  if (http.httpsAddr.length > 0 && (http.tlsCertPath === '' || http.tlsKeyPath === '')) {
    reports.problem(at, 'http.https_addr needs http.tls_cert_path and http.tls_key_path')
  }
  if (http.addr.length === 0 && http.httpsAddr.length === 0 && udp.addr.length === 0) {
    const none = 'none of http.addr, http.https_addr and udp.addr is set'
    // As in chihaya, whose shorter examples are like that.
    if (config.metricsAddr.length > 0) reports.notice(at, `${none}: there are metrics only`)
    else reports.problem(at, `${none}: there is nothing to run`)
  }
}
