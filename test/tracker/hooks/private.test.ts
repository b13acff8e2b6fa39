/** The private mode: keys in the path let in, and what each moved is in the log. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom, silentLogger, toHex } from '../../../src/base/index.ts'
import { createPeerStore } from '../../../src/peer-store/index.ts'
import {
  AnnounceAnswer,
  AnnounceRequest,
  Announcer,
  EVENT_NONE,
  EVENT_STARTED,
  EVENT_STOPPED,
} from '../../../src/tracker/announce.ts'
import { ConnectionIds, makeConnectionIds } from '../../../src/tracker/connection-id.ts'
import { Counters } from '../../../src/tracker/counters.ts'
import { Accounting } from '../../../src/tracker/hooks/accounting.ts'
import { AccountingTable } from '../../../src/tracker/hooks/accounting-table.ts'
import { HookList } from '../../../src/tracker/hooks/hook.ts'
import { PasskeyApproval, parsePasskeys } from '../../../src/tracker/hooks/passkey.ts'
import { HttpHead, parseHead } from '../../../src/tracker/http-codec.ts'
import { HttpHandler } from '../../../src/tracker/http-handler.ts'
import { HttpRoutes } from '../../../src/tracker/http-routes.ts'
import { UdpHandler } from '../../../src/tracker/udp-handler.ts'

const HERE = Uint8Array.of(127, 0, 0, 1)
const ALICE = 'a1a1a1a1a1a1'
const NAMELESS = 'b2b2b2b2b2b2'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'seedbed-private-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

async function setUp(t: TestContext) {
  const dir = folder(t)
  const keys = join(dir, 'keys')
  const log = join(dir, 'log')
  writeFileSync(keys, `# ours\n${ALICE} alice\n\n${NAMELESS}\r\n`)
  const clock = new ManualClock(1_000_000)
  const hooks = new HookList([
    new PasskeyApproval({ file: keys }, clock, silentLogger),
    new Accounting({ file: log, memoryBytes: 65_536 }, clock, seededRandom(4), silentLogger),
  ])
  await hooks.start()
  t.after(() => hooks.stop())
  const store = createPeerStore({ clock, random: seededRandom(1) })
  const policy = {
    announceIntervalMs: 900_000,
    minAnnounceIntervalMs: 60_000,
    retryIntervalMs: 60_000,
    defaultWanted: 50,
    maxWanted: 50,
  }
  const connectionIds = new ConnectionIds(clock, makeConnectionIds(clock, seededRandom(2)))
  const routes = ['/:passkey/announce']
  const common = {
    store,
    counters: new Counters(),
    announcer: new Announcer(store, policy, hooks),
    allowIpSpoofing: false,
  }
  const http = new HttpHandler({
    ...common,
    maxWanted: 50,
    announceRoutes: routes,
    scrapeRoutes: ['/:passkey/scrape', '/scrape'],
  })
  const udp = new UdpHandler({ ...common, connectionIds, routes: new HttpRoutes(routes, []) })
  const head = new HttpHead()
  const ask = (target: string): string => {
    const bytes = Buffer.from(`GET ${target} HTTP/1.1\r\n\r\n`)
    assert.equal(parseHead(bytes, 0, bytes.length, head), 'request')
    http.handle(bytes, head, HERE)
    const answer = Buffer.from(http.reply.subarray(http.start, http.end)).toString('latin1')
    return answer.split('\r\n\r\n')[1]!
  }
  return {
    clock,
    hooks,
    keys,
    log,
    lines: () =>
      readFileSync(log, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    ask,
    get: (key: string, query: string): string =>
      ask(`/${key}/announce?info_hash=${'h'.repeat(20)}&peer_id=${'p'.repeat(20)}&port=1&${query}`),
    udpScrape(): string {
      const packet = Buffer.alloc(36)
      connectionIds.issue(HERE, packet)
      packet.writeUInt32BE(2, 8)
      return Buffer.from(udp.reply.subarray(8, udp.handle(packet, HERE))).toString()
    },
    udp(url: string): string {
      const id = new Uint8Array(8)
      connectionIds.issue(HERE, id)
      const packet = Buffer.concat([Buffer.alloc(98), Buffer.of(2, url.length), Buffer.from(url)])
      packet.set(id)
      packet.writeUInt32BE(1, 8)
      packet.writeUInt16BE(6881, 96)
      const reply = Buffer.from(udp.reply.subarray(0, udp.handle(packet, HERE)))
      return reply.readUInt32BE(0) === 1 ? 'ok' : reply.subarray(8).toString()
    },
  }
}

test('a key in the path lets in, over HTTP and over UDP; no other does', async (t) => {
  const { get, udp } = await setUp(t)
  const query = 'uploaded=0&downloaded=0&left=1'
  assert.match(get(ALICE, query), /^d8:complete/)
  assert.match(get(NAMELESS, query), /^d8:complete/)
  assert.equal(
    get('c3c3c3c3c3c3', query),
    'd14:failure reason35:unapproved request: invalid passkeye',
  )
  assert.equal(udp(`/${ALICE}/announce?x=1`), 'ok')
  assert.equal(udp(`/${ALICE}x/announce`), 'unapproved request: invalid passkey')
  assert.equal(udp('/announce'), 'unapproved request: missing passkey')
  assert.equal(udp(''), 'unapproved request: missing passkey')
})

test('a scrape needs a key too, and UDP has no place for one', async (t) => {
  const { ask, udpScrape } = await setUp(t)
  const query = `info_hash=${'h'.repeat(20)}`
  assert.match(ask(`/${ALICE}/scrape?${query}`), /^d5:files/)
  assert.equal(
    ask(`/${ALICE}x/scrape?${query}`),
    'd14:failure reason35:unapproved request: invalid passkeye',
  )
  const missing = 'unapproved request: missing passkey'
  assert.equal(ask(`/scrape?${query}`), `d14:failure reason35:${missing}e`)
  assert.equal(udpScrape(), missing)
})

test('keys come and go with their file, unless it has a mistake', async (t) => {
  const { get, keys, hooks } = await setUp(t)
  const query = 'uploaded=0&downloaded=0&left=1'
  writeFileSync(keys, 'd4d4d4d4d4d4 dora\n')
  await hooks.refresh()
  assert.match(get('d4d4d4d4d4d4', query), /^d8:complete/)
  assert.match(get(ALICE, query), /invalid passkey/)
  writeFileSync(keys, `${ALICE} alice\nshort\n`)
  assert.deepEqual(await hooks.refresh(), [
    `${keys}:2: a key has 8 to 128 letters, digits, - and _`,
  ])
  assert.match(get('d4d4d4d4d4d4', query), /^d8:complete/)
  for (const [text, pattern] of [
    ['short', /F:1: a key has 8/],
    [`${ALICE}\n${ALICE} again`, /F:2: this key is there already/],
    [`${ALICE} a b`, /F:1: a name is one word/],
    [`${ALICE}/x`, /F:1: a key has 8/],
  ] as const) {
    assert.throws(() => parsePasskeys(text, 'F'), { code: 'TRACKER_LIST', message: pattern })
  }
})

test('the log says what was moved since the announce before, and survives being moved away', async (t) => {
  const { get, clock, hooks, lines, log } = await setUp(t)
  const settled = async (): Promise<void> => {
    clock.advance(1000)
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  get(ALICE, 'uploaded=0&downloaded=0&left=100&event=started')
  get(ALICE, 'uploaded=7&downloaded=60&left=40')
  get('no-such-key', 'uploaded=9&downloaded=9&left=9')
  while (lines().length < 2) await settled()
  renameSync(log, `${log}.1`)
  get(ALICE, 'uploaded=9&downloaded=100&left=0&event=completed')
  get(ALICE, 'uploaded=20&downloaded=100&left=0&event=stopped')
  get(NAMELESS, 'uploaded=500&downloaded=5&left=3')
  await hooks.stop()
  const first = readFileSync(`${log}.1`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const of = (line: Record<string, unknown>) => [
    line.owner,
    line.event,
    line.uploaded,
    line.downloaded,
    line.leftChange,
    line.left,
    line.unknown,
  ]
  assert.deepEqual([...first, ...lines()].map(of), [
    ['alice', 'started', 0, 0, 0, 100, undefined],
    ['alice', '', 7, 60, -60, 40, undefined],
    ['alice', 'completed', 2, 40, -40, 0, undefined],
    ['alice', 'stopped', 11, 0, 0, 0, undefined],
    [NAMELESS, '', 0, 0, 0, 3, true],
  ])
  assert.equal(first[0]!.infoHash, toHex(Buffer.from('h'.repeat(20))))
  assert.equal(first[0]!.peerId, toHex(Buffer.from('p'.repeat(20))))
})

test('what a client says in 64 bits is logged in numbers that every reader takes', async (t) => {
  const { get, hooks, lines } = await setUp(t)
  const most = '18446744073709551615'
  get(ALICE, `uploaded=${most}&downloaded=0&left=9223372036854775807&event=started`)
  get(ALICE, `uploaded=0&downloaded=${most}&left=0`)
  await hooks.stop()
  const safe = Number.MAX_SAFE_INTEGER
  assert.deepEqual(
    lines().map((line) => [line.uploaded, line.downloaded, line.leftChange, line.left]),
    [
      [safe, 0, 0, safe],
      [0, safe, -safe, 0],
    ],
  )
})

test('a log that cannot be written is known at the start', async () => {
  const options = { file: '/nowhere/log', memoryBytes: 65_536 }
  const accounting = new Accounting(options, new ManualClock(), seededRandom(1), silentLogger)
  await assert.rejects(accounting.start(), { code: 'TRACKER_ACCOUNTING' })
})

test('when the disk fails lines wait, and beyond a bound are lost, not the process', async (t) => {
  const dir = folder(t)
  const clock = new ManualClock()
  const errors: string[] = []
  const logger = { ...silentLogger, error: (_: object, text: string) => void errors.push(text) }
  const file = join(dir, 'sub')
  const accounting = new Accounting(
    { file: join(dir, 'sub'), memoryBytes: 65_536 },
    clock,
    seededRandom(1),
    logger,
  )
  await accounting.start()
  rmSync(file)
  // A folder in the place of the file: nothing can be appended to it.
  mkdirSync(file)
  const request = new AnnounceRequest()
  request.event = EVENT_NONE
  accounting.observe(request, new AnnounceAnswer())
  clock.advance(1000)
  while (errors.length === 0) await new Promise((resolve) => setImmediate(resolve))
  assert.match(errors[0]!, /not written, tried again/)
  rmSync(file, { recursive: true })
  await accounting.stop()
  assert.equal(readFileSync(file, 'utf8').trim().split('\n').length, 1)
})

test('differences are those of a map, as long as there is room', () => {
  const step = fc.record({
    who: fc.integer({ min: 0, max: 5 }),
    up: fc.integer({ min: 0, max: 50 }),
    left: fc.integer({ min: 0, max: 50 }),
    event: fc.constantFrom(EVENT_NONE, EVENT_NONE, EVENT_STARTED, EVENT_STOPPED),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const table = new AccountingTable(seededRandom(9), 65_536)
      const model = new Map<number, { up: number; left: number }>()
      const hash = new Uint8Array(20)
      for (const [i, { who, up, left, event }] of steps.entries()) {
        const begins = event === EVENT_STARTED
        const before = model.get(who)
        const found = table.note(
          `o${who % 2}`,
          hash,
          new Uint8Array(20).fill(who),
          { uploaded: up, downloaded: up * 2, left },
          begins,
          event === EVENT_STOPPED,
          i + 1,
        )
        const base = before?.up ?? 0
        const unknown = before === undefined && !begins
        const moved = unknown ? 0 : up < base ? up : up - base
        assert.deepEqual(found, {
          uploaded: moved,
          downloaded: moved * 2,
          left: before === undefined ? 0 : left - before.left,
          unknown,
        })
        if (event === EVENT_STOPPED) model.delete(who)
        else model.set(who, { up, left })
      }
    }),
    { seed: 3, numRuns: 300 },
  )
})

test('a start that is said twice is counted once', () => {
  const table = new AccountingTable(seededRandom(9), 65_536)
  const [hash, peerId] = [new Uint8Array(20), new Uint8Array(20)]
  const note = (uploaded: number, begins: boolean): number =>
    table.note('o', hash, peerId, { uploaded, downloaded: 0, left: 0 }, begins, false, 1).uploaded
  assert.equal(note(0, true), 0)
  assert.equal(note(500, false), 500)
  // An IPv6 address came up: libtorrent starts there with what it has moved since the torrent was started.
  assert.equal(note(600, true), 100)
  assert.equal(note(0, true), 0, 'started anew under the same peer id')
  assert.equal(note(70, false), 70)
})

test('the table forgets who was longest not heard of, and does not grow', () => {
  const table = new AccountingTable(seededRandom(9), 1)
  const hash = new Uint8Array(20)
  const note = (who: number, second: number): boolean =>
    table.note(
      'o',
      hash,
      new Uint8Array(20).fill(who),
      { uploaded: 1, downloaded: 1, left: 1 },
      false,
      false,
      second,
    ).unknown
  for (let who = 0; who < 8; who++) assert.equal(note(who, who + 1), true)
  assert.equal(note(0, 9), false, 'eight fit')
  assert.equal(note(8, 10), true, 'takes the place of 1')
  assert.equal(note(0, 11), false)
  assert.equal(note(1, 12), true)
})
