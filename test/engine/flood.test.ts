/** Floods: a peer that says too much of what is allowed, or comes too often. Memory stays flat, others are served. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Engine } from '../../src/engine/index.ts'
import { encodeExtendedHandshake, encodeMetadataRequest } from '../../src/engine/wire/extended.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { heldBytes } from '../garbage.ts'
import { RawPeer } from './raw-peer.ts'
import { type Content, Swarm } from './swarm.ts'

const CHUNK = 16_384
const MIB = 2 ** 20
const none = { trackers: [] }

async function seeder(
  seed: number,
  options = {},
): Promise<{ swarm: Swarm; content: Content; engine: Engine }> {
  const swarm = new Swarm(seed)
  const content = swarm.content(2_000_000, 65_536)
  const volume = await swarm.holding(content)
  const engine = await swarm.engine('10.0.0.1', volume, options)
  engine.open(volume.get(content.info.infoHash)!, content.info, none)
  return { swarm, content, engine }
}

/** Another peer gets what it asks for. */
async function isServed(swarm: Swarm, content: Content): Promise<void> {
  const peer = new RawPeer(swarm, '10.7.0.1', '10.0.0.1')
  peer.handshake(content.info.infoHash, 200)
  peer.bare(messages.writeInterested)
  await swarm.until(() => peer.count('unchoke') === 1, 5_000)
  peer.request(3, 0, CHUNK)
  await swarm.until(() => peer.chunks.length === 1, 5_000)
  assert.deepEqual(peer.chunks[0]!.bytes, content.bytes.slice(3 * 65_536, 3 * 65_536 + CHUNK))
}

const floods: Readonly<
  Record<string, { readonly size: number; write(to: Uint8Array, at: number, i: number): void }>
> = {
  haves: {
    size: messages.HAVE_BYTES,
    write: (to, at, i) => messages.writeHave(to, at, i % 30),
  },
  'interest and its end': {
    size: messages.BARE_BYTES,
    write: (to, at, i) =>
      i % 2 === 0 ? messages.writeInterested(to, at) : messages.writeNotInterested(to, at),
  },
  cancels: {
    size: messages.REQUEST_BYTES,
    write: (to, at, i) => messages.writeCancel(to, at, i % 31, 0, CHUNK),
  },
  suggestions: {
    size: messages.HAVE_BYTES,
    write: (to, at, i) => messages.writeSuggest(to, at, i % 31),
  },
  'unknown extended messages': {
    size: messages.EXTENDED_HEADER_BYTES + 30,
    write: (to, at) => messages.writeExtended(to, at, 99, new Uint8Array(30)),
  },
  'keep-alives': {
    size: messages.KEEP_ALIVE_BYTES,
    write: (to, at) => messages.writeKeepAlive(to, at),
  },
}

for (const [what, { size, write }] of Object.entries(floods)) {
  test(`a flood of ${what} takes no memory, and keeps nobody from being served`, async () => {
    const { swarm, content } = await seeder(300)
    const peer = new RawPeer(swarm, '10.6.0.1', '10.0.0.1')
    peer.handshake(content.info.infoHash)
    await swarm.until(() => peer.count('extended 0') > 0, 5_000)
    const before = heldBytes()
    for (let round = 0; round < 20; round++) {
      peer.say(5_000 * size, (bytes) => {
        for (let i = 0; i < 5_000; i++) write(bytes, i * size, i)
      })
    }
    const endMs = swarm.clock.monotonicMs() + 2_000
    await swarm.until(() => swarm.clock.monotonicMs() > endMs, 5_000)
    assert.ok(!peer.closed)
    await isServed(swarm, content)
    assert.ok(heldBytes() - before < 48 * MIB, `${heldBytes() - before} bytes more`)
    await swarm.stop()
  })
}

test('who asks for metadata without end and reads nothing is cut off', async () => {
  const { swarm, content, engine } = await seeder(301)
  const peer = new RawPeer(swarm, '10.6.0.1', '10.0.0.1')
  peer.handshake(content.info.infoHash)
  peer.extended(0, encodeExtendedHandshake({ messages: new Map([['ut_metadata', 3]]) }))
  await swarm.until(() => peer.metadataId > 0, 5_000)
  const payload = encodeMetadataRequest(0)
  const size = messages.EXTENDED_HEADER_BYTES + payload.length
  peer.say(20_000 * size, (bytes) => {
    for (let i = 0; i < 20_000; i++) {
      messages.writeExtended(bytes, i * size, peer.metadataId, payload)
    }
  })
  await swarm.until(() => peer.closed, 5_000)
  assert.equal(engine.status().misdeeds.floods, 1)
  assert.equal(engine.get(content.info.infoHash)!.progress().peers, 0)
  await isServed(swarm, content)
  await swarm.stop()
})

test('thousands of connections from one address leave room for others', async () => {
  const { swarm, content, engine } = await seeder(302, { maxConnections: 200 })
  const before = heldBytes()
  const all: RawPeer[] = []
  for (let i = 0; i < 3_000; i++) all.push(new RawPeer(swarm, '10.6.0.1', '10.0.0.1'))
  await swarm.until(() => all.filter(({ closed }) => !closed).length <= 50, 10_000)
  await isServed(swarm, content)
  await swarm.until(() => all.every(({ closed }) => closed), 60_000, 500)
  assert.equal(engine.get(content.info.infoHash)!.progress().peers, 1)
  const { connections, misdeeds } = engine.status()
  assert.ok(connections.refused.address >= 2_900, `${connections.refused.address}`)
  assert.equal(misdeeds.slowHandshakes, 3_000 - connections.refused.address)
  assert.ok(heldBytes() - before < 64 * MIB)
  await swarm.stop()
})
