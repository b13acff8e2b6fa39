/** The configuration for people: commented defaults in YAML, and the reference page in Markdown. */
import { hookSections } from './hook-settings.ts'
import { ENVIRONMENT_PREFIX } from './load.ts'
import { type AnyMember, type AnySection, membersOf } from './schema.ts'
import { trackerSchema } from './settings.ts'

const COMMENT_WIDTH = 96
const root = trackerSchema as unknown as AnySection

/** Every key with its default, what it does and what it may be; parses to the defaults. */
export function renderDefaults(): string {
  const lines = [
    '# The configuration of `seedbed tracker`, with every key at its default: keep what differs.',
    '# Sizes as 512MiB, durations as 1h30m. SIGHUP reads the file again; keys marked (restart) wait for a restart.',
    `# ${ENVIRONMENT_PREFIX}HTTP__ADDR=… in the environment lies over tracker.http.addr, and so on.`,
    'tracker:',
    ...membersOf(root).flatMap(([, member]) => yamlOf(member, '  ')),
  ]
  return `${lines.join('\n')}\n`
}

function yamlOf(member: AnyMember, indent: string): string[] {
  if (member.kind === 'section') {
    return [
      '',
      ...comment(member.doc, indent),
      `${indent}${member.key}:`,
      ...membersOf(member).flatMap(([, below]) => yamlOf(below, `${indent}  `)),
    ]
  }
  const restart = member.restart ? ' (restart)' : ''
  return [
    ...comment(`${member.doc} [${member.limit}]${restart}`, indent),
    `${indent}${member.key}: ${member.show(member.preset)}`,
  ]
}

function comment(text: string, indent: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + word.length + 3 > COMMENT_WIDTH) {
      lines.push(`${indent}# ${line}`)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, `${indent}# ${line}`]
}

/** Tables for docs/tracker-config.md, one a section. */
export function renderReference(): string {
  const lines: string[] = []
  section(root, root.key, lines)
  lines.push(
    '## Hooks',
    '',
    '```yaml',
    'tracker:',
    '  prehooks:',
    '    - name: torrent approval',
    '      options:',
    '        whitelist_file: /etc/seedbed/torrents',
    '    - name: interval variation',
    '      options: {modify_response_probability: 0.2, max_increase_delta: 60}',
    '```',
    '',
    'A private tracker:',
    '',
    '```yaml',
    'tracker:',
    '  http: {announce_routes: ["/:passkey/announce"], scrape_routes: ["/:passkey/scrape"]}',
    '  prehooks: [{name: passkey, options: {file: /etc/seedbed/passkeys}}]',
    '  posthooks: [{name: accounting, options: {file: /var/log/seedbed/accounting}}]',
    '```',
    '',
    'They run in this order on every announce (on scrapes only `passkey` does); the first that refuses ends it, in the words of chihaya.',
    '',
  )
  for (const [name, hook] of hookSections) section(hook, name, lines)
  return lines.join('\n')
}

function section(at: AnySection, path: string, lines: string[]): void {
  lines.push(
    `## \`${path}\``,
    '',
    at.doc,
    '',
    '| key | default | what | limits |',
    '| --- | --- | --- | --- |',
  )
  const members = membersOf(at).map(([, member]) => member)
  for (const member of members) {
    if (member.kind === 'section') continue
    const older = member.aliases.length === 0 ? '' : ` (also \`${member.aliases.join('`, `')}\`)`
    const restart = member.restart ? ' *(restart)*' : ''
    lines.push(
      `| \`${member.key}\`${older} | \`${cell(member.show(member.preset))}\` | ${cell(member.doc)}${restart} | ${cell(`${member.type}: ${member.limit}`)} |`,
    )
  }
  for (const [key, why] of Object.entries(at.inert ?? {})) {
    lines.push(`| \`${key}\` | | Taken for chihaya's sake, without effect: ${cell(why)}. | |`)
  }
  lines.push('')
  for (const member of members) {
    if (member.kind === 'section') section(member, `${path}.${member.key}`, lines)
  }
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
