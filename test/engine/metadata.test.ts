/** Fetching info dictionaries from peers, some of which want that it fails. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/index.ts'
import { MetadataFetch, type MetadataPeer } from '../../src/engine/metadata.ts'
import {
  METADATA_PIECE_BYTES,
  metadataPieceBytes,
  parseMetadataMessage,
} from '../../src/engine/wire/extended.ts'

const info = new Uint8Array(5 * METADATA_PIECE_BYTES + 77)
seededRandom(3).fill(info)
const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')

/** Answers, after a while, by `answer`: the bytes of a piece and the size in all. */
class FakePeer implements MetadataPeer {
  readonly closed = false
  asked = 0
  readonly metadataBytes: number
  readonly delayMs: number
  readonly answer: (piece: number) => { bytes: Uint8Array; totalBytes: number }
  readonly #network: Network

  constructor(
    network: Network,
    metadataBytes: number,
    answer: FakePeer['answer'],
    delayMs: number = 0,
  ) {
    this.metadataBytes = metadataBytes
    this.answer = answer
    this.delayMs = delayMs
    this.#network = network
  }

  sendMetadata(payload: Uint8Array): void {
    const message = parseMetadataMessage(payload)!
    assert.equal(message.type, 'request')
    this.asked++
    const dueMs = this.#network.nowMs + this.delayMs
    this.#network.requests.push({ peer: this, piece: message.piece, dueMs })
  }
}

class Network {
  requests: { peer: FakePeer; piece: number; dueMs: number }[] = []
  readonly fetch: MetadataFetch
  got: Uint8Array | undefined
  nowMs = 0

  constructor() {
    this.fetch = new MetadataFetch(
      (bytes) => digest(bytes) === digest(info),
      (bytes) => {
        this.got = bytes
      },
      () => {},
    )
  }

  /** Until nobody has anything to answer now, or enough has been said. */
  run(): void {
    for (let said = 0; said < 1_000; said++) {
      const request = this.requests.find(({ dueMs }) => dueMs <= this.nowMs)
      if (request === undefined) return
      this.requests = this.requests.filter((other) => other !== request)
      const { peer, piece } = request
      this.fetch.receive(peer, { type: 'data', piece, ...peer.answer(piece) }, this.nowMs)
    }
  }

  /** Once a second, as the swarm does. */
  wait(seconds: number): void {
    for (let i = 0; i < seconds && this.got === undefined; i++) {
      this.nowMs += 1_000
      this.fetch.pump(this.nowMs)
      this.run()
    }
  }
}

const honest = (network: Network): FakePeer =>
  new FakePeer(network, info.length, (piece) => ({
    bytes: info.subarray(
      piece * METADATA_PIECE_BYTES,
      piece * METADATA_PIECE_BYTES + metadataPieceBytes(info.length, piece),
    ),
    totalBytes: info.length,
  }))

test('a peer that answers with another size than it claimed is not asked for ever', () => {
  const network = new Network()
  const liar = new FakePeer(network, 3 * METADATA_PIECE_BYTES, () => ({
    bytes: new Uint8Array(METADATA_PIECE_BYTES),
    totalBytes: 7 * METADATA_PIECE_BYTES,
  }))
  network.fetch.add(liar, 0)
  network.run()
  assert.ok(liar.asked < 10, `asked ${liar.asked} times`)
  network.fetch.add(honest(network), network.nowMs)
  network.run()
  network.wait(5)
  assert.deepEqual(network.got, info)
})

/** Claims a size of its own and sends what may be right, four pieces of four thousand in nine seconds. */
function slowPeer(network: Network): FakePeer {
  const totalBytes = 64 * 2 ** 20
  const bytes = new Uint8Array(METADATA_PIECE_BYTES)
  return new FakePeer(network, totalBytes, () => ({ bytes, totalBytes }), 9_000)
}

test('a size that one peer claims gives way to another that more of them claim', () => {
  const network = new Network()
  network.fetch.add(slowPeer(network), 0)
  network.run()
  for (let i = 0; i < 2; i++) network.fetch.add(honest(network), network.nowMs)
  network.run()
  network.wait(5)
  assert.deepEqual(network.got, info)
})

test('who takes for ever gives way to who claims another size', () => {
  const network = new Network()
  network.fetch.add(slowPeer(network), 0)
  network.run()
  network.fetch.add(honest(network), network.nowMs)
  network.wait(50)
  assert.equal(network.got, undefined, 'it may be right, and slow')
  network.wait(15)
  assert.deepEqual(network.got, info)
})
