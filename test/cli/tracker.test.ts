/** `seedbed tracker`: checks, prints, runs, reloads, drains. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import {
  createReadStream,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { onLinux } from '../tracker/linux/linux.ts'
import { MAIN, seedbed, start } from './run.ts'

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

test('--check reads the files that are named, and ends with status 2 for one that does not serve', async () => {
  const list = file('approved', 'nonsense\n')
  const path = file(
    'approval.yaml',
    `tracker:\n  prehooks: [{name: torrent approval, options: {whitelist_file: ${list}}}]\n`,
  )
  const check = () => seedbed(['tracker', '--check', '--config', path])
  const { status, stderr } = await check()
  assert.equal(status, 2)
  assert.match(stderr, /approval\.yaml:2:\d+: .*whitelist_file: .*approved:1: not an info-hash/)
  file('approved', '')
  assert.deepEqual([(await check()).status, (await check()).stderr], [0, ''])
})

test('what it says to announce to is a route that there is', async () => {
  const path = file(
    'private.yaml',
    `tracker:
  http: {addr: "127.0.0.1:0", announce_routes: ["/:passkey/announce"]}
  udp: {addr: ""}
`,
  )
  const running = start(['tracker', '--config', path])
  await new Promise<void>((resolve) => {
    running.process.stdout!.on('data', (chunk) => {
      if (String(chunk).includes('Ctrl-C')) resolve()
    })
  })
  const { stdout } = await running.stop()
  assert.match(stdout, /^tracker {2}http:\/\/127\.0\.0\.1:\d+\/:passkey\/announce$/m)
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
  running.process.kill('SIGUSR1')
  assert.deepEqual(
    (await running.event('reloaded')).restart,
    ['tracker.http.addr'],
    'as in chihaya',
  )
  file('run.yaml', 'tracker: {announce_interval: never}')
  running.process.kill('SIGHUP')
  file('run2.yaml', '')
  await new Promise<void>((resolve) => running.process.stderr!.once('data', () => resolve()))
  assert.match(await announce(), /8:intervali1500e/)
  const ended = await running.stop()
  assert.equal(ended.status, 0)
  assert.match(ended.stderr, /announce_interval: \\"never\\" is not a duration/)
  assert.doesNotMatch(ended.stderr, /Debugger/)
  assert.deepEqual(
    ended.objects.slice(-2).map((one) => one.event),
    ['stopping', 'stopped'],
  )
})

test('SIGHUP ends the tracker neither while it starts nor while it keeps its swarms', async (t) => {
  const fifo = join(root, 'swarms.tmp')
  if (spawnSync('mkfifo', [fifo]).status !== 0) {
    t.skip('no mkfifo here')
    return
  }
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'a' }] })
  let hung = false
  const server = createServer((_, response) => {
    if (!hung) running.process.kill('SIGHUP')
    hung = true
    response.end(keys)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const path = file(
    'hup.yaml',
    `tracker:
  http: {addr: ""}
  udp: {addr: "127.0.0.1:0"}
  storage: {config: {snapshot: ${join(root, 'swarms')}}}
  prehooks: [{name: jwt, options: {issuer: i, audience: a, jwk_set_url: "${url}"}}]
`,
  )
  const running = start(['tracker', '--json', '--config', path])
  await running.event('ready')
  await running.event('reloaded')
  let told = ''
  const refused = new Promise<void>((resolve) => {
    running.process.stderr!.on('data', (chunk) => {
      told += chunk
      if (told.includes('TRACKER_STOPPING')) resolve()
    })
  })
  running.process.kill('SIGTERM')
  await running.event('stopping')
  running.process.kill('SIGHUP')
  await Promise.race([refused, running.ended])
  // Only now is there a reader, for whom the writing of the swarms waits.
  createReadStream(fifo).resume()
  const { status, objects } = await running.ended
  assert.equal(status, 0)
  assert.equal(objects.at(-1)!.event, 'stopped')
})
test(
  'with the fast path fewer pages of files stay in memory than without it',
  onLinux,
  async () => {
    const residentKib = async (frontEnd: 'fast' | 'portable'): Promise<number> => {
      const text = `tracker: {front_end: ${frontEnd}, http: {addr: "127.0.0.1:0"}, udp: {addr: ""}}`
      const running = start(['tracker', '--json', '--config', file(`${frontEnd}.yaml`, text)])
      await running.event('ready')
      const status = readFileSync(`/proc/${running.process.pid}/status`, 'latin1')
      assert.equal((await running.stop()).status, 0)
      return Number(/RssFile:\s+(\d+) kB/.exec(status)![1])
    }
    const portable = await residentKib('portable')
    assert.ok((await residentKib('fast')) < portable)
  },
)

test('a tracker whose output nobody reads any more keeps its swarms at the end', async () => {
  const kept = join(root, 'unread')
  const path = file(
    'unread.yaml',
    `tracker: {http: {addr: ""}, udp: {addr: "127.0.0.1:0"}, storage: {config: {snapshot: ${kept}}}}`,
  )
  const running = start(['tracker', '--json', '--config', path])
  await running.event('ready')
  // As when Ctrl-C ends `tee` first.
  running.process.stdout!.destroy()
  const [status] = (
    await Promise.all([once(running.process, 'exit'), running.process.kill('SIGINT')])
  )[0] as [number | null]
  assert.equal(status, 0)
  assert.ok(existsSync(kept))
})

test(
  'a tracker ends with its terminal, swarms kept; while that is there SIGHUP reloads',
  onLinux,
  async (t) => {
    if (spawnSync('script', ['-qec', 'true', '/dev/null'], { timeout: 60_000 }).status !== 0) {
      t.skip('no terminal can be made here by script(1)')
      return
    }
    const kept = join(root, 'hung-up')
    const pidFile = join(root, 'pid')
    const path = file(
      'terminal.yaml',
      `tracker: {http: {addr: ""}, udp: {addr: "127.0.0.1:0"}, storage: {config: {snapshot: ${kept}}}}`,
    )
    const command = `echo $$ > ${pidFile}; exec ${process.execPath} ${MAIN} tracker --config ${path}`
    const terminal = spawn('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, SHELL: '/bin/sh' },
    })
    let shown = ''
    terminal.stdout.on('data', (chunk) => {
      shown += String(chunk)
    })
    const until = async (done: () => boolean): Promise<void> => {
      while (!done()) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    t.after(() => {
      terminal.kill('SIGKILL')
      try {
        process.kill(Number(readFileSync(pidFile, 'latin1')), 'SIGKILL')
      } catch {
        // It has ended, as it should.
      }
    })
    await until(() => shown.includes('Ctrl-C stops') || terminal.exitCode !== null)
    assert.equal(terminal.exitCode, null, shown)
    process.kill(Number(readFileSync(pidFile, 'latin1')), 'SIGHUP')
    await until(() => shown.includes('configuration reloaded'))
    assert.equal(existsSync(kept), false)
    terminal.kill('SIGKILL')
    await until(() => existsSync(kept))
  },
)
