/** Peers that say anything that the protocol can say, in any order: nothing but their own end comes of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { below, type Random, seededRandom } from '../../src/base/index.ts'
import {
  encodeExtendedHandshake,
  encodeMetadataData,
  encodeMetadataReject,
  encodeMetadataRequest,
} from '../../src/engine/wire/extended.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { RawPeer } from './raw-peer.ts'
import { assertSame, BLOCK_BYTES, type Content, Swarm } from './swarm.ts'

const none = { trackers: [] }
const CHUNK = 16_384

/** One message, mostly one that fits the torrent. */
function chatter(peer: RawPeer, content: Content, random: Random): void {
  const { pieceCount, pieceBytes, infoBytes } = content.info
  const pick = (count: number): number => below(random, count)
  const piece = pick(20) === 0 ? pick(2 ** 32) : pick(pieceCount)
  const begin = pick(20) === 0 ? pick(2 ** 32) : CHUNK * pick(pieceBytes / CHUNK)
  const length = pick(20) === 0 ? 1 + pick(CHUNK) : CHUNK
  const bare = [
    messages.writeChoke,
    messages.writeUnchoke,
    messages.writeInterested,
    messages.writeNotInterested,
    messages.writeHaveAll,
    messages.writeHaveNone,
  ]
  const ranged = [messages.writeRequest, messages.writeCancel, messages.writeReject]
  switch (pick(9)) {
    case 0:
    case 1:
      peer.bare(bare[pick(bare.length)]!)
      break
    case 2:
      peer.say(messages.HAVE_BYTES, (b) => messages.writeHave(b, 0, piece))
      break
    case 3: {
      const bits = new Uint8Array(Math.ceil(pieceCount / 8) + (pick(20) === 0 ? 1 : 0))
      for (let i = 0; i < pick(pieceCount); i++) bits[pick(bits.length)]! |= 128 >> pick(8)
      if (pick(20) !== 0) bits[bits.length - 1]! &= 256 - 2 ** (bits.length * 8 - pieceCount)
      peer.say(messages.BITFIELD_HEADER_BYTES + bits.length, (b) =>
        messages.writeBitfield(b, 0, bits),
      )
      break
    }
    case 4:
      peer.say(messages.REQUEST_BYTES, (b) =>
        ranged[pick(ranged.length)]!(b, 0, piece, begin, length),
      )
      break
    case 5: {
      // What was asked for last, or anything; right or wrong.
      const asked = peer.log.filter((line) => line.startsWith('request')).at(-1 - pick(8))
      const [, p, at] = asked === undefined ? [0, piece, begin] : asked.split(' ').map(Number)
      const from = p! * pieceBytes + at!
      const size = Math.max(1, Math.min(CHUNK, content.bytes.length - from))
      const bytes = new Uint8Array(messages.PIECE_HEADER_BYTES + size)
      messages.writePieceHeader(bytes, 0, p!, at!, size)
      if (pick(4) !== 0) {
        bytes.set(content.bytes.subarray(from, from + size), messages.PIECE_HEADER_BYTES)
      }
      peer.socket.write(bytes)
      break
    }
    case 6: {
      const size = [undefined, infoBytes.length, infoBytes.length, 1 + pick(60_000)][pick(4)]
      const known = pick(4) === 0 ? new Map<string, number>() : new Map([['ut_metadata', 3]])
      peer.extended(
        0,
        encodeExtendedHandshake({
          messages: known,
          ...(size === undefined ? {} : { metadataBytes: size }),
          ...(pick(2) === 0 ? {} : { requestQueue: pick(3) * 100 }),
        }),
      )
      break
    }
    case 7: {
      const info = pick(3) === 0 ? new Uint8Array(1 + pick(40_000)) : infoBytes
      const part = pick(Math.ceil(info.length / CHUNK))
      const said = [encodeMetadataRequest(part), encodeMetadataReject(part)]
      peer.extended(1, pick(2) === 0 ? encodeMetadataData(part, info) : said[pick(2)]!)
      break
    }
    case 8:
      if (pick(10) === 0) peer.socket.destroy()
      else peer.socket.write(new Uint8Array(4))
  }
}

for (const start of ['magnet', 'download', 'seed'] as const) {
  for (const seed of [1, 2, 3, 4, 26, 44]) {
    test(`chatter at a ${start} ends nobody else (seed ${seed})`, async () => {
      const swarm = new Swarm(seed)
      const random = seededRandom(seed)
      const content = swarm.content(1_500_000, [65_536, 327_680, 524_288][seed % 3]!)
      const { infoHash } = content.info
      const volume = await swarm.holding(content, () => start === 'seed')
      if (start === 'magnet') volume.stored.clear()
      const cacheBytes = BLOCK_BYTES * [1, 16][seed % 2]!
      const engine = await swarm.engine('10.0.1.1', volume, { cacheBytes })
      const torrent =
        start === 'magnet'
          ? engine.addMagnet(
              { infoHash, name: undefined, trackers: [], peers: [], totalBytes: undefined },
              none,
            )
          : engine.open(volume.get(infoHash)!, content.info, none)
      const peers: RawPeer[] = []
      for (let step = 0; step < 400; step++) {
        const at = below(random, 6)
        const old = peers[at]
        if (old === undefined || old.closed) {
          peers[at] = new RawPeer(swarm, `10.${seed}.${step >> 8}.${step & 255}`, '10.0.1.1')
          peers[at].handshake(infoHash, 1 + below(random, 200), below(random, 4) !== 0)
        }
        for (let i = below(random, 5); i >= 0; i--) chatter(peers[at]!, content, random)
        swarm.clock.advance(below(random, 40) === 0 ? 12_000 : below(random, 60))
        await new Promise((resolve) => setImmediate(resolve))
      }
      for (const peer of peers) peer?.socket.destroy()
      // Who is honest finds everything as it should be.
      const other = await swarm.holding(content)
      const honest = await swarm.engine('10.0.0.1', start === 'seed' ? swarm.volume() : other)
      const met = { trackers: [], peers: [{ host: '10.0.1.1', port: 6881 }] }
      const theirs =
        start === 'seed'
          ? await honest.add(content.info, met)
          : honest.open(other.get(infoHash)!, content.info, met)
      const done = start === 'seed' ? theirs : torrent
      await swarm.until(() => done.progress().state === 'seeding', 300_000, 100)
      assert.equal(torrent.error, undefined)
      assertSame(volume, content)
      await swarm.stop()
    })
  }
}
