/**
 * The receiving end of a peer connection: a parser fed with whatever slices the socket delivers,
 * which first expects a handshake, then messages, and calls a sink for each.
 *
 * ```
 * handshake -> length -> id -> fields ---------------> length
 *                          |-> piece head -> payload -> length
 *                          |-> body (bitfield, extended, hashes) -> length
 *                          `-> skip (unknown) --------> length
 * ```
 *
 * Invariants:
 * - Calls depend on the bytes only, never on how they were cut into slices.
 * - A length is checked before anything is done with it; memory grows with bytes that arrived, not
 *   with a length that was claimed, and is taken from a budget that all connections share.
 * - A chunk's bytes go from the slice straight to where the sink wants them. Messages that lie
 *   within one slice are not copied and nothing but views is allocated for them.
 * - After an error or `stop()` the sink is not called again.
 */
import { assert, copyBytes, readU16BE, readU32BE } from '../../base/index.ts'
import { MERKLE_HASH_BYTES } from '../../metainfo/index.ts'
import type { Budget } from '../budget.ts'
import { protocolError } from '../errors.ts'
import { beginsAsHandshake, HANDSHAKE_BYTES, parseHandshake } from './handshake.ts'
import { HASH_FIELDS_BYTES, readHashFields } from './hashes.ts'
import { CHUNK_BYTES, MessageId } from './messages.ts'
import type { WireLimits, WireSink } from './sink.ts'

export type { WireLimits, WireSink } from './sink.ts'

/** On bitfields of torrents that are known, and on what is read past. */
export const DEFAULT_MAX_MESSAGE_BYTES: number = 1024 * 1024
/** On all others that have to be gathered: four pieces of metadata. A longer bitfield of a torrent that is not known is read past. */
export const MAX_BODY_BYTES: number = 64 * 1024
export const DEFAULT_MAX_CHUNK_BYTES: number = 8 * CHUNK_BYTES

const State = {
  handshake: 0,
  length: 1,
  id: 2,
  fields: 3,
  pieceHead: 4,
  payload: 5,
  body: 6,
  skip: 7,
} as const
type State = (typeof State)[keyof typeof State]

const PIECE_FIELDS_BYTES = 8
const FIRST_BODY_BYTES = 1024
const NOTHING = new Uint8Array(0)

export class WireReader {
  /** The exact size of a bitfield; set it once the torrent is known, at the latest in `onHandshake`. */
  bitfieldBytes: number | undefined
  readonly #sink: WireSink
  readonly #maxMessageBytes: number
  readonly #maxBodyBytes: number
  readonly #memory: Budget | undefined
  readonly #maxChunkBytes: number
  #state: State = State.handshake
  #stopped = false
  #pushing = false

  // The slice being read.
  #slice: Uint8Array = NOTHING
  #at = 0

  // A unit of up to 68 bytes: in the slice where it lies there whole, otherwise gathered.
  #scratch: Uint8Array = NOTHING
  #gathered = 0
  #unit: Uint8Array = NOTHING
  #unitAt = 0

  // The message being read.
  #id = 0
  #remaining = 0
  #piece = 0
  #begin = 0
  #chunkBytes = 0
  #target: Uint8Array | null = null
  #body: Uint8Array = NOTHING
  #bodyBytes = 0

  constructor(sink: WireSink, limits: WireLimits = {}) {
    this.#sink = sink
    this.#maxMessageBytes = limits.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES
    this.#maxBodyBytes = Math.min(MAX_BODY_BYTES, this.#maxMessageBytes)
    this.#memory = limits.memory
    this.#maxChunkBytes = limits.maxChunkBytes ?? DEFAULT_MAX_CHUNK_BYTES
    this.bitfieldBytes = limits.bitfieldBytes
  }

  /** Inside a chunk: the connection's end now would lose a part of it. */
  get insidePiece(): boolean {
    return this.#state === State.payload
  }

  /** Nothing is called any more, not even for bytes already pushed. Allowed inside a call of the sink. */
  stop(): void {
    this.#stopped = true
    this.#target = null
    this.#dropBody()
  }

  /**
   * Lets go of the view that `onPieceStart` returned, so that its memory can serve something else:
   * what is left of the chunk is discarded and `onPieceEnd` says `accepted: false`.
   */
  abandonPiece(): void {
    this.#target = null
  }

  /**
   * Reads on with the next bytes of the connection. They may be reused after the call.
   * Throws ENGINE_PROTOCOL; the connection is then useless.
   */
  push(bytes: Uint8Array): void {
    if (this.#stopped) return
    assert(!this.#pushing, 'bytes pushed into a wire reader that is calling its sink')
    this.#pushing = true
    this.#slice = bytes
    this.#at = 0
    let finished = false
    try {
      while (!this.#stopped && this.#step()) {}
      finished = true
    } finally {
      if (!finished) this.stop()
      this.#slice = NOTHING
      this.#unit = NOTHING
      this.#pushing = false
    }
  }

  /** One transition; false when more bytes must arrive first. */
  #step(): boolean {
    switch (this.#state) {
      case State.handshake:
        return this.#readHandshake()
      case State.length:
        return this.#readLength()
      case State.id:
        return this.#readId()
      case State.fields:
        return this.#readFields()
      case State.pieceHead:
        return this.#readPieceHead()
      case State.payload:
        return this.#readPayload()
      case State.body:
        return this.#readBody()
      case State.skip:
        return this.#skip()
    }
  }

  /** Makes the next `need` bytes the unit; false when they are not all there yet. */
  #take(need: number): boolean {
    const slice = this.#slice
    const at = this.#at
    const available = slice.length - at
    if (this.#gathered === 0 && available >= need) {
      this.#unit = slice
      this.#unitAt = at
      this.#at = at + need
      return true
    }
    if (available === 0) return false
    const count = Math.min(need - this.#gathered, available)
    if (this.#scratch.length === 0) this.#scratch = new Uint8Array(HANDSHAKE_BYTES)
    for (let i = 0; i < count; i++) this.#scratch[this.#gathered + i] = slice[at + i]!
    this.#gathered += count
    this.#at = at + count
    if (this.#gathered < need) return false
    this.#gathered = 0
    this.#unit = this.#scratch
    this.#unitAt = 0
    return true
  }

  #readHandshake(): boolean {
    if (!this.#take(HANDSHAKE_BYTES)) {
      // Wait for no more of what is not for us: an encrypted handshake, or another protocol.
      if (!beginsAsHandshake(this.#scratch, 0, this.#gathered)) throw notAHandshake()
      return false
    }
    const unit = this.#unit.subarray(this.#unitAt, this.#unitAt + HANDSHAKE_BYTES)
    const handshake = parseHandshake(unit)
    if (handshake === null) throw notAHandshake()
    this.#state = State.length
    this.#sink.onHandshake(handshake)
    return true
  }

  #readLength(): boolean {
    if (!this.#take(4)) return false
    this.#remaining = readU32BE(this.#unit, this.#unitAt)
    if (this.#remaining === 0) this.#sink.onKeepAlive()
    else this.#state = State.id
    return true
  }

  #readId(): boolean {
    if (!this.#take(1)) return false
    const id = this.#unit[this.#unitAt]!
    this.#id = id
    this.#remaining--
    const payloadBytes = this.#remaining
    switch (id) {
      case MessageId.choke:
      case MessageId.unchoke:
      case MessageId.interested:
      case MessageId.notInterested:
      case MessageId.haveAll:
      case MessageId.haveNone:
        return this.#expect(payloadBytes === 0, State.fields)
      case MessageId.have:
      case MessageId.suggest:
      case MessageId.allowedFast:
        return this.#expect(payloadBytes === 4, State.fields)
      case MessageId.request:
      case MessageId.cancel:
      case MessageId.reject:
        return this.#expect(payloadBytes === 12, State.fields)
      case MessageId.port:
        return this.#expect(payloadBytes === 2, State.fields)
      case MessageId.piece: {
        const chunkBytes = payloadBytes - PIECE_FIELDS_BYTES
        return this.#expect(chunkBytes > 0 && chunkBytes <= this.#maxChunkBytes, State.pieceHead)
      }
      case MessageId.bitfield: {
        const exact = this.bitfieldBytes === undefined || payloadBytes === this.bitfieldBytes
        const tooLong = this.bitfieldBytes === undefined && payloadBytes > this.#maxBodyBytes
        const fits = exact && payloadBytes <= this.#maxMessageBytes
        return this.#expect(fits, tooLong ? State.skip : State.body)
      }
      case MessageId.extended:
        return this.#expect(payloadBytes >= 1 && payloadBytes <= this.#maxBodyBytes, State.body)
      case MessageId.hashRequest:
      case MessageId.hashReject:
        return this.#expect(payloadBytes === HASH_FIELDS_BYTES, State.fields)
      case MessageId.hashes: {
        const hashesBytes = payloadBytes - HASH_FIELDS_BYTES
        const whole = hashesBytes >= 0 && hashesBytes % MERKLE_HASH_BYTES === 0
        return this.#expect(whole && payloadBytes <= this.#maxMessageBytes, State.body)
      }
      default:
        return this.#expect(payloadBytes <= this.#maxMessageBytes, State.skip)
    }
  }

  #expect(fits: boolean, next: State): true {
    if (!fits) {
      const length = this.#remaining + 1
      const misdeed = length > MAX_BODY_BYTES ? 'oversized' : 'malformed'
      throw protocolError(`a message ${this.#id} of ${length} bytes`, misdeed)
    }
    this.#state = next
    return true
  }

  /** Messages of fixed size, 0 to 48 bytes. */
  #readFields(): boolean {
    if (!this.#take(this.#remaining)) return false
    this.#state = State.length
    const sink = this.#sink
    const unit = this.#unit
    const at = this.#unitAt
    switch (this.#id) {
      case MessageId.choke:
        sink.onChoke()
        break
      case MessageId.unchoke:
        sink.onUnchoke()
        break
      case MessageId.interested:
        sink.onInterested()
        break
      case MessageId.notInterested:
        sink.onNotInterested()
        break
      case MessageId.haveAll:
        sink.onHaveAll()
        break
      case MessageId.haveNone:
        sink.onHaveNone()
        break
      case MessageId.have:
        sink.onHave(readU32BE(unit, at))
        break
      case MessageId.suggest:
        sink.onSuggest(readU32BE(unit, at))
        break
      case MessageId.allowedFast:
        sink.onAllowedFast(readU32BE(unit, at))
        break
      case MessageId.request:
        sink.onRequest(readU32BE(unit, at), readU32BE(unit, at + 4), readU32BE(unit, at + 8))
        break
      case MessageId.cancel:
        sink.onCancel(readU32BE(unit, at), readU32BE(unit, at + 4), readU32BE(unit, at + 8))
        break
      case MessageId.reject:
        sink.onReject(readU32BE(unit, at), readU32BE(unit, at + 4), readU32BE(unit, at + 8))
        break
      case MessageId.port:
        sink.onPort(readU16BE(unit, at))
        break
      case MessageId.hashRequest: {
        const { root, range } = readHashFields(unit, at)
        sink.onHashRequest(root, range)
        break
      }
      case MessageId.hashReject: {
        const { root, range } = readHashFields(unit, at)
        sink.onHashReject(root, range)
        break
      }
    }
    return true
  }

  #readPieceHead(): boolean {
    if (!this.#take(PIECE_FIELDS_BYTES)) return false
    this.#piece = readU32BE(this.#unit, this.#unitAt)
    this.#begin = readU32BE(this.#unit, this.#unitAt + 4)
    this.#remaining -= PIECE_FIELDS_BYTES
    this.#chunkBytes = this.#remaining
    this.#state = State.payload
    const target = this.#sink.onPieceStart(this.#piece, this.#begin, this.#chunkBytes)
    if (this.#stopped) return false
    assert(target === null || target.length === this.#chunkBytes, 'a view of another size')
    this.#target = target
    return true
  }

  #readPayload(): boolean {
    const at = this.#at
    const count = Math.min(this.#remaining, this.#slice.length - at)
    if (count === 0) return false
    if (this.#target !== null) {
      const done = this.#chunkBytes - this.#remaining
      copyBytes(this.#target, done, this.#slice.subarray(at, at + count))
    }
    this.#at = at + count
    this.#remaining -= count
    if (this.#remaining > 0) return false
    const accepted = this.#target !== null
    this.#target = null
    this.#state = State.length
    this.#sink.onPieceEnd(this.#piece, this.#begin, this.#chunkBytes, accepted)
    return true
  }

  /** A bitfield, hashes or an extended message. */
  #readBody(): boolean {
    const at = this.#at
    const available = this.#slice.length - at
    const missing = this.#remaining - this.#bodyBytes
    if (this.#bodyBytes === 0 && available >= missing) {
      this.#at = at + missing
      this.#deliverBody(this.#slice.subarray(at, at + missing))
      return true
    }
    const count = Math.min(missing, available)
    if (count > 0) {
      this.#growBody(this.#bodyBytes + count)
      this.#body.set(this.#slice.subarray(at, at + count), this.#bodyBytes)
      this.#bodyBytes += count
      this.#at = at + count
    }
    if (this.#bodyBytes < this.#remaining) return false
    const body = this.#body.subarray(0, this.#bodyBytes)
    this.#dropBody()
    this.#deliverBody(body)
    return true
  }

  #dropBody(): void {
    this.#memory?.give(this.#body.length)
    this.#body = NOTHING
    this.#bodyBytes = 0
  }

  #deliverBody(body: Uint8Array): void {
    this.#state = State.length
    if (this.#id === MessageId.bitfield) this.#sink.onBitfield(body)
    else if (this.#id === MessageId.hashes) {
      const { root, range } = readHashFields(body, 0)
      this.#sink.onHashes(root, range, body.subarray(HASH_FIELDS_BYTES))
    } else this.#sink.onExtended(body[0]!, body.subarray(1))
  }

  /** Doubles, so that gathering costs a copy or two a byte, but never past what the message needs. */
  #growBody(bytes: number): void {
    if (bytes <= this.#body.length) return
    const wanted = Math.max(bytes, 2 * this.#body.length, FIRST_BODY_BYTES)
    const size = Math.min(wanted, this.#remaining)
    if (this.#memory?.take(size - this.#body.length) === false) {
      throw protocolError('too many messages that have arrived in part', 'floods')
    }
    const grown = new Uint8Array(size)
    grown.set(this.#body.subarray(0, this.#bodyBytes))
    this.#body = grown
  }

  #skip(): boolean {
    const count = Math.min(this.#remaining, this.#slice.length - this.#at)
    this.#at += count
    this.#remaining -= count
    if (this.#remaining > 0) return false
    this.#state = State.length
    // One that is too long to be remembered, and says that much.
    if (this.#id === MessageId.bitfield) this.#sink.onBitfield(NOTHING)
    return true
  }
}

function notAHandshake(): Error {
  return protocolError('what arrived is no handshake')
}
