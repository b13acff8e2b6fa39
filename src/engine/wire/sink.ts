/**
 * Who is told what a `WireReader` read.
 *
 * Numbers from the wire are any unsigned 32 bits: whether a piece exists and a chunk lies in it is for
 * the sink to judge. Byte arrays are the reader's, valid only during the call.
 */

import type { HashRange } from '../../metainfo/index.ts'
import type { Budget } from '../budget.ts'
import type { Handshake } from './handshake.ts'

export interface WireSink {
  onHandshake(handshake: Handshake): void
  onKeepAlive(): void
  onChoke(): void
  onUnchoke(): void
  onInterested(): void
  onNotInterested(): void
  onHave(piece: number): void
  onBitfield(bits: Uint8Array): void
  onRequest(piece: number, begin: number, length: number): void
  onCancel(piece: number, begin: number, length: number): void
  onReject(piece: number, begin: number, length: number): void
  onSuggest(piece: number): void
  onAllowedFast(piece: number): void
  onHaveAll(): void
  onHaveNone(): void
  /** BEP 5: the peer speaks DHT on this UDP port. */
  onPort(port: number): void
  onExtended(id: number, payload: Uint8Array): void
  /** BEP 52: nodes of the tree with this root are asked for, given, refused. */
  onHashRequest(root: Uint8Array, range: HashRange): void
  onHashes(root: Uint8Array, range: HashRange, hashes: Uint8Array): void
  onHashReject(root: Uint8Array, range: HashRange): void
  /**
   * A chunk begins. Its bytes will be written to the returned view of exactly `length` bytes as they
   * arrive; null discards them.
   */
  onPieceStart(piece: number, begin: number, length: number): Uint8Array | null
  /** The chunk has arrived whole; `accepted` when it was written to the view, to its last byte. */
  onPieceEnd(piece: number, begin: number, length: number, accepted: boolean): void
}

/** Hears nothing and keeps nothing: what only listens to some messages begins here. */
export class DeafSink implements WireSink {
  onHandshake(_handshake: Handshake): void {}
  onKeepAlive(): void {}
  onChoke(): void {}
  onUnchoke(): void {}
  onInterested(): void {}
  onNotInterested(): void {}
  onHave(_piece: number): void {}
  onBitfield(_bits: Uint8Array): void {}
  onRequest(_piece: number, _begin: number, _length: number): void {}
  onCancel(_piece: number, _begin: number, _length: number): void {}
  onReject(_piece: number, _begin: number, _length: number): void {}
  onSuggest(_piece: number): void {}
  onAllowedFast(_piece: number): void {}
  onHaveAll(): void {}
  onHaveNone(): void {}
  onPort(_port: number): void {}
  onExtended(_id: number, _payload: Uint8Array): void {}
  onHashRequest(_root: Uint8Array, _range: HashRange): void {}
  onHashes(_root: Uint8Array, _range: HashRange, _hashes: Uint8Array): void {}
  onHashReject(_root: Uint8Array, _range: HashRange): void {}
  onPieceStart(_piece: number, _begin: number, _length: number): Uint8Array | null {
    return null
  }
  onPieceEnd(_piece: number, _begin: number, _length: number, _accepted: boolean): void {}
}

export interface WireLimits {
  /** On the length of every message but piece. */
  readonly maxMessageBytes?: number
  /** On the chunk in a piece message. */
  readonly maxChunkBytes?: number
  /** What messages that have arrived in part may take, together with those of other connections. */
  readonly memory?: Budget
  /** The exact size of a bitfield, where it is known. */
  readonly bitfieldBytes?: number | undefined
}
