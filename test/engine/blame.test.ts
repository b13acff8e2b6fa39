/** Who sent what was wrong: found by comparing chunks, also when it has left, and nobody else with it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BAN_MS } from '../../src/engine/addresses.ts'
import { Suspects } from '../../src/engine/suspects.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { RawPeer } from './raw-peer.ts'
import { assertSame, type Content, Swarm } from './swarm.ts'

const CHUNK = 16_384
const PIECE = 2 ** 20

/** Answers requests; what it says is right, but for the chunks that `wrong` names. */
class Sender extends RawPeer {
  readonly #content: Content
  readonly #wrong: (chunk: number) => boolean
  sent = 0

  constructor(swarm: Swarm, from: string, content: Content, wrong: (chunk: number) => boolean) {
    super(swarm, from, '10.0.0.1')
    this.#content = content
    this.#wrong = wrong
  }

  override onRequest(piece: number, begin: number): void {
    super.onRequest(piece, begin)
    const from = piece * PIECE + begin
    const bytes = this.#content.bytes.slice(from, from + CHUNK)
    if (this.#wrong(begin / CHUNK)) bytes[100]! ^= 1
    this.sent++
    this.say(messages.PIECE_HEADER_BYTES + bytes.length, (target) => {
      messages.writePieceHeader(target, 0, piece, begin, bytes.length)
      target.set(bytes, messages.PIECE_HEADER_BYTES)
    })
  }
}

test('one of two who sent a piece, and left before it failed, is banned when it is proven; the other is not', async () => {
  const swarm = new Swarm(1, {}, PIECE)
  const content = swarm.content(PIECE, PIECE)
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.0.1', volume)
  const torrent = await engine.add(content.info, { trackers: [] })
  const meet = async (
    from: string,
    id: number,
    wrong: (chunk: number) => boolean,
  ): Promise<Sender> => {
    const peer = new Sender(swarm, from, content, wrong)
    peer.handshake(content.info.infoHash, id)
    peer.bare(messages.writeHaveAll)
    peer.bare(messages.writeUnchoke)
    return peer
  }
  let lies = 0
  const liar = await meet('10.0.1.1', 1, (chunk) => {
    if (chunk !== 7) return false
    lies++
    return true
  })
  // It goes when it has told its lie, with most of the piece.
  await swarm.until(() => torrent.progress().downloadedBytes >= 20 * CHUNK, 5_000, 1)
  liar.socket.destroy()
  assert.equal(lies, 1)
  const honest = await meet('10.0.2.1', 2, () => false)
  await swarm.until(() => torrent.progress().state === 'seeding', 60_000)
  assertSame(volume, content)
  assert.equal(torrent.progress().hashFailures, 1)
  assert.equal(torrent.progress().bans, 1)
  const { corruptPieces, bans } = engine.status().misdeeds
  assert.deepEqual([corruptPieces, bans], [1, 1])
  assert.ok(!honest.closed || honest.sent >= 64)

  const again = await meet('10.0.1.1', 3, () => false)
  await swarm.until(() => again.closed, 5_000)
  assert.equal(again.count('handshake'), 0, 'it is not let in')
  const later = new RawPeer(swarm, '10.0.2.1', '10.0.0.1')
  later.handshake(content.info.infoHash, 4)
  await swarm.until(() => later.count('handshake') === 1, 5_000)
  await swarm.until(
    () => false || swarm.clock.monotonicMs() > 1_000_000 + BAN_MS,
    BAN_MS + 60_000,
    10_000,
  )
  const pardoned = new RawPeer(swarm, '10.0.1.1', '10.0.0.1')
  pardoned.handshake(content.info.infoHash, 5)
  await swarm.until(() => pardoned.count('handshake') === 1, 5_000)
  await swarm.stop()
})

test('who sent right chunks of many failed attempts is never named', () => {
  const suspects = new Suspects()
  const right = (chunk: number): Uint8Array => Uint8Array.of(chunk)
  const senders = Int32Array.from([1, 2, 3, 1, 2, 3])
  // 2 spoils chunk 1, then chunk 4; of chunk 5 nothing is known any more.
  for (const spoilt of [1, 4]) {
    suspects.failed(0, senders, (chunk) =>
      chunk === 5 ? undefined : chunk === spoilt ? Uint8Array.of(99) : right(chunk),
    )
  }
  assert.deepEqual([...suspects.verified(0, right)], [2])
  assert.deepEqual([...suspects.verified(0, right)], [], 'once')
})
