/** Limits of rates: the buckets alone, and swarms in virtual time whose rates are measured. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Clock, ManualClock } from '../../src/base/index.ts'
import type { EngineTorrent } from '../../src/engine/index.ts'
import { type Share, type Taker, Throttle } from '../../src/engine/throttle.ts'
import { TokenBucket } from '../../src/engine/token-bucket.ts'
import { assertSame, Swarm } from './swarm.ts'

const CHUNK = 16_384
const none = { trackers: [] }

/** Takes all that it may, always. */
class Glutton implements Taker {
  readonly share: Share
  taken = 0

  constructor(share: Share) {
    this.share = share
  }

  onTurn(): void {
    for (;;) {
      const count = this.share.take(this, CHUNK, 4)
      if (count === 0) return
      this.taken += count * CHUNK
    }
  }
}

const totalOf = (takers: readonly Glutton[]): number =>
  takers.reduce((sum, { taken }) => sum + taken, 0)

test('a bucket gives what its rate gives, and one taking more', () => {
  const takings = fc.array(
    fc.record({
      waitMs: fc.nat(3_000),
      wanted: fc.boolean(),
      bytes: fc.integer({ min: 1, max: 200_000 }),
    }),
    { maxLength: 60 },
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000_000 }), takings, (rate, all) => {
      const clock = new ManualClock(5_000)
      const bucket = new TokenBucket(clock, rate)
      let taken = 0
      let largest = 0
      for (const { waitMs, wanted, bytes } of all) {
        clock.advance(waitMs)
        if (bucket.level(wanted) <= 0) continue
        bucket.take(bytes)
        taken += bytes
        largest = Math.max(largest, bytes)
      }
      const elapsedMs = clock.monotonicMs() - 5_000
      assert.ok(taken <= (elapsedMs * rate) / 1000 + largest + 1e-3, `${taken}`)
    }),
  )
})

test('who waits has the whole rate, however late the timers are; who does not want has saved little', () => {
  let nowMs = 0
  let due: (() => void)[] = []
  const clock = {
    ...new ManualClock(0),
    monotonicMs: () => nowMs,
    after: (_delayMs: number, task: () => void) => {
      due.push(task)
      return () => {
        due = due.filter((other) => other !== task)
      }
    },
  } as Clock
  const rate = 1_000_000
  // Of all torrents, and of one.
  for (const [all, own] of [
    [rate, undefined],
    [undefined, rate],
  ]) {
    const throttle = new Throttle(clock, all)
    const share = throttle.share(own)
    const taker = new Glutton(share)
    taker.onTurn()
    const beganMs = nowMs
    for (let i = 0; i < 20; i++) {
      nowMs += 700
      for (const task of due.splice(0)) task()
    }
    const elapsedMs = nowMs - beganMs
    assert.ok(Math.abs(taker.taken - elapsedMs * 1_000) <= 5 * CHUNK, `${taker.taken}`)
    share.leave(taker)
    nowMs += 60_000
    const before = taker.taken
    taker.onTurn()
    assert.ok(taker.taken - before <= 200_000 + 5 * CHUNK, `${taker.taken - before}`)
    share.leave(taker)
  }
})

test('two thousand torrents have the same part of a limit, whichever asks first', () => {
  const clock = new ManualClock(0)
  const rate = 100_000_000
  const throttle = new Throttle(clock, rate)
  const takers = Array.from({ length: 2_000 }, () => new Glutton(throttle.share(undefined)))
  for (const taker of takers) taker.onTurn()
  for (let i = 0; i < 600; i++) clock.advance(50)
  const total = totalOf(takers)
  assert.ok(total <= rate * 30.2 && total > rate * 29.9, `${total}`)
  const taken = takers.map(({ taken }) => taken)
  assert.ok(Math.max(...taken) - Math.min(...taken) <= 2 * CHUNK, 'within two chunks')
})

test('many peers of one torrent have no more than the one of another', () => {
  const clock = new ManualClock(0)
  const throttle = new Throttle(clock, 4_000_000)
  const [crowd, alone] = [throttle.share(undefined), throttle.share(undefined)]
  const takers = Array.from({ length: 20 }, () => new Glutton(crowd))
  const single = new Glutton(alone)
  for (const taker of [...takers, single]) taker.onTurn()
  for (let i = 0; i < 400; i++) clock.advance(50)
  assert.ok(
    Math.abs(totalOf(takers) / single.taken - 1) < 0.05,
    `${totalOf(takers)} ${single.taken}`,
  )
  for (const { taken } of takers) {
    assert.ok(Math.abs((taken * 20) / totalOf(takers) - 1) < 0.1, `${taken}`)
  }
})

test('who is within something whole keeps its turn until that is out; in the end all have the same', () => {
  const clock = new ManualClock(0)
  const share = new Throttle(clock, 4 * CHUNK).share(undefined)
  const order: number[] = []
  class Whole extends Glutton {
    override onTurn(): void {
      const before = this.taken
      super.onTurn()
      for (let at = before; at < this.taken; at += CHUNK) order.push(takers.indexOf(this))
    }

    get keepsTurn(): boolean {
      return this.taken % (4 * CHUNK) !== 0
    }
  }
  const takers = [new Whole(share), new Whole(share), new Whole(share)]
  for (const taker of takers) taker.onTurn()
  for (let i = 0; i < 20 * 30; i++) clock.advance(50)
  const wholes = order.slice(4 * 3, 4 * 27)
  for (let at = 0; at < wholes.length; at += 4) {
    assert.deepEqual(new Set(wholes.slice(at, at + 4)).size, 1, `${order}`)
  }
  const most = Math.max(...takers.map(({ taken }) => taken))
  for (const { taken } of takers) assert.ok(most - taken <= 8 * CHUNK, `${taken} of ${most}`)
})

test('a torrent with a limit of its own keeps to it, and leaves the rest to the others', () => {
  const clock = new ManualClock(0)
  for (const rate of [undefined, 2_000_000]) {
    const throttle = new Throttle(clock, rate)
    const slow = new Glutton(throttle.share(100_000))
    slow.onTurn()
    let free = 0
    const other = throttle.share(undefined)
    const taker: Taker = {
      onTurn: () => {
        free += CHUNK * other.take(taker, CHUNK, 8)
      },
    }
    for (let i = 0; i < 400; i++) {
      taker.onTurn()
      clock.advance(50)
    }
    assert.ok(slow.taken <= 100_000 * 20.2 && slow.taken > 100_000 * 19, `${slow.taken}`)
    assert.ok(free > 1_800_000 * 19, `${rate} ${free}`)
  }
})

test('who leaves takes its timer along; without a limit there is none', () => {
  const clock = new ManualClock(0)
  const throttle = new Throttle(clock, 1_000)
  const taker = new Glutton(throttle.share(undefined))
  taker.onTurn()
  clock.advance(1)
  taker.onTurn()
  taker.share.leave(taker)
  assert.equal(clock.step(), false)
  const free = new Throttle(clock, undefined).share(undefined)
  assert.equal(free.take(taker, CHUNK, 7), 7)
  assert.equal(clock.step(), false)
})

test('a limit that is taken away lets everybody go on at once', () => {
  const clock = new ManualClock(0)
  const throttle = new Throttle(clock, 1_000)
  const share = throttle.share(10)
  let turns = 0
  const taker: Taker = { onTurn: () => void turns++ }
  clock.advance(200)
  share.take(taker, CHUNK, 1)
  share.take(taker, CHUNK, 1)
  clock.advance(200)
  assert.equal(turns, 0)
  throttle.rate = undefined
  share.rate = undefined
  clock.advance(50)
  assert.equal(turns, 1)
})

interface Measured {
  readonly seconds: number
  readonly bytes: number
}

/** Downloads all torrents; the fastest window of `windowS` seconds must keep to the limit. */
async function measure(
  swarm: Swarm,
  torrents: readonly EngineTorrent[],
  windowS = 5,
): Promise<{ readonly whole: Measured; readonly fastest: number }> {
  const bytes = (): number => torrents.reduce((sum, t) => sum + t.progress().downloadedBytes, 0)
  const beganMs = swarm.clock.monotonicMs()
  const samples: number[] = [0]
  let nextMs = beganMs + 1_000
  await swarm.until(() => {
    if (swarm.clock.monotonicMs() >= nextMs) {
      nextMs += 1_000
      samples.push(bytes())
    }
    return torrents.every((torrent) => torrent.progress().state === 'seeding')
  }, 600_000)
  let fastest = 0
  for (let i = windowS; i < samples.length; i++) {
    fastest = Math.max(fastest, (samples[i]! - samples[i - windowS]!) / windowS)
  }
  const seconds = (swarm.clock.monotonicMs() - beganMs) / 1000
  return { whole: { seconds, bytes: bytes() }, fastest }
}

for (const side of ['up', 'down'] as const) {
  for (const whose of ['the engine', 'the torrent'] as const) {
    test(`a limit ${side} of ${whose} is kept and used`, async () => {
      const swarm = new Swarm(71)
      const content = swarm.content(20_000_000, 262_144)
      const rate = 1_000_000
      const limits = { rates: { [side]: rate } }
      const ofEngine = whose === 'the engine' ? limits : {}
      const ofTorrent = whose === 'the engine' ? {} : limits
      const seeding = await swarm.holding(content)
      const seeder = await swarm.engine('10.0.0.1', seeding, side === 'up' ? ofEngine : {})
      seeder.open([...seeding.torrents()][0]!, content.info, {
        ...none,
        ...(side === 'up' ? ofTorrent : {}),
      })
      const volume = swarm.volume()
      const leecher = await swarm.engine('10.0.0.2', volume, side === 'down' ? ofEngine : {})
      const torrent = await leecher.add(content.info, {
        ...none,
        ...(side === 'down' ? ofTorrent : {}),
        peers: [{ host: '10.0.0.1', port: 6881 }],
      })
      const { whole, fastest } = await measure(swarm, [torrent])
      assertSame(volume, content)
      const slack = 1 + (0.2 + 0.3) / 5
      assert.ok(fastest <= rate * slack, `${fastest} bytes a second`)
      assert.ok(whole.bytes / whole.seconds > 0.9 * rate, `${whole.bytes} in ${whole.seconds} s`)
      await swarm.stop()
    })
  }
}

test('two torrents share the upload of a seeder, four peers that of a torrent', async () => {
  const swarm = new Swarm(72)
  const contents = [0, 1].map(() => swarm.content(16_000_000, 262_144))
  const seeder = await swarm.engine('10.0.0.1', swarm.volume(), { rates: { up: 2_000_000 } })
  const volumes = await Promise.all(contents.map((content) => swarm.holding(content)))
  const torrents: EngineTorrent[] = []
  for (const [i, content] of contents.entries()) {
    seeder.open([...volumes[i]!.torrents()][0]!, content.info, none)
    // One torrent has one peer, the other one three.
    for (let peer = 0; peer < (i === 0 ? 1 : 3); peer++) {
      const engine = await swarm.engine(`10.0.${i + 1}.${peer + 1}`, swarm.volume(), {
        uploadSlots: 0,
      })
      const peers = [{ host: '10.0.0.1', port: 6881 }]
      torrents.push(await engine.add(content.info, { ...none, peers }))
    }
  }
  const beganMs = swarm.clock.monotonicMs()
  await swarm.until(() => swarm.clock.monotonicMs() >= beganMs + 12_000, 20_000)
  const bytes = torrents.map((torrent) => torrent.progress().downloadedBytes)
  const crowd = bytes[1]! + bytes[2]! + bytes[3]!
  assert.ok(Math.abs(crowd / bytes[0]! - 1) < 0.1, `${bytes}`)
  for (const part of bytes.slice(1)) assert.ok(Math.abs((3 * part) / crowd - 1) < 0.15, `${bytes}`)
  assert.ok(crowd + bytes[0]! > 0.9 * 2_000_000 * 12, `${bytes}`)
  await swarm.stop()
})
