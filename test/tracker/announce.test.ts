/** The rule of announcing, without a protocol. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import {
  AnnounceAnswer,
  type AnnounceEvent,
  AnnounceRequest,
  Announcer,
  EVENT_NONE,
  EVENT_STARTED,
} from '../../src/tracker/announce.ts'

function swarm(): (
  last: number,
  left: number,
  event: AnnounceEvent,
  wanted?: number,
) => { peers: string[]; seeders: number; leechers: number } {
  const store = createPeerStore({ clock: new ManualClock(), random: seededRandom(3) })
  const announcer = new Announcer(store, {
    announceIntervalMs: 900_000,
    minAnnounceIntervalMs: 60_000,
    retryIntervalMs: 60_000,
    defaultWanted: 50,
    maxWanted: 100,
  })
  const target = new Uint8Array(100 * 6)
  const answer = new AnnounceAnswer()
  return (last, left, event, wanted = 50) => {
    const request = new AnnounceRequest()
    Object.assign(request, {
      address: new Uint8Array([10, 0, 0, last]),
      port: 1,
      left,
      event,
      wanted,
    })
    announcer.announce(request, answer, target, 0, 100)
    const peers = Array.from({ length: answer.peers }, (_, i) => `${target[i * 6 + 3]}`)
    return { peers: peers.sort(), seeders: answer.seeders, leechers: answer.leechers }
  }
}

test('who starts with nothing left gets leechers first, then a few seeders: it may hold a bare magnet', () => {
  const announce = swarm()
  for (let i = 1; i <= 20; i++) announce(i, 0, EVENT_NONE)
  announce(31, 5, EVENT_NONE)
  announce(32, 5, EVENT_NONE)
  const started = announce(99, 0, EVENT_STARTED)
  assert.equal(new Set(started.peers).size, 10)
  assert.ok(started.peers.includes('31') && started.peers.includes('32'))
  assert.ok(!started.peers.includes('99'))
  // Later it is a seeder like any other.
  assert.deepEqual(announce(99, 0, EVENT_NONE).peers, ['31', '32'])
})

test('such an answer is never longer than was asked for, and needs no other seeder', () => {
  const announce = swarm()
  assert.deepEqual(announce(99, 0, EVENT_STARTED).peers, [])
  for (let i = 1; i <= 20; i++) announce(i, i % 2, EVENT_NONE)
  assert.equal(announce(99, 0, EVENT_STARTED, 3).peers.length, 3)
  assert.equal(announce(99, 0, EVENT_STARTED, 0).peers.length, 0)
})
