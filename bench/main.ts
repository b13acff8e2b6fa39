/**
 * `npm run bench -- SUITE [--only PART,PART] [--quick | --full] [--json] [--dir DIR]`: runs a suite, or parts of it, prints a
 * table, or with --json one Line (suite.ts) a line. `--scenario S,S` and `--contender C,C` choose among those of a part that
 * has any, `--seeds N` and `--write-docs` are for `picker`. Without SUITE it lists what there is. Progress goes to stderr.
 */
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { machine } from './machine.ts'
import type { Line } from './suite.ts'
import { suites } from './suites/index.ts'

const { values, positionals } = readArguments()

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        full: { type: 'boolean', default: false },
        only: { type: 'string', default: '' },
        scenario: { type: 'string' },
        contender: { type: 'string' },
        seeds: { type: 'string' },
        'write-docs': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        dir: { type: 'string', default: tmpdir() },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    console.error((error as Error).message)
    list()
    process.exit(2)
  }
}

function list(): void {
  console.log(
    'usage: npm run bench -- SUITE [--only PART,PART] [--scenario S,S] [--contender C,C] [--quick | --full] [--seeds N] [--write-docs] [--json] [--dir DIR]\n',
  )
  for (const { name, about, parts } of suites) {
    console.log(`  ${name.padEnd(12)} ${about}`)
    if (parts !== undefined) console.log(`  ${''.padEnd(12)} parts: ${parts.join(', ')}`)
  }
}

/** Undefined for none. */
function listOf(text: string | undefined): readonly string[] | undefined {
  const names = text?.split(',').filter((name) => name !== '') ?? []
  return names.length === 0 ? undefined : names
}

function asText(line: Line): string {
  const { min, max } = line.runs
  const cells = [
    line.name.padEnd(18),
    `${line.value} ${line.unit}`.padEnd(12),
    `(${min} to ${max})`.padEnd(18),
  ]
  if (line.ratio !== undefined) cells.push(`${line.ratio} x ${line.peer} (${line.peerValue})`)
  if (line.target !== undefined) cells.push(`target ${line.target}`)
  if (line.note !== undefined) cells.push(`- ${line.note}`)
  return cells.join(' ')
}

async function main(): Promise<number> {
  const wanted = positionals.map((name) => suites.find((suite) => suite.name === name))
  if (wanted.length === 0 || values.help) {
    list()
    return 0
  }
  if (wanted.includes(undefined)) {
    list()
    return 2
  }
  const only = listOf(values.only) ?? []
  const known = wanted.flatMap((suite) => suite!.parts ?? [])
  const unknown = only.find((part) => !known.includes(part))
  if (unknown !== undefined) {
    console.error(`no part of what was named: ${unknown}`)
    list()
    return 2
  }
  const seeds = values.seeds === undefined ? undefined : Number(values.seeds)
  if (seeds !== undefined && !(Number.isInteger(seeds) && seeds > 0)) {
    console.error('--seeds wants a number of at least 1')
    return 2
  }
  const log = (text: string): void => console.error(text)
  log(machine())
  for (const suite of wanted) {
    const directory = await realpath(await mkdtemp(join(values.dir, 'seedbed-bench-')))
    try {
      await suite!.run({
        quick: values.quick,
        full: values.full,
        runs: (part) => only.length === 0 || only.includes(part),
        named: (part) => only.includes(part),
        scenarios: listOf(values.scenario),
        contenders: listOf(values.contender),
        seeds,
        writesDocs: values['write-docs'],
        directory,
        report: (line) => console.log(values.json ? JSON.stringify(line) : asText(line)),
        log,
      })
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
  return 0
}

process.exitCode = await main()
