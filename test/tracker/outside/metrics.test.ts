/** The tracker seen from outside: formats by the letter, numbers that agree, labels that nobody can choose. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { seededRandom, silentLogger, systemClock } from '../../../src/base/index.ts'
import { failures } from '../../../src/tracker/failures.ts'
import {
  loadConfig,
  METRICS,
  startTrackerService,
  type TrackerService,
} from '../../../src/tracker/index.ts'
import { formatFor, renderFamilies } from '../../../src/tracker/outside/exposition.ts'
import {
  ACTIONS,
  RESPONSE_CELLS,
  Responses,
  TIME_BOUNDS_MS,
} from '../../../src/tracker/responses.ts'
import { choosing, overFrontEnds } from '../front-ends.ts'

const FAMILIES = [
  {
    name: 'a_b',
    help: 'Things\nand \\.',
    type: 'counter',
    samples: [{ labels: { x: 'q"\\\n' }, value: 5 }, { value: 1e21 }],
  },
  { name: 'g', help: 'G.', type: 'gauge', samples: [{ value: 0.5 }] },
  {
    name: 'h_seconds',
    help: 'H.',
    type: 'histogram',
    samples: [{ labels: { y: 'z' }, bounds: [0.5, 2], buckets: [1, 2, 3], sum: 9.5 }],
  },
] as const

test('the text format of Prometheus is written by the letter', () => {
  assert.equal(
    renderFamilies(FAMILIES, 'text'),
    `# HELP a_b_total Things\\nand \\\\.
# TYPE a_b_total counter
a_b_total{x="q\\"\\\\\\n"} 5
a_b_total 1e+21
# HELP g G.
# TYPE g gauge
g 0.5
# HELP h_seconds H.
# TYPE h_seconds histogram
h_seconds_bucket{y="z",le="0.5"} 1
h_seconds_bucket{y="z",le="2"} 3
h_seconds_bucket{y="z",le="+Inf"} 6
h_seconds_sum{y="z"} 9.5
h_seconds_count{y="z"} 6
`,
  )
})

test('OpenMetrics names counters without _total, has bounds that are fractions, and has an end', () => {
  const text = renderFamilies(FAMILIES, 'openmetrics')
  assert.match(text, /^# HELP a_b Things/)
  assert.match(text, /\n# TYPE a_b counter\na_b_total\{/)
  assert.match(text, /\nh_seconds_bucket\{y="z",le="2.0"\} 3\n/)
  assert.ok(text.endsWith('\n# EOF\n'))
})

test('the format is what is asked for', () => {
  for (const [accept, format] of [
    ['', 'text'],
    ['*/*', 'text'],
    ['text/plain', 'text'],
    ['application/openmetrics-text', 'openmetrics'],
    [
      'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1',
      'openmetrics',
    ],
    ['application/openmetrics-text;q=0.2, text/plain;q=0.9', 'text'],
    ['application/openmetrics-text;q=0', 'text'],
  ] as const) {
    assert.equal(formatFor(accept), format, accept)
  }
})

test('an answer is counted in its row, and in the bucket of its time', () => {
  const responses = new Responses(new Float64Array(RESPONSE_CELLS))
  responses.note('udp', ACTIONS.indexOf('announce'), 4, '', 0.02)
  responses.note('udp', ACTIONS.indexOf('announce'), 4, '', 1e6)
  responses.note('udp', ACTIONS.indexOf('announce'), 4, '', -1)
  responses.note('http', ACTIONS.indexOf('other'), 6, 'http 404', 1)
  const [first, second, more] = responses.rows()
  assert.equal(more, undefined)
  assert.deepEqual(
    [first!.protocol, first!.action, first!.family, first!.count, first!.sumMs],
    ['udp', 'announce', 4, 3, 1e6 + 0.02],
  )
  assert.equal(first!.buckets[TIME_BOUNDS_MS.indexOf(0.025)], 1)
  assert.equal(first!.buckets.at(-1), 1)
  assert.deepEqual([second!.reason, second!.buckets[TIME_BOUNDS_MS.indexOf(1)]], ['http 404', 1])
})

async function startBy(
  frontEnd: 'fast' | 'portable',
  t: TestContext,
  more = '',
): Promise<TrackerService> {
  const text = `
tracker:
  metrics_addr: 127.0.0.1:0
  ${more}
  http: {addr: "127.0.0.1:0", enable_request_timing: true}
  udp: {addr: ""}
`
  const tools = { clock: systemClock, random: seededRandom(1), logger: silentLogger }
  const service = await startTrackerService({
    config: loadConfig({ text, environment: choosing(frontEnd) }).config,
    version: '1.2.3',
    ...tools,
  })
  t.after(() => service.stop())
  return service
}

const outside = (service: TrackerService, path: string, init?: RequestInit) =>
  fetch(`http://127.0.0.1:${service.metrics[0]!.port}${path}`, init)

const ask = async (service: TrackerService, path: string): Promise<void> => {
  const { port } = service.http[0]!
  await (await fetch(`http://127.0.0.1:${port}${path}`)).arrayBuffer()
}

const announce = (port: number, left: number): string =>
  `/announce?info_hash=${'a'.repeat(20)}&peer_id=${'b'.repeat(20)}&port=${port}&uploaded=0&downloaded=0&left=${left}`

/** Samples by name and labels; fails when the text is not what a scraper can read. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const types = new Map<string, string>()
  for (const line of text.trimEnd().split('\n')) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line)
    if (type !== null) {
      assert.ok(!types.has(type[1]!), `${type[1]} twice`)
      types.set(type[1]!, type[2]!)
      continue
    }
    if (/^# HELP \S+ .+$/.test(line)) continue
    const sample = /^([a-z_]+)(\{(?:[a-z_]+="[^"\\\n]*",?)*\})? (\S+)$/.exec(line)
    assert.ok(sample, line)
    const family = sample[1]!.replace(/_(bucket|sum|count)$/, '')
    assert.ok(types.has(sample[1]!) || types.get(family) === 'histogram', line)
    const key = `${sample[1]}${sample[2] ?? ''}`
    assert.ok(!samples.has(key), `${key} twice`)
    samples.set(key, Number(sample[3]))
  }
  return samples
}

overFrontEnds((frontEnd) => {
  const start = startBy.bind(null, frontEnd)

  test('metrics agree with what happened, in both formats', async (t) => {
    const service = await start(t)
    await ask(service, announce(1, 0))
    await ask(service, announce(2, 5))
    await ask(service, '/announce')
    await ask(service, '/nowhere')
    const response = await outside(service, '/metrics')
    assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
    const samples = parse(await response.text())
    const requests = (action: string, error: string) =>
      samples.get(
        `seedbed_tracker_requests_total{protocol="http",family="4",action="${action}",error="${error}"}`,
      )
    assert.equal(requests('announce', ''), 2)
    assert.equal(requests('announce', 'no info_hash parameter supplied'), 1)
    assert.equal(requests('other', 'http 404'), 1)
    assert.equal(samples.get('seedbed_tracker_swarms'), 1)
    assert.equal(samples.get('seedbed_tracker_peers{family="4",role="seeder"}'), 1)
    assert.equal(
      samples.get(
        'seedbed_tracker_response_seconds_count{protocol="http",family="4",action="announce"}',
      ),
      3,
    )
    assert.equal(samples.get('seedbed_build_info{version="1.2.3"}'), 1)
    assert.ok(samples.get('process_resident_memory_bytes')! > 1e6)
    for (const { name, type } of METRICS) {
      if (type !== 'histogram')
        assert.ok(
          [...samples.keys()].some((key) => key.startsWith(name)),
          name,
        )
    }
    const open = await outside(service, '/metrics', {
      headers: { accept: 'application/openmetrics-text' },
    })
    assert.match(open.headers.get('content-type')!, /^application\/openmetrics-text; version=1/)
    assert.ok((await open.text()).endsWith('# EOF\n'))
  })

  test('nothing that a client sends becomes a label', async (t) => {
    const service = await start(t, 'metrics_names: both')
    for (const path of [
      '/<script>',
      '/announce?info_hash=secret',
      '/announce?event="evil"',
      `${announce(3, 1)}&x=evil`,
      '/metrics',
    ]) {
      await ask(service, path)
    }
    const text = await (await outside(service, '/metrics')).text()
    const allowed = new Set([
      '',
      'fast',
      'portable',
      'http',
      'udp',
      'ws',
      'offer',
      'answer',
      'lost',
      '4',
      '6',
      'IPv4',
      'IPv6',
      ...ACTIONS,
      'seeder',
      'leecher',
      '1.2.3',
      ...Object.values(failures),
    ])
    for (const [, name, value] of text.matchAll(/([a-z_]+)="([^"]*)"/g)) {
      assert.ok(
        allowed.has(value!) || name === 'le' || /^http \d{3}$/.test(value!),
        `${name}=${value}`,
      )
    }
  })

  test("chihaya's names give chihaya's numbers", async (t) => {
    const service = await start(t, 'metrics_names: chihaya')
    await ask(service, announce(1, 0))
    await ask(service, announce(2, 1))
    const samples = parse(await (await outside(service, '/metrics')).text())
    assert.equal(samples.get('chihaya_storage_infohashes_count'), 1)
    assert.equal(samples.get('chihaya_storage_seeders_count'), 1)
    assert.equal(samples.get('chihaya_storage_leechers_count'), 1)
    assert.ok(samples.has('chihaya_storage_gc_duration_milliseconds_count'))
    const labels = 'action="announce",address_family="IPv4",error=""'
    assert.equal(samples.get(`chihaya_http_response_duration_milliseconds_count{${labels}}`), 2)
    const bounds = [...samples.keys()]
      .filter((key) =>
        key.startsWith(`chihaya_http_response_duration_milliseconds_bucket{${labels}`),
      )
      .map((key) => /le="([^"]+)"/.exec(key)![1])
    assert.deepEqual(bounds, [
      '9.375',
      '18.75',
      '37.5',
      '75',
      '150',
      '300',
      '600',
      '1200',
      '2400',
      '4800',
      '+Inf',
    ])
    assert.ok(![...samples.keys()].some((key) => key.startsWith('seedbed')))
    assert.ok(samples.get('process_resident_memory_bytes')! > 0, 'what has the same name there')
    assert.ok(samples.has('process_cpu_seconds_total'))
  })

  test('statistics are a page for people and JSON for the rest', async (t) => {
    const service = await start(t)
    await ask(service, announce(1, 0))
    const json = (await (await outside(service, '/stats')).json()) as {
      swarms: number
      version: string
      limited: Record<string, number>
      requests: object[]
    }
    assert.deepEqual([json.swarms, json.version, json.limited.http4], [1, '1.2.3', 0])
    assert.deepEqual(json.requests, [
      { protocol: 'http', family: 4, action: 'announce', error: '', count: 1 },
    ])
    assert.deepEqual(
      Object.keys(json),
      Object.keys(
        (await (
          await outside(service, '/stats.json', { headers: { accept: 'text/html' } })
        ).json()) as object,
      ),
    )
    const page = await outside(service, '/stats', { headers: { accept: 'text/html,*/*' } })
    assert.match(page.headers.get('content-type')!, /text\/html/)
    assert.match(page.headers.get('content-security-policy')!, /default-src 'none'/)
    assert.match(await page.text(), /1 seeders, 0 leechers/)
  })

  test('health, and what is not there', async (t) => {
    const service = await start(t)
    for (const path of ['/livez', '/readyz', '/healthz'])
      assert.equal((await outside(service, path)).status, 200)
    assert.equal((await outside(service, '/announce')).status, 404)
    assert.equal((await outside(service, '/metrics', { method: 'POST', body: 'x' })).status, 405)
    const head = await outside(service, '/metrics', { method: 'HEAD' })
    assert.equal(await head.text(), '')
    await Promise.all([service.stop(), service.stop()])
    await assert.rejects(outside(service, '/livez'))
  })
})
