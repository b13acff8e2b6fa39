import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom, silentLogger } from '../../../src/base/index.ts'
import { Alarms } from '../../../src/engine/announce/alarms.ts'
import {
  type Announcer,
  type AnnouncerOptions,
  createAnnouncer,
  tiersOf,
} from '../../../src/engine/announce/announcer.ts'
import type { AnnounceContext } from '../../../src/engine/announce/tracker.ts'
import { type TrackerClient, TrackerUrls } from '../../../src/engine/announce/tracker-client.ts'
import {
  type AnnounceRequest,
  type AnnounceResult,
  type PeerAddress,
  TrackerError,
} from '../../../src/engine/announce/types.ts'
import { Reach } from '../../../src/engine/gateway/reach.ts'
import { settled } from './samples.ts'

const INTERVAL_MS = 1_800_000
const MINUTE_MS = 60_000

/** `host[/6] event`, and when, in seconds. */
interface Said {
  readonly atMs: number
  readonly host: string
  readonly family: 4 | 6
  readonly request: AnnounceRequest
}

type Answer = AnnounceResult | Promise<AnnounceResult> | Error | 'silence'

/** Trackers in memory: a host answers what its script says for the family. */
class FakeClient implements TrackerClient {
  readonly said: Said[] = []
  readonly clock: ManualClock
  /** Hosts that have IPv6 too. */
  readonly dual: Set<string> = new Set()
  answer: (said: Said) => Answer = () => result()
  closed = false

  constructor(clock: ManualClock) {
    this.clock = clock
  }

  async families({ host }: { host: string }): Promise<readonly (4 | 6)[]> {
    return this.dual.has(host) ? [4, 6] : [4]
  }

  begin(_tracker: unknown, round: () => Promise<void>): void {
    void round()
  }

  announce(
    { host }: { host: string },
    family: 4 | 6,
    request: AnnounceRequest,
    signal?: AbortSignal,
  ): Promise<AnnounceResult> {
    const said = { atMs: this.clock.monotonicMs(), host, family, request }
    this.said.push(said)
    const answer = this.answer(said)
    if (answer instanceof Error) return Promise.reject(answer)
    if (answer !== 'silence') return Promise.resolve(answer)
    return new Promise((_, reject) => {
      signal?.addEventListener('abort', () => reject(new TrackerError('given up')))
    })
  }

  close(): void {
    this.closed = true
  }

  /** What was said since the last call. */
  heard(): string[] {
    return this.said.splice(0).map(({ atMs, host, family, request }) => {
      const where = this.dual.has(host) ? `${host}/${family}` : host
      return `${atMs / 1000} ${where} ${request.event}`
    })
  }
}

function result(fields: Partial<AnnounceResult> = {}): AnnounceResult {
  return { intervalMs: INTERVAL_MS, peers: [], ...fields }
}

interface Setting {
  readonly announcer: Announcer
  readonly client: FakeClient
  readonly clock: ManualClock
  readonly peers: PeerAddress[]
  readonly reach: Reach
  left: number
  /** Goes on in small steps, so that what waits for promises comes in time. */
  pass(ms: number): Promise<void>
}

function setUp(
  trackers: readonly (readonly string[])[],
  options: Partial<AnnouncerOptions> = {},
  seed = 4,
): Setting {
  const clock = new ManualClock()
  const client = new FakeClient(clock)
  const peers: PeerAddress[] = []
  const reach = new Reach(6881)
  const context: AnnounceContext = {
    peerId: new Uint8Array(20).fill(2),
    reach,
    key: 77,
    clock,
    random: seededRandom(seed),
    logger: silentLogger,
    alarms: new Alarms(clock),
    trackerClient: client,
  }
  const urls = trackers.map((tier) =>
    tier.map((host) => (host.includes(':') ? host : `http://${host}/announce`)),
  )
  const announcer = createAnnouncer(context, {
    tiers: tiersOf(urls, new TrackerUrls(), silentLogger),
    infoHash: new Uint8Array(20).fill(1),
    host: {
      counters: () => ({ uploaded: 10, downloaded: 20, left: setting.left }),
      addPeers: (more) => peers.push(...more),
    },
    ...options,
  })
  const setting: Setting = {
    announcer,
    client,
    clock,
    peers,
    reach,
    left: 30,
    async pass(ms) {
      await settled()
      const endMs = clock.monotonicMs() + ms
      while (clock.monotonicMs() < endMs) {
        clock.advance(Math.min(1000, endMs - clock.monotonicMs()))
        await settled()
      }
    },
  }
  return setting
}

const NO = new TrackerError('no')

test('started first, then nothing but the interval', async () => {
  const { announcer, client, pass } = setUp([['a']])
  announcer.start()
  await pass(2 * INTERVAL_MS)
  assert.deepEqual(client.heard(), ['0 a started', '1800 a none', '3600 a none'])
})

test('an announce says who, how much and what', async () => {
  const { announcer, client, pass } = setUp([['a']])
  announcer.start()
  await pass(0)
  assert.deepEqual(client.said[0]!.request, {
    infoHash: new Uint8Array(20).fill(1),
    peerId: new Uint8Array(20).fill(2),
    port: 6881,
    key: 77,
    numWant: 100,
    uploaded: 10,
    downloaded: 20,
    left: 30,
    event: 'started',
    trackerId: undefined,
  })
})

test('where a gateway gives another port, trackers outside are told that one, soon, and those at home ours', async () => {
  const { announcer, client, reach, pass } = setUp([['a'], ['192.168.1.5'], ['both']], {
    announceToAllTiers: true,
  })
  client.dual.add('both')
  const told = (): string[] =>
    client.said
      .splice(0)
      .map(({ host, family, request }) => `${host}${family === 6 ? '/6' : ''} ${request.port}`)
      .sort()
  let answer = (_: AnnounceResult): void => {}
  client.answer = ({ host }) => {
    // The first round of one is under way when the port is known.
    if (host === 'a') return new Promise<AnnounceResult>((resolve) => (answer = resolve))
    return result({ minIntervalMs: MINUTE_MS })
  }
  announcer.start()
  await pass(0)
  assert.deepEqual(told(), ['192.168.1.5 6881', 'a 6881', 'both 6881', 'both/6 6881'])
  reach.learn(4, { tcp: 50_123, udp: undefined })
  announcer.announceAgain()
  await pass(1_000)
  assert.deepEqual(told(), [])
  answer(result({ minIntervalMs: MINUTE_MS }))
  await pass(MINUTE_MS - 2_000)
  assert.deepEqual(told(), [])
  await pass(3_000)
  assert.deepEqual(told(), ['192.168.1.5 6881', 'a 50123', 'both 50123', 'both/6 6881'])
  answer(result({ minIntervalMs: MINUTE_MS }))
  await pass(INTERVAL_MS - MINUTE_MS)
  assert.deepEqual(told(), [], 'once')
  announcer.stop(0)
})

test('what the tracker gave as its id is said to it again', async () => {
  const { announcer, client, pass } = setUp([['a']])
  client.answer = () => result({ trackerId: Uint8Array.of(9) })
  announcer.start()
  await pass(INTERVAL_MS)
  assert.deepEqual(client.said[1]!.request.trackerId, Uint8Array.of(9))
})

test('peers are handed on', async () => {
  const { announcer, client, peers, pass } = setUp([['a']])
  client.answer = () => result({ peers: [{ host: '10.0.0.1', port: 1 }] })
  announcer.start()
  await pass(0)
  assert.deepEqual(peers, [{ host: '10.0.0.1', port: 1 }])
})

test('completed is said at once, and once', async () => {
  const setting = setUp([['a']])
  const { announcer, client, pass } = setting
  announcer.start()
  await pass(10_000)
  setting.left = 0
  announcer.completed()
  await pass(INTERVAL_MS)
  assert.deepEqual(client.heard(), ['0 a started', '10 a completed', '1810 a none'])
})

test('a partial seed says so with every announce that says nothing else, to who takes it', async () => {
  let isPartialSeed = false
  const { announcer, client, pass } = setUp([['a'], ['b']], {
    announceToAllTiers: true,
    host: {
      counters: () => ({ uploaded: 0, downloaded: 0, left: 5, isPartialSeed }),
      addPeers() {},
    },
  })
  client.answer = ({ host, request }) =>
    host === 'b' && request.event === 'paused'
      ? new TrackerError('unknown event', { refused: true })
      : result()
  announcer.start()
  await pass(0)
  assert.deepEqual(client.heard(), ['0 a started', '0 b started'])
  isPartialSeed = true
  await pass(INTERVAL_MS)
  assert.deepEqual(client.heard().sort(), ['1800 a paused', '1800 b none', '1800 b paused'])
  await pass(INTERVAL_MS)
  assert.deepEqual(client.heard().sort(), ['3600 a paused', '3600 b none'])
  isPartialSeed = false
  await pass(INTERVAL_MS)
  assert.deepEqual(client.heard().sort(), ['5400 a none', '5400 b none'])
  await announcer.stop(1000)
  assert.deepEqual(client.heard().sort(), ['5400 a stopped', '5400 b stopped'])
})

test('an announce that fails for another reason than what it says is not said again at once', async () => {
  const counters = { uploaded: 0, downloaded: 0, left: 5, isPartialSeed: true }
  const { announcer, client, pass } = setUp([['a']], {
    host: { counters: () => counters, addPeers() {} },
  })
  client.answer = ({ request }) => (request.event === 'paused' ? NO : result())
  announcer.start()
  await pass(INTERVAL_MS)
  assert.deepEqual(client.heard(), ['0 a started', '1800 a paused'])
  await announcer.stop(1000)
})

test('completed while started is under way follows it', async () => {
  const { announcer, client, pass } = setUp([['a']])
  let answer: (result: AnnounceResult) => void = () => {}
  client.answer = () => new Promise((resolve) => (answer = resolve))
  announcer.start()
  await pass(5000)
  announcer.completed()
  await pass(5000)
  client.answer = () => result()
  answer(result())
  await pass(MINUTE_MS)
  assert.deepEqual(client.heard(), ['0 a started', '10 a completed'])
})

test('completed is still said when stop follows at once, and before stopped', async () => {
  const { announcer, client, pass } = setUp([['a']])
  announcer.start()
  await pass(1000)
  let answer: (result: AnnounceResult) => void = () => {}
  client.answer = ({ request }) =>
    request.event === 'completed' ? new Promise((resolve) => (answer = resolve)) : result()
  announcer.completed()
  const stopping = announcer.stop(5000)
  await pass(1000)
  assert.deepEqual(client.heard(), ['0 a started', '1 a completed'])
  answer(result())
  await stopping
  assert.deepEqual(client.heard(), ['2 a stopped'])
})

test('whoever was never told of the start is not told of the completion', async () => {
  const { announcer, client, pass } = setUp([['a']])
  client.answer = () => NO
  announcer.start()
  await pass(1000)
  announcer.completed()
  client.answer = () => result()
  await pass(MINUTE_MS)
  assert.deepEqual(
    client.said.map((said) => said.request.event),
    ['started', 'started'],
  )
})

test('a completion that failed is said at the next announce', async () => {
  const { announcer, client, pass } = setUp([['a']])
  announcer.start()
  await pass(1000)
  client.answer = () => NO
  announcer.completed()
  await pass(1000)
  client.answer = () => result()
  await pass(INTERVAL_MS + MINUTE_MS)
  const events = client.said.map((said) => said.request.event)
  assert.deepEqual(events, ['started', 'completed', 'completed', 'none'].slice(0, events.length))
  assert.ok(events.length >= 3)
})

test('within a tier the order is shuffled, and who works comes first from then on', async () => {
  const orders = new Set<string>()
  for (let seed = 0; seed < 40; seed++) {
    const { announcer, client, pass } = setUp([['a', 'b', 'c']], {}, seed)
    client.answer = () => NO
    announcer.start()
    await pass(0)
    orders.add(client.said.map(({ host }) => host).join(''))
  }
  assert.equal(orders.size, 6)

  const { announcer, client, pass } = setUp([['a', 'b', 'c']])
  client.answer = ({ host }) => (host === 'c' ? result() : NO)
  announcer.start()
  await pass(0)
  assert.equal(client.said.at(-1)!.host, 'c')
  client.heard()
  client.answer = () => result()
  await pass(INTERVAL_MS)
  assert.deepEqual(client.heard(), ['1800 c none'])
})

test('the next tier is for when a whole tier failed, and the first comes back', async () => {
  const { announcer, client, pass } = setUp([['a'], ['b'], ['c']])
  client.answer = ({ host }) => (host === 'a' ? NO : result())
  announcer.start()
  await pass(0)
  assert.deepEqual(client.heard(), ['0 a started', '0 b started'])
  client.answer = () => result()
  await pass(INTERVAL_MS)
  assert.deepEqual(client.heard(), ['1800 a started'])
})

test('all tiers, each with its own interval, when asked for', async () => {
  const { announcer, client, pass } = setUp([['a'], ['b']], { announceToAllTiers: true })
  client.answer = ({ host }) => result({ intervalMs: host === 'a' ? 60_000 : 100_000 })
  announcer.start()
  await pass(120_000)
  const expected = ['0 a started', '0 b started', '60 a none', '100 b none', '120 a none']
  assert.deepEqual(client.heard(), expected)
})

test('failures in a row are followed by doubling rests, a quarter more or less, up to half an hour', async () => {
  const { announcer, client, pass } = setUp([['a']])
  client.answer = () => NO
  announcer.start()
  await pass(4 * 3_600_000)
  const times = client.said.map(({ atMs }) => atMs)
  const rests = times.slice(1).map((time, i) => time - times[i]!)
  assert.ok(rests.length > 8)
  rests.forEach((rest, i) => {
    const expected = Math.min(1_800_000, 15_000 * 2 ** i)
    assert.ok(rest >= 0.75 * expected && rest <= 1.25 * expected + 1000, `${i}: ${rest}`)
  })
  assert.ok(new Set(rests.slice(-3)).size > 1, 'no two rests are alike')
})

test('a tracker that says when to come back is asked then, or never', async () => {
  for (const [retryAfterMs, count] of [
    [7_200_000, 2],
    [Number.POSITIVE_INFINITY, 1],
  ] as const) {
    const { announcer, client, pass } = setUp([['a']])
    client.answer = () => new TrackerError('busy', { retryAfterMs })
    announcer.start()
    await pass(7_201_000)
    assert.equal(client.said.length, count)
  }
})

test('for more peers the min interval counts, however often they are asked for', async () => {
  const { announcer, client, pass } = setUp([['a']])
  client.answer = () => result({ minIntervalMs: 90_000 })
  announcer.start()
  await pass(0)
  for (let s = 0; s < 200; s++) {
    announcer.announceNow()
    await pass(1000)
  }
  assert.deepEqual(client.heard(), ['0 a started', '90 a none', '180 a none'])
})

test('without a min interval five minutes count, or the interval if that is shorter', async () => {
  for (const [intervalMs, expected] of [
    [INTERVAL_MS, '300 a none'],
    [60_000, '60 a none'],
  ] as const) {
    const { announcer, client, pass } = setUp([['a']])
    client.answer = () => result({ intervalMs })
    announcer.start()
    await pass(0)
    announcer.announceNow()
    await pass(300_000)
    assert.equal(client.heard()[1], expected)
  }
})

test('a min interval that is longer than the interval counts', async () => {
  const { announcer, client, pass } = setUp([['a']])
  client.answer = () => result({ intervalMs: 60_000, minIntervalMs: 120_000 })
  announcer.start()
  await pass(130_000)
  assert.deepEqual(client.heard(), ['0 a started', '120 a none'])
})

test('a host with both families is announced to over both, and each hears every event', async () => {
  const setting = setUp([['a']])
  const { announcer, client, pass } = setting
  client.dual.add('a')
  announcer.start()
  await pass(1000)
  announcer.completed()
  await pass(0)
  await announcer.stop(5000)
  assert.deepEqual(client.heard(), [
    '0 a/4 started',
    '0 a/6 started',
    '1 a/4 completed',
    '1 a/6 completed',
    '1 a/4 stopped',
    '1 a/6 stopped',
  ])
})

test('one family is enough, and a silent one holds up nothing', async () => {
  for (const broken of [NO, 'silence'] as const) {
    const { announcer, client, peers, pass } = setUp([['a'], ['b']])
    client.dual.add('a')
    client.answer = ({ family }) =>
      family === 6 ? broken : result({ peers: [{ host: '10.0.0.1', port: 1 }] })
    announcer.start()
    await pass(0)
    assert.equal(peers.length, 1)
    await pass(INTERVAL_MS)
    const again = broken === 'silence' ? [] : ['1800 a/6 started']
    assert.deepEqual(client.heard(), ['0 a/4 started', '0 a/6 started', '1800 a/4 none', ...again])
    await announcer.stop(1000)
    assert.deepEqual(client.heard(), ['1800 a/4 stopped'])
  }
})

test('of the intervals of two families the longer counts', async () => {
  const { announcer, client, pass } = setUp([['a']])
  client.dual.add('a')
  client.answer = ({ family }) => result({ intervalMs: family === 4 ? 60_000 : 100_000 })
  announcer.start()
  await pass(110_000)
  assert.deepEqual(client.heard().slice(2), ['100 a/4 none', '100 a/6 none'])
})

test('stopped is said to those that heard started, with the last totals, and nobody after', async () => {
  const setting = setUp([['a'], ['b']])
  const { announcer, client, pass } = setting
  client.answer = ({ host }) => (host === 'a' ? NO : result())
  announcer.start()
  await pass(1000)
  client.heard()
  setting.left = 7
  await announcer.stop(5000)
  assert.equal(client.said[0]!.request.left, 7)
  assert.equal(client.said[0]!.request.numWant, 0)
  assert.deepEqual(client.heard(), ['1 b stopped'])
  announcer.announceNow()
  announcer.completed()
  await announcer.stop(5000)
  await pass(2 * INTERVAL_MS)
  assert.deepEqual(client.heard(), [])
})

test('an announce that is under way ends with stop', async () => {
  const { announcer, client, pass } = setUp([['a']])
  client.answer = () => 'silence'
  announcer.start()
  await pass(1000)
  await announcer.stop(5000)
  await pass(INTERVAL_MS)
  assert.deepEqual(client.heard(), ['0 a started'])
})

test('stop is bounded in time, even where nobody heeds it', async () => {
  const { announcer, client, clock, pass } = setUp([['a']])
  announcer.start()
  await pass(0)
  client.announce = () => new Promise(() => {})
  let stopped = false
  const stopping = announcer.stop(5000).then(() => {
    stopped = true
  })
  await pass(4999)
  assert.equal(stopped, false)
  clock.advance(1)
  await stopping
})

test('stop without start says nothing', async () => {
  const { announcer, client } = setUp([['a']])
  await announcer.stop(1000)
  announcer.announceNow()
  assert.deepEqual(client.heard(), [])
})

test('the client, which is shared, is not closed', async () => {
  const { announcer, client } = setUp([['a']])
  announcer.start()
  await announcer.stop(1000)
  assert.equal(client.closed, false)
})

test('nothing to announce to is no trouble', async () => {
  for (const trackers of [[], [[]], [['ws://a/', ':nonsense']]]) {
    for (const announceToAllTiers of [false, true]) {
      const { announcer, client, pass } = setUp(trackers, { announceToAllTiers })
      announcer.start()
      announcer.announceNow()
      announcer.completed()
      await pass(INTERVAL_MS)
      await announcer.stop(1000)
      assert.deepEqual(client.heard(), [])
      assert.deepEqual(announcer.status(), [])
    }
  }
})

test('a tracker that is listed twice is announced to once', async () => {
  const { announcer, client, pass } = setUp([['a', 'a'], ['a']], { announceToAllTiers: true })
  announcer.start()
  await pass(0)
  assert.deepEqual(client.heard(), ['0 a started'])
})

test('the status tells counts and reasons, and no secret', async () => {
  const { announcer, client, pass } = setUp([['a'], ['b']])
  client.answer = ({ host }) =>
    host === 'a' ? new TrackerError('not registered') : result({ seeders: 5, leechers: 3 })
  announcer.start()
  await pass(0)
  const nothing = { error: undefined, warning: undefined, seeders: undefined, leechers: undefined }
  assert.deepEqual(announcer.status(), [
    { ...nothing, tracker: 'http://a', tier: 0, error: 'not registered' },
    { ...nothing, tracker: 'http://b', tier: 1, seeders: 5, leechers: 3 },
  ])
})

test('whatever trackers do: events in order, intervals kept, an end to everything', async () => {
  const answers = fc.array(fc.constantFrom('ok', 'ok', 'no', 'silence'), { minLength: 12 })
  const actions = fc.array(
    fc.constantFrom('announceNow', 'announceNow', 'completed', 'minute', 'hour'),
    { maxLength: 12 },
  )
  await fc.assert(
    fc.asyncProperty(
      answers,
      actions,
      fc.boolean(),
      fc.nat(1000),
      async (script, acts, all, seed) => {
        const setting = setUp([['a', 'b'], ['c']], { announceToAllTiers: all }, seed)
        const { announcer, client, pass } = setting
        client.dual.add('a').add('c')
        let next = 0
        const good: Said[] = []
        client.answer = (said) => {
          const kind = script[next++ % script.length]
          if (kind === 'silence') return 'silence'
          if (kind === 'no') return NO
          good.push(said)
          return result({ intervalMs: 600_000, minIntervalMs: 120_000 })
        }
        announcer.start()
        let completions = 0
        for (const act of acts) {
          if (act === 'announceNow') announcer.announceNow()
          else if (act === 'completed' && completions++ === 0) announcer.completed()
          else if (act === 'minute') await pass(MINUTE_MS)
          else if (act === 'hour') await pass(60 * MINUTE_MS)
        }
        await settled()
        const stopping = announcer.stop(5000)
        await pass(5000)
        await stopping
        const said = client.said.length
        await pass(60 * MINUTE_MS)
        assert.equal(client.said.length, said, 'said after stop')

        const keys = new Set(client.said.map(({ host, family }) => `${host}/${family}`))
        for (const key of keys) {
          const mine = client.said.filter((s) => `${s.host}/${s.family}` === key)
          const heard = mine.filter((s) => good.includes(s))
          const events = heard.map((s) => s.request.event).join(' ')
          assert.match(events, /^(started( none)*( completed)?( none)*( stopped)?)?$/, key)
          if (heard.length === 0)
            assert.ok(
              mine.every((s) => s.request.event === 'started'),
              key,
            )
          const plain = heard.filter((s) => s.request.event === 'none' || s === heard[0])
          plain.slice(1).forEach((s, i) => {
            assert.ok(s.atMs - plain[i]!.atMs >= 120_000, `${key} asked again too soon`)
          })
        }
      },
    ),
    { seed: 20260102, numRuns: 60 },
  )
})
