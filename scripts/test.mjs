// Runs every dist/test/**/*.test.js (or those whose path contains an argument) with node's runner,
// and ends with one line: "N passed, N failed, N skipped".
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const root = new URL('../dist/test', import.meta.url).pathname
const wanted = process.argv.slice(2)
const files = readdirSync(root, { recursive: true })
  .filter((name) => name.endsWith('.test.js'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .map((name) => join(root, name))
  .sort()
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(' ')}`)
  process.exit(2)
}

let passed = 0
let failed = 0
let skipped = 0
// Interop tests move gigabytes between processes: they run after the others, two at a time, because most of their time is waiting.
const isInterop = (file) => file.includes('/interop/')
const groups = [
  { files: files.filter((file) => !isInterop(file)), concurrency: availableParallelism() },
  { files: files.filter(isInterop), concurrency: 2 },
]
for (const group of groups) {
  if (group.files.length === 0) continue
  const stream = run({ ...group, timeout: 30 * 60_000 })
  stream.on('test:pass', (event) => {
    if (event.details.type === 'suite') return
    if (event.skip !== undefined) skipped++
    else passed++
  })
  stream.on('test:fail', (event) => {
    if (event.details.type !== 'suite') failed++
  })
  const report = stream.compose(spec)
  for await (const chunk of report) process.stdout.write(chunk)
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
