/**
 * Documents that are data: rendered from the code. `npm run documents` writes them, a test compares.
 */

import { type ErrorTable, SeedbedError } from '../../src/base/index.ts'
import { bencodeErrors } from '../../src/bencode/index.ts'
import { blockDeviceErrors } from '../../src/block-device/index.ts'
import { EXIT, EXIT_MEANINGS, exitCodeOf } from '../../src/cli/exit-codes.ts'
import { makeProgram } from '../../src/cli/program.ts'
import { engineErrors } from '../../src/engine/index.ts'
import { filesystemErrors } from '../../src/filesystem/index.ts'
import { metainfoErrors } from '../../src/metainfo/index.ts'
import { nodeErrors } from '../../src/node/index.ts'
import { peerStoreErrors } from '../../src/peer-store/index.ts'
import { trackerErrors } from '../../src/tracker/index.ts'

export const ERROR_TABLES: Readonly<Record<string, ErrorTable>> = {
  'Bencode and metainfo': { ...bencodeErrors, ...metainfoErrors },
  'Block devices': blockDeviceErrors,
  Filesystem: filesystemErrors,
  Engine: engineErrors,
  'Tracker and peer store': { ...trackerErrors, ...peerStoreErrors },
  'Node and commands': nodeErrors,
}

/** Path below the repository to content. */
export const DOCUMENTS: Readonly<Record<string, () => string>> = {
  'docs/errors.md': renderErrors,
  'docs/cli.md': renderCommands,
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
  const program = makeProgram().configureHelp({ helpWidth: 100 })
  const lines = ['# Commands', '', NOTE, '', '```text', program.helpInformation().trimEnd(), '```']
  for (const command of program.commands) {
    command.configureHelp({ helpWidth: 100 })
    lines.push('', `## seedbed ${command.name()}`, '')
    lines.push('```text', command.helpInformation().trimEnd(), '```')
  }
  return `${lines.join('\n')}\n`
}
