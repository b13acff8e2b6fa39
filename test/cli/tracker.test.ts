/** `seedbed tracker`: checks, prints, runs, reloads, drains. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { seedbed, start } from './run.ts'

let root = ''
before(() => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-tracker-'))
})
after(() => rmSync(root, { recursive: true, force: true }))

function file(name: string, text: string): string {
  const path = join(root, name)
  writeFileSync(path, text)
  return path
}

test('what it prints as defaults it finds right', async () => {
  const printed = await seedbed(['tracker', '--print-defaults'])
  assert.equal(printed.status, 0)
  const checked = await seedbed([
    'tracker',
    '--check',
    '--config',
    file('defaults.yaml', `${printed.stdout}\n`),
  ])
  assert.deepEqual(
    [checked.status, checked.stdout, checked.stderr],
    [0, 'the configuration is right', ''],
  )
})

test('mistakes are named and end with status 2', async () => {
  const path = file('wrong.yaml', 'tracker:\n  announce_intervall: 1m\n')
  const { status, stderr } = await seedbed(['tracker', '--config', path])
  assert.equal(status, 2)
  assert.match(
    stderr,
    /wrong\.yaml:2:3: tracker\.announce_intervall .*did you mean announce_interval/,
  )
  assert.equal((await seedbed(['tracker', '--config', join(root, 'none.yaml')])).status, 2)
})

test('SIGHUP reloads what can be, says what waits, and survives a mistake; SIGTERM drains', async () => {
  const text = (interval: string, port: number) =>
    `tracker:\n  announce_interval: ${interval}\n  http: {addr: "127.0.0.1:${port}"}\n  udp: {addr: "127.0.0.1:0"}\n`
  const path = file('run.yaml', text('20m', 0))
  const running = start(['tracker', '--json', '--config', path])
  const { tracker } = await running.event('ready')
  const announce = async (): Promise<string> => {
    const query = `info_hash=${'a'.repeat(20)}&peer_id=${'b'.repeat(20)}&port=1&uploaded=0&downloaded=0&left=0`
    const response = await fetch(`http://127.0.0.1:${tracker.http[0].port}/announce?${query}`)
    return response.text()
  }
  assert.match(await announce(), /8:intervali1200e/)
  file('run.yaml', text('25m', 1))
  running.process.kill('SIGHUP')
  assert.deepEqual((await running.event('reloaded')).restart, ['tracker.http.addr'])
  assert.match(await announce(), /8:intervali1500e/)
  file('run.yaml', 'tracker: {announce_interval: never}')
  running.process.kill('SIGHUP')
  file('run2.yaml', '')
  await new Promise<void>((resolve) => running.process.stderr!.once('data', () => resolve()))
  assert.match(await announce(), /8:intervali1500e/)
  const ended = await running.stop()
  assert.equal(ended.status, 0)
  assert.match(ended.stderr, /announce_interval: \\"never\\" is not a duration/)
  assert.deepEqual(
    ended.objects.slice(-2).map((one) => one.event),
    ['stopping', 'stopped'],
  )
})
