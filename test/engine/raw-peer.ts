/** A peer that says exactly what the test wants, and writes down what it is told. */
import { toHex } from '../../src/base/index.ts'
import type { PeerSocket } from '../../src/engine/index.ts'
import { EXTENDED_HANDSHAKE_ID, parseExtendedHandshake } from '../../src/engine/wire/extended.ts'
import { HANDSHAKE_BYTES, writeHandshake } from '../../src/engine/wire/handshake.ts'
import { HASH_REQUEST_BYTES, writeHashes, writeHashRequest } from '../../src/engine/wire/hashes.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { WireReader, type WireSink } from '../../src/engine/wire/reader.ts'
import type { HashRange } from '../../src/metainfo/index.ts'
import type { Swarm } from './swarm.ts'

export class RawPeer implements WireSink {
  /** What was received, one line each. */
  readonly log: string[] = []
  readonly chunks: { piece: number; begin: number; bytes: Uint8Array }[] = []
  readonly socket: PeerSocket & { onConnect: () => void }
  /** Their number for ut_metadata. */
  metadataId = 0
  /** Where it says that it is reached (BEP 10, `p`). */
  toldPort: number | undefined
  onMetadata: (payload: Uint8Array) => void = () => {}
  /** What came in hashes messages. */
  readonly received: Uint8Array[] = []
  answerHashes: (root: Uint8Array, range: HashRange) => void = () => {}
  closed = false
  reading = true
  #into: Uint8Array = new Uint8Array(0)
  readonly #reader = new WireReader(this)

  constructor(swarm: Swarm, from: string, to: string) {
    this.socket = swarm.internet.host(from).connect(to, 6881)
    this.socket.onData = (bytes) => this.#reader.push(bytes)
    this.socket.onClose = () => {
      this.closed = true
    }
  }

  handshake(
    infoHash: Uint8Array,
    peerId = 1,
    fast = true,
    supportsV2 = false,
    supportsDht = false,
  ): void {
    const bytes = new Uint8Array(HANDSHAKE_BYTES)
    writeHandshake(bytes, {
      infoHash,
      peerId: new Uint8Array(20).fill(peerId),
      supportsV2,
      supportsDht,
    })
    if (!fast) bytes[27] = 0
    this.socket.write(bytes)
  }

  /** Sends what a writer of messages.ts writes. */
  say(size: number, write: (target: Uint8Array) => void): void {
    const bytes = new Uint8Array(size)
    write(bytes)
    this.socket.write(bytes)
  }

  bare(write: (target: Uint8Array, offset: number) => number): void {
    this.say(messages.BARE_BYTES, (bytes) => write(bytes, 0))
  }

  request(piece: number, begin: number, length: number): void {
    this.say(messages.REQUEST_BYTES, (b) => messages.writeRequest(b, 0, piece, begin, length))
  }

  extended(id: number, payload: Uint8Array): void {
    this.say(messages.EXTENDED_HEADER_BYTES + payload.length, (bytes) =>
      messages.writeExtended(bytes, 0, id, payload),
    )
  }

  hashRequest(root: Uint8Array, range: HashRange): void {
    this.say(HASH_REQUEST_BYTES, (bytes) => writeHashRequest(bytes, 0, root, range))
  }

  hashes(root: Uint8Array, range: HashRange, hashes: Uint8Array): void {
    this.say(HASH_REQUEST_BYTES + hashes.length, (bytes) =>
      writeHashes(bytes, 0, root, range, hashes),
    )
  }

  count(line: string): number {
    return this.log.filter((other) => other.startsWith(line)).length
  }

  onHandshake(handshake: { readonly infoHash: Uint8Array }): void {
    this.log.push(`handshake ${toHex(handshake.infoHash)}`)
  }
  onKeepAlive(): void {
    this.log.push('keep-alive')
  }
  onChoke(): void {
    this.log.push('choke')
  }
  onUnchoke(): void {
    this.log.push('unchoke')
  }
  onInterested(): void {
    this.log.push('interested')
  }
  onNotInterested(): void {
    this.log.push('not interested')
  }
  onHave(piece: number): void {
    this.log.push(`have ${piece}`)
  }
  onBitfield(): void {
    this.log.push('bitfield')
  }
  onRequest(piece: number, begin: number): void {
    this.log.push(`request ${piece} ${begin}`)
  }
  onCancel(piece: number, begin: number): void {
    this.log.push(`cancel ${piece} ${begin}`)
  }
  onReject(piece: number, begin: number): void {
    this.log.push(`reject ${piece} ${begin}`)
  }
  onSuggest(piece: number): void {
    this.log.push(`suggest ${piece}`)
  }
  onAllowedFast(piece: number): void {
    this.log.push(`allowed fast ${piece}`)
  }
  onHaveAll(): void {
    this.log.push('have all')
  }
  onHaveNone(): void {
    this.log.push('have none')
  }
  onPort(port: number): void {
    this.log.push(`port ${port}`)
  }
  onExtended(id: number, payload: Uint8Array): void {
    this.log.push(`extended ${id}`)
    if (id === EXTENDED_HANDSHAKE_ID) {
      const { messages, port } = parseExtendedHandshake(payload)
      this.metadataId = messages.get('ut_metadata') ?? 0
      this.toldPort = port
    } else this.onMetadata(payload)
  }
  onHashRequest(root: Uint8Array, range: HashRange): void {
    this.log.push(`hash request ${range.baseLayer} ${range.index}`)
    this.answerHashes(Uint8Array.from(root), range)
  }
  onHashes(_root: Uint8Array, range: HashRange, hashes: Uint8Array): void {
    this.log.push(`hashes ${range.baseLayer} ${range.index}`)
    this.received.push(Uint8Array.from(hashes))
  }
  onHashReject(_root: Uint8Array, range: HashRange): void {
    this.log.push(`hash reject ${range.baseLayer} ${range.index}`)
  }
  onPieceStart(_piece: number, _begin: number, length: number): Uint8Array {
    this.#into = new Uint8Array(length)
    return this.#into
  }
  onPieceEnd(piece: number, begin: number): void {
    this.log.push(`piece ${piece} ${begin}`)
    this.chunks.push({ piece, begin, bytes: this.#into })
  }
}
