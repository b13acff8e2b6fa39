/** `--check` reads what a configuration names as the start would, and says what is wrong at the place of the key. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { checkNamedFiles, loadConfig } from '../../../src/tracker/index.ts'
import { FIRST, SECOND } from '../certificates.ts'

let dir = ''
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'seedbed-named-'))
  const files = {
    hashes: `# all of them\n${'ab'.repeat(20)}\n`,
    'no-hashes': `${'ab'.repeat(20)}\nab\n`,
    keys: 'alicekey1234 alice\n',
    'no-keys': 'alicekey1234 alice\nshort\n',
    'cert.pem': FIRST.cert,
    'key.pem': FIRST.key,
    'other.pem': SECOND.key,
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
})
after(() => rmSync(dir, { recursive: true }))

async function problems(text: string, environment: Record<string, string> = {}): Promise<string[]> {
  const loaded = loadConfig({ text: text.replaceAll('DIR', dir), file: 'F', environment })
  try {
    await checkNamedFiles(loaded)
    return []
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'TRACKER_CONFIG')
    return (error as Error).message.replaceAll(dir, 'DIR').split('\n')
  }
}

const TLS = (cert: string, key: string): string => `tracker:
  http:
    https_addr: ":1"
    tls_cert_path: DIR/${cert}
    tls_key_path: DIR/${key}
`

test('files that serve are read, and nothing is made', async () => {
  const hooks = `  prehooks:
    - {name: torrent approval, options: {whitelist_file: DIR/hashes}}
    - {name: passkey, options: {file: DIR/keys}}
  posthooks: [{name: accounting, options: {file: DIR/log}}]
`
  const routes = '    announce_routes: ["/:passkey/announce"]\n'
  assert.deepEqual(await problems(`${TLS('cert.pem', 'key.pem')}${routes}${hooks}`), [])
  assert.equal(existsSync(join(dir, 'log')), false)
})

test('a certificate or key that does not serve is named by its key', async () => {
  assert.deepEqual(await problems(TLS('none.pem', 'no-key.pem')), [
    'F:4:20: tracker.http.tls_cert_path: cannot read DIR/none.pem: ENOENT',
    'F:5:19: tracker.http.tls_key_path: cannot read DIR/no-key.pem: ENOENT',
  ])
  assert.deepEqual(await problems(TLS('cert.pem', 'other.pem')), [
    'F:5:19: tracker.http.tls_key_path: DIR/other.pem: it is not the key of the certificate',
  ])
  for (const [cert, key, expected] of [
    ['key.pem', 'key.pem', /^F:4:20: tracker.http.tls_cert_path: DIR\/key.pem: no certificate/],
    ['cert.pem', 'cert.pem', /^F:5:19: tracker.http.tls_key_path: DIR\/cert.pem: no key/],
  ] as const) {
    const [problem, ...more] = await problems(TLS(cert, key))
    assert.match(problem!, expected)
    assert.deepEqual(more, [])
  }
})

test('without https_addr nobody needs the certificate', async () => {
  const text = TLS('none.pem', 'none.pem').replace('":1"', '""')
  assert.deepEqual(await problems(text), [])
})

test('what the environment names is said by its name', async () => {
  const environment = {
    SEEDBED_TRACKER__HTTP__HTTPS_ADDR: ':1',
    SEEDBED_TRACKER__HTTP__TLS_CERT_PATH: join(dir, 'cert.pem'),
    SEEDBED_TRACKER__HTTP__TLS_KEY_PATH: join(dir, 'none.pem'),
  }
  assert.deepEqual(await problems('', environment), [
    'SEEDBED_TRACKER__HTTP__TLS_KEY_PATH: tracker.http.tls_key_path: cannot read DIR/none.pem: ENOENT',
  ])
})

test('every list and log of a hook is looked at, in the words of chihaya too', async () => {
  const text = `chihaya:
  http: {addr: ":1", announce_routes: ["/:passkey/announce"]}
  prehooks:
    - name: torrent approval
      config:
        whitelist_file: DIR/no-hashes
    - name: torrent approval
      options: {blacklist_file: DIR/none}
    - {name: passkey, options: {file: DIR/no-keys}}
    - {name: passkey, options: {file: DIR}}
  posthooks:
    - {name: accounting, options: {file: DIR/nowhere/log}}
    - {name: accounting, options: {file: DIR}}
`
  const approval = 'chihaya.prehooks: torrent approval'
  assert.deepEqual(await problems(text), [
    `F:6:25: ${approval}.whitelist_file: DIR/no-hashes:2: not an info-hash of 40 hexadecimal digits`,
    `F:8:33: ${approval}.blacklist_file: cannot read DIR/none: ENOENT`,
    'F:9:39: chihaya.prehooks: passkey.file: DIR/no-keys:2: a key has 8 to 128 letters, digits, - and _',
    'F:10:39: chihaya.prehooks: passkey.file: cannot read DIR: EISDIR',
    'F:12:42: chihaya.posthooks: accounting.file: cannot write DIR/nowhere/log: ENOENT',
    'F:13:42: chihaya.posthooks: accounting.file: cannot write DIR: EISDIR',
  ])
})
