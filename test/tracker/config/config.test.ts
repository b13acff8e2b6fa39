/** Configurations: those of chihaya run, mistakes are named with their place, what is printed is what holds. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SeedbedError } from '../../../src/base/index.ts'
import {
  endpointsOf,
  parseDuration,
  parseEndpoint,
  showDuration,
} from '../../../src/tracker/config/fields.ts'
import { presetOf } from '../../../src/tracker/config/schema.ts'
import { trackerSchema } from '../../../src/tracker/config/settings.ts'
import { loadConfig, loadConfigFile, renderDefaults } from '../../../src/tracker/index.ts'
import { CHIHAYA, OPTMEM, OPTMEM_ALONE } from './examples.ts'

function mistakes(text: string, environment: Record<string, string> = {}): string[] {
  try {
    loadConfig({ text, file: 'F', environment })
  } catch (error) {
    assert.equal((error as SeedbedError).code, 'TRACKER_CONFIG')
    return (error as Error).message.split('\n')
  }
  return []
}

test('what --print-defaults prints is the defaults', () => {
  const { config, notices } = loadConfig({ text: renderDefaults() })
  assert.deepEqual(config, presetOf(trackerSchema))
  assert.deepEqual(loadConfig({}).config, config)
  assert.deepEqual(notices, [])
  for (const line of renderDefaults().split('\n')) assert.ok(line.length <= 200, line)
})

test('the example of chihaya runs as it is', () => {
  const { config, notices } = loadConfig({ text: CHIHAYA, file: 'chihaya.yaml' })
  assert.equal(config.announceIntervalMs, 30 * 60_000)
  assert.equal(config.minAnnounceIntervalMs, 15 * 60_000)
  assert.deepEqual(config.http.addr, ['0.0.0.0:6969'])
  assert.equal(config.http.keepAlive, false)
  assert.equal(config.http.realIpHeader, 'x-real-ip')
  assert.equal(config.udp.maxClockSkewMs, 10_000)
  assert.match(config.udp.privateKey, /^paste/)
  assert.deepEqual(config.storage.config.shardCount, 1024)
  assert.equal(config.storage.config.gcIntervalMs, 180_000)
  assert.ok(
    notices.some((notice) =>
      /^chihaya.yaml:\d+:\d+: .*prometheus_reporting_interval has no effect/.test(notice),
    ),
  )
})

test('the configuration of the README of optmem runs as it is', () => {
  const { config } = loadConfig({ text: OPTMEM })
  assert.equal(config.announceIntervalMs, 15 * 60_000)
  assert.equal(config.storage.name, 'optmem')
  assert.equal(config.storage.config.shardCountBits, 10)
  assert.equal(config.storage.config.peerLifetimeMs, 16 * 60_000)
  assert.deepEqual(config.http.addr, ['0.0.0.0:6881'])
  assert.deepEqual(config.metricsAddr, ['localhost:6880'], 'prometheus_addr')
  assert.match(
    mistakes('tracker: {metrics_addr: ":1", prometheus_addr: ":2"}')[0]!,
    /F:1:31: tracker.prometheus_addr says the same as metrics_addr/,
  )
})

test('what is left of it without front ends gives metrics, and says so', () => {
  const { config, notices } = loadConfig({ text: OPTMEM_ALONE, file: 'F' })
  assert.deepEqual([config.http.addr, config.udp.addr], [[], []])
  assert.deepEqual(config.metricsAddr, ['localhost:6880'])
  assert.equal(
    notices.at(-1),
    'F:2:3: none of http.addr, http.https_addr and udp.addr is set: there are metrics only',
  )
})

test('under chihaya a front end without addr does not run; under tracker it has its default', () => {
  const { config } = loadConfig({ text: 'chihaya:\n  udp: {addr: "127.0.0.1:1"}\n' })
  assert.deepEqual([config.http.addr, config.udp.addr], [[], ['127.0.0.1:1']])
  assert.deepEqual(loadConfig({ text: 'tracker:\n  announce_interval: 20m' }).config.http.addr, [
    ':6969',
  ])
  assert.match(mistakes('chihaya:\n  announce_interval: 15m')[0]!, /nothing to run/)
})

test('every mistake is named with file, line, column and limit', () => {
  for (const [text, ...expected] of [
    ['tracker: [1', /^F:\d+:\d+: /],
    ['tracker:\n  a: 1\n  a: 2', /^F:3:3: Map keys must be unique/],
    ['- 1', /^F:1:1: a configuration is a map/],
    ['trackr: {}', /^F:1:1: trackr is not a key/],
    ['tracker: 5', /^F:1:10: tracker must be a map/],
    ['tracker: {}\nchihaya: {}', /^F:2:1: there is tracker already/],
    [
      'tracker:\n  anounce_interval: 1m',
      /^F:2:3: tracker.anounce_interval is not a key .*did you mean announce_interval\?$/,
    ],
    ['tracker:\n  wombat: 1m', /^F:2:3: tracker.wombat is not a key of this configuration$/],
    [
      'tracker:\n  announce_interval: 900',
      /^F:2:22: tracker.announce_interval: 900 is not a duration .*unit/,
    ],
    [
      'tracker:\n  announce_interval: 10ms',
      /^F:2:22: tracker.announce_interval: 10ms is outside of its limit, 1s to 24h$/,
    ],
    [
      'tracker:\n  http:\n    max_numwant: -1',
      /^F:3:18: tracker.http.max_numwant: -1 is outside of its limit, 0 to 10000$/,
    ],
    ['tracker:\n  http:\n    max_numwant: many', /^F:3:18: .*"many" is not a whole number$/],
    ['tracker:\n  http:\n    max_numwant: 1.5', /1.5 is not a whole number/],
    ['tracker:\n  udp:\n    allow_ip_spoofing: yes', /^F:3:24: .*"yes" is neither true nor false$/],
    [
      'tracker:\n  http:\n    addr: [":80", "example.org:80"]',
      /^F:3:19: tracker.http.addr: "example.org:80" is not an IP address/,
    ],
    ['tracker:\n  http:\n    addr: :66000', /^F:3:11: .* is not an IP address/],
    ['tracker:\n  http:\n    announce_routes: [announce]', /^F:3:23: .*"announce" is not a path/],
    ['tracker:\n  http:\n    real_ip_header: "X Real"', /is not the name of a header/],
    ['tracker:\n  http:\n    trusted_proxies: [10.0.0.0/33]', /is not an address or a network/],
    [
      'tracker:\n  storage:\n    name: redis',
      /^F:3:11: tracker.storage.name: "redis" is none of optmem, memory: .*redis is not supported$/,
    ],
    [
      'tracker:\n  storage:\n    config: {peer_lifetime: 16h}',
      /^F:3:29: .*outside of its limit, 1s to 15h55m40s: the store/,
    ],
    ['tracker:\n  storage:\n    config: {max_memory: 1TB}', /is not a size/],
    ['tracker:\n  storage:\n    config: {max_memory: 1MiB}', /outside of its limit, 4MiB to/],
    [
      'tracker:\n  storage: {config: {peer_lifetime: 10m}}',
      /peer_lifetime is not longer than announce_interval/,
    ],
    ['tracker:\n  min_announce_interval: 20m', /min_announce_interval is longer/],
    ['tracker:\n  announce_interval: 0x\n  foo: 1', /^F:2:22: /, /^F:3:3: /],
  ] as const) {
    const found = mistakes(text)
    assert.equal(found.length, expected.length, `${text}\n${found.join('\n')}`)
    for (const [i, pattern] of expected.entries()) assert.match(found[i]!, pattern, text)
  }
})

test('hooks have the names and options of chihaya, and a mistake in one has its place', () => {
  const hooks = (text: string) => `tracker:\n  prehooks:\n${text}`
  const { config } = loadConfig({
    text: hooks(`    - name: jwt
      options: {issuer: a, audience: b, jwk_set_url: "https://c/keys", jwk_set_update_interval: 7m}
    - name: "client approval"
      options:
        whitelist:
          - "OP1011"
    - name: interval variation
      config: {modify_response_probability: 0.2, max_increase_delta: 60, modify_min_interval: true}
    - name: torrent approval
      options: {blacklist: [A1B2c3d4e5a1b2c3d4e5a1b2c3d4e5a1b2c3d4e5]}
`),
  })
  assert.deepEqual(config.prehooks, [
    {
      name: 'jwt',
      options: {
        issuer: 'a',
        audience: 'b',
        jwkSetUrl: 'https://c/keys',
        updateIntervalMs: 420_000,
      },
    },
    { name: 'client approval', options: { whitelist: ['OP1011'], blacklist: [] } },
    {
      name: 'interval variation',
      options: { probability: 0.2, maxIncreaseSeconds: 60, modifyMinInterval: true },
    },
    {
      name: 'torrent approval',
      options: {
        whitelist: [],
        blacklist: ['a1b2c3d4e5a1b2c3d4e5a1b2c3d4e5a1b2c3d4e5'],
        whitelistFile: '',
        blacklistFile: '',
      },
    },
  ])
  for (const [text, pattern] of [
    ['    - name: jwtt', /^F:3:13: tracker.prehooks: "jwtt" is none of the hooks: jwt, client/],
    ['    - options: {}', /^F:3:7: tracker.prehooks: "" is none/],
    ['    - jwt', /^F:3:7: tracker.prehooks: a hook is a map/],
    [
      '    - {name: jwt, options: {issuer: a}}',
      /^F:3:28: tracker.prehooks: jwt: audience, jwk_set_url must be given/,
    ],
    [
      '    - {name: jwt, options: {isuer: a, issuer: a, audience: a, jwk_set_url: "http://a"}}',
      /^F:3:29: .*jwt.isuer is not a key .*did you mean issuer/,
    ],
    [
      '    - {name: client approval, options: {whitelist: [TOOLONG]}}',
      /^F:3:53: .*"TOOLONG" is not six/,
    ],
    [
      '    - {name: client approval, options: {whitelist: [AAAAAA], blacklist: [BBBBBB]}}',
      /only one list/,
    ],
    ['    - {name: torrent approval}', /^F:3:7: .*a list must be given/],
    [
      '    - {name: interval variation, options: {modify_response_probability: 0}}',
      /0 is not above 0/,
    ],
    [
      '    - {name: jwt, when: now, options: {issuer: a, audience: a, jwk_set_url: "http://a"}}',
      /^F:3:19: .*when is not a key of a hook/,
    ],
  ] as const) {
    const found = mistakes(hooks(text))
    assert.equal(found.length, 1, found.join('\n'))
    assert.match(found[0]!, pattern)
  }
  assert.match(mistakes('tracker: {prehooks: 5}')[0]!, /must be a list of hooks/)
  const approval = '{name: torrent approval, options: {whitelist_file: a}}'
  assert.match(
    mistakes(`tracker: {posthooks: [${approval}]}`)[0]!,
    /F:1:23: .*torrent approval belongs to prehooks/,
  )
  const accounting = '{name: accounting, options: {file: a}}'
  assert.match(
    mistakes(`tracker: {prehooks: [${accounting}]}`)[0]!,
    /accounting runs after the answer/,
  )
  assert.equal(
    loadConfig({ text: `tracker: {posthooks: [${accounting}]}` }).config.posthooks.length,
    1,
  )
  assert.match(mistakes('tracker: {posthooks: [{name: accounting}]}')[0]!, /file must be given/)
  assert.match(
    mistakes('tracker: {prehooks: [{name: passkey, options: {file: a}}]}')[0]!,
    /needs a route with a parameter/,
  )
  assert.deepEqual(
    loadConfig({ text: 'tracker:\n  prehooks:\n  posthooks: []\n' }).config.prehooks,
    [],
  )
})

test('texts of digits alone are what was written, not the number that YAML reads', () => {
  const hash = '1234567890123456789012345678901234567890'
  const { config } = loadConfig({
    text: `tracker:
  metrics_token: 00001234567890123456
  udp: {private_key: 0x10, max_numwant: 0x10}
  prehooks:
    - name: torrent approval
      options: {whitelist: [${hash}]}
    - name: client approval
      options: {blacklist: [001200, 12e345]}
`,
  })
  assert.equal(config.metricsToken, '00001234567890123456')
  assert.equal(config.udp.privateKey, '0x10')
  assert.equal(config.udp.maxWanted, 16)
  const [torrents, clients] = config.prehooks.map(({ options }) => options)
  assert.deepEqual((torrents as { readonly whitelist: readonly string[] }).whitelist, [hash])
  assert.deepEqual((clients as { readonly blacklist: readonly string[] }).blacklist, [
    '001200',
    '12e345',
  ])
})

test('anchors work, and unfold only so far', () => {
  const { config } = loadConfig({
    text: 'tracker:\n  http: {max_numwant: &n 70}\n  udp: {max_numwant: *n}\n',
  })
  assert.deepEqual([config.http.maxWanted, config.udp.maxWanted], [70, 70])
  const bomb = ['a0: &a0 [1,1,1,1,1,1,1,1]']
  for (let i = 1; i < 12; i++)
    bomb.push(
      `a${i}: &a${i} [${Array(8)
        .fill(`*a${i - 1}`)
        .join(',')}]`,
    )
  assert.ok(mistakes(bomb.join('\n')).length > 0)
})

test('the environment lies over the file', () => {
  const dir = mkdtempSync(join(tmpdir(), 'seedbed-config-'))
  try {
    writeFileSync(join(dir, 'key'), 'secret\n')
    const { config } = loadConfig({
      text: 'tracker:\n  announce_interval: 20m\n  http: {addr: ":1", max_numwant: 7}',
      environment: {
        SEEDBED_TRACKER__HTTP__ADDR: '127.0.0.1:80,[::1]:80',
        SEEDBED_TRACKER__UDP__ALLOW_IP_SPOOFING: 'true',
        SEEDBED_TRACKER__UDP__PRIVATE_KEY_FILE: join(dir, 'key'),
        SEEDBED_TRACKER__STORAGE__CONFIG__GC_INTERVAL: '5m',
        SEEDBED_OTHER: 'not ours',
      },
    })
    assert.deepEqual(config.http.addr, ['127.0.0.1:80', '[::1]:80'])
    assert.equal(config.http.maxWanted, 7)
    assert.equal(config.announceIntervalMs, 20 * 60_000)
    assert.equal(config.udp.allowIpSpoofing, true)
    assert.equal(config.udp.privateKey, 'secret')
    assert.equal(config.storage.config.gcIntervalMs, 300_000)
  } finally {
    rmSync(dir, { recursive: true })
  }
  assert.match(
    mistakes('', { SEEDBED_TRACKER__HTP__ADDR: ':1' })[0]!,
    /^SEEDBED_TRACKER__HTP__ADDR: tracker.htp is not a key .*did you mean http\?/,
  )
  assert.match(
    mistakes('', { SEEDBED_TRACKER__HTTP__MAX_NUMWANT: 'x' })[0]!,
    /^SEEDBED_TRACKER__HTTP__MAX_NUMWANT: tracker.http.max_numwant: "x" is not/,
  )
  assert.deepEqual(mistakes('', { SEEDBED_TRACKER__UDP__PRIVATE_KEY_FILE: '/nowhere/at/all' }), [
    'SEEDBED_TRACKER__UDP__PRIVATE_KEY_FILE: cannot read /nowhere/at/all: ENOENT',
  ])
  assert.throws(() => loadConfigFile('/nowhere/at/all.yaml'), { code: 'TRACKER_CONFIG_UNREADABLE' })
})

test('addresses are those of Go, with a socket for each family', () => {
  const all = (port: number) => [
    { address: '0.0.0.0', port },
    { address: '::', port },
  ]
  assert.deepEqual(parseEndpoint(':6969'), all(6969))
  assert.deepEqual(parseEndpoint('[::]:6969'), all(6969))
  assert.deepEqual(parseEndpoint('0.0.0.0:1'), [{ address: '0.0.0.0', port: 1 }])
  assert.deepEqual(
    parseEndpoint('localhost:2')?.map((one) => one.address),
    ['127.0.0.1', '::1'],
  )
  assert.deepEqual(endpointsOf(['0.0.0.0:5', '[::]:5']), all(5))
  for (const wrong of ['', '6969', '1.2.3.4', '::1:80', '[1.2.3:80', 'host:80', '1.2.3.4:99999']) {
    assert.equal(parseEndpoint(wrong), undefined, wrong)
  }
})

test('a duration that is shown is read as the same', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 10 ** 9 }),
      (ms) => parseDuration(showDuration(ms)) === ms,
    ),
  )
  assert.equal(parseDuration('1h30m'), 5_400_000)
  assert.equal(parseDuration('2.5s'), 2500)
  for (const wrong of ['', '5', '-1s', '1 h', '1d', 'h', '1.s'])
    assert.equal(parseDuration(wrong), undefined)
})

test('no text makes reading do anything but answer or say what is wrong', () => {
  const keys = fc.constantFrom(
    'tracker',
    'http',
    'addr',
    'udp',
    'storage',
    'config',
    '&a',
    '*a',
    '[',
    '}',
    ': ',
    '\n  ',
    '- ',
    '"',
    '1',
    ' ',
    '#',
    '!!x',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(keys, { maxLength: 40 }).map((parts) => parts.join('')),
      ),
      (text) => {
        mistakes(text)
      },
    ),
    { numRuns: 500 },
  )
})
