/**
 * Documents that are data: rendered from the code. `npm run documents` writes them, a test compares.
 */

import { type ErrorTable, SeedbedError } from '../../src/base/index.ts'
import { bencodeErrors } from '../../src/bencode/index.ts'
import { blockDeviceErrors } from '../../src/block-device/index.ts'
import { chunkStoreErrors } from '../../src/chunk-store/index.ts'
import { EXIT, EXIT_MEANINGS, exitCodeOf } from '../../src/cli/exit-codes.ts'
import { makeProgram } from '../../src/cli/program.ts'
import { engineErrors } from '../../src/engine/index.ts'
import { filesystemErrors } from '../../src/filesystem/index.ts'
import { metainfoErrors } from '../../src/metainfo/index.ts'
import { nodeErrors } from '../../src/node/index.ts'
import { peerStoreErrors } from '../../src/peer-store/index.ts'
import { plainFileErrors } from '../../src/plain-files/index.ts'
import { METRICS, renderReference, trackerErrors } from '../../src/tracker/index.ts'

export const ERROR_TABLES: Readonly<Record<string, ErrorTable>> = {
  'Bencode and metainfo': { ...bencodeErrors, ...metainfoErrors },
  'Block devices': blockDeviceErrors,
  Filesystem: filesystemErrors,
  'Folders of ordinary files': plainFileErrors,
  Engine: engineErrors,
  'Tracker and peer store': { ...trackerErrors, ...peerStoreErrors },
  'Node and commands': nodeErrors,
  'Chunk store': chunkStoreErrors,
}

/** Path below the repository to content. */
const PROGRAM = await makeProgram()

export const DOCUMENTS: Readonly<Record<string, () => string>> = {
  'docs/errors.md': renderErrors,
  'docs/cli.md': renderCommands,
  'docs/tracker-config.md': renderTrackerConfig,
  'docs/metrics.md': renderMetrics,
}

const NOTE = '<!-- Rendered from the code by `npm run documents`; a test compares. -->'

function renderErrors(): string {
  const lines = [
    '# Errors and exit statuses',
    '',
    NOTE,
    '',
    'Every error that a user can act on has a code. Codes are stable; messages may change. With `--json` an',
    'error is one object on stderr: `{"error":{"code","message","mend"}}`.',
    '',
    '## Exit statuses',
    '',
    '| status | meaning |',
    '| ---: | --- |',
    ...Object.entries(EXIT).map(
      ([name, status]) => `| ${status} | ${EXIT_MEANINGS[name as keyof typeof EXIT]} |`,
    ),
    '| 130, 143 | a second SIGINT or SIGTERM, or one that cut work short |',
    '',
    '`seedbed fsck` has the bits of fsck(8) instead: 0 clean, 1 mended, 4 problems left, 8 could not be',
    'checked, 16 usage.',
    '',
    '## Codes',
  ]
  for (const [title, table] of Object.entries(ERROR_TABLES)) {
    lines.push('', `### ${title}`, '', '| code | when | status |', '| --- | --- | ---: |')
    for (const [code, meaning] of Object.entries(table)) {
      lines.push(`| \`${code}\` | ${meaning} | ${exitCodeOf(new SeedbedError(code, ''))} |`)
    }
  }
  return `${lines.join('\n')}\n`
}

function renderCommands(): string {
  const program = PROGRAM.configureHelp({ helpWidth: 100 })
  const lines = ['# Commands', '', NOTE, '', '```text', program.helpInformation().trimEnd(), '```']
  for (const command of program.commands) {
    command.configureHelp({ helpWidth: 100 })
    lines.push('', `## seedbed ${command.name()}`, '')
    lines.push('```text', command.helpInformation().trimEnd(), '```')
  }
  return `${lines.join('\n')}\n`
}

function renderTrackerConfig(): string {
  const lines = [
    "# The tracker's configuration",
    '',
    NOTE,
    '',
    '`seedbed tracker --config F` reads YAML; `--check` only checks it, `--print-defaults` prints a file with every key and its',
    'default. The root is `tracker:`; a configuration of chihaya, whose root is `chihaya:`, runs as it is (there a front end without',
    '`addr` does not run; without any there are metrics only). Unknown keys and values outside of their limits are errors, each with file, line and column.',
    '`--check` also reads the files that are named, as the start does: lists, passkeys, certificate and key of `https_addr`; what is wrong with',
    'one is said with the place of its key. Key sets (`jwk_set_url`) it does not fetch.',
    '',
    '- Durations are numbers with units: `90s`, `15m`, `1h30m`. Sizes: `512MiB`, `2GiB`.',
    '- Addresses are `host:port`: an IP address, `localhost`, or nothing for all addresses. `[::]:6969` is all addresses too, of both',
    '  families, as in chihaya. IPv4 and IPv6 have sockets and swarms of their own.',
    '- The environment lies over the file: `SEEDBED_TRACKER__HTTP__ADDR=:80` is `tracker.http.addr`; lists have commas. With `_FILE` behind',
    '  the name the value is read from a file: `SEEDBED_TRACKER__UDP__PRIVATE_KEY_FILE=/run/secrets/key`.',
    '- SIGHUP (or SIGUSR1, as in chihaya) reads the file again. A file with mistakes changes nothing. Keys marked *(restart)* keep their value until the next',
    '  start, and are named. Sockets, connections and peers stay.',
    '',
    renderReference(),
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

function renderMetrics(): string {
  const lines = [
    '# Metrics of the tracker',
    '',
    NOTE,
    '',
    '`metrics_addr` in the [configuration](tracker-config.md) is where a tracker is seen from outside; keep it from the public.',
    '',
    '| path | what |',
    '| --- | --- |',
    '| `/metrics` | the text format 0.0.4 of Prometheus, or OpenMetrics 1.0 for who asks for it by `Accept` |',
    '| `/stats` | a page for who asks for HTML, JSON for the rest; `/stats.json` is always JSON ([json.md](json.md)) |',
    '| `/full-scrape`, `POST /reload` | for who holds `metrics_token`: every swarm, where `full_scrape.enable` is on; the configuration, lists and keys read again |',
    '| `/livez` | 200 while the process answers |',
    '| `/readyz` | 200 while it serves, 503 while it stops; `/healthz` is the same |',
    '',
    'Labels have values from fixed sets: never an info-hash, an address, or anything else that a client sent.',
    '`metrics_names: chihaya` gives the names of the last column instead, `both` gives all; there requests that are not timed count as',
    'taking no time, as in chihaya, and durations are milliseconds.',
    '',
    '| metric | type | labels | what | in chihaya |',
    '| --- | --- | --- | --- | --- |',
    ...METRICS.map(({ name, type, labels, help, chihaya }) => {
      const names = (chihaya ?? '')
        .split(', ')
        .map((one) => (/^chihaya_/.test(one) ? `\`${one}\`` : one))
      const shown = type === 'counter' ? `${name}_total` : name
      return `| \`${shown}\` | ${type} | ${labels} | ${help} | ${names.join(', ')} |`
    }),
  ]
  return `${lines.join('\n')}\n`
}
