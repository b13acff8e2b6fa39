/**
 * Announces on their way from a front end in another thread to the one writer of the accounting: a ring in shared memory, one
 * writer and one reader, without a lock.
 *
 *     header   0 records written   4 records read   8 records lost for want of room        (32 bits, modulo 2^32; 64 bytes in all)
 *     record   0 time   8 uploaded   16 downloaded   24 left   (64-bit floating point)
 *              32 event   33 length of the owner's name   34 info-hash (20)   54 peer id (20)   74 the name (128)
 *
 * A record is published by the count of those written, after it is whole: a writer that ends midway leaves nothing behind.
 */
import { toLatin1 } from '../../base/index.ts'
import type { AnnounceEvent, AnnounceRequest } from '../announce-request.ts'

const HEADER_BYTES = 64
const WRITTEN = 0
const READ = 1
const LOST = 2
const RECORD_BYTES = 208
const EVENT = 32
const OWNER_LENGTH = 33
const INFO_HASH = 34
const PEER_ID = 54
const OWNER = 74
const MAX_OWNER = 128
/** At 100,000 announces a second, 80 ms. */
const RECORDS = 8192

/** What is accounted for. */
export interface AccountedAnnounce {
  wallMs: number
  uploaded: number
  downloaded: number
  left: number
  event: AnnounceEvent
  readonly infoHash: Uint8Array
  readonly peerId: Uint8Array
  owner: string
}

export class AccountingRing {
  /** May be posted. */
  readonly buffer: SharedArrayBuffer
  readonly #header: Int32Array
  readonly #bytes: Uint8Array
  readonly #numbers: Float64Array
  readonly #record: AccountedAnnounce = {
    wallMs: 0,
    uploaded: 0,
    downloaded: 0,
    left: 0,
    event: 0,
    infoHash: new Uint8Array(20),
    peerId: new Uint8Array(20),
    owner: '',
  }

  /** A new ring; or the one at `buffer`. */
  constructor(
    buffer: SharedArrayBuffer = new SharedArrayBuffer(HEADER_BYTES + RECORDS * RECORD_BYTES),
  ) {
    this.buffer = buffer
    this.#header = new Int32Array(buffer, 0, HEADER_BYTES / 4)
    this.#bytes = new Uint8Array(buffer)
    this.#numbers = new Float64Array(buffer)
  }

  /** The writer's: what has no room is lost, and counted. Allocates nothing. */
  push(request: AnnounceRequest, wallMs: number): void {
    const header = this.#header
    const written = header[WRITTEN]!
    if (((written - Atomics.load(header, READ)) | 0) >= RECORDS) {
      Atomics.add(header, LOST, 1)
      return
    }
    const at = recordAt(written)
    const bytes = this.#bytes
    const numbers = this.#numbers
    numbers[at / 8] = wallMs
    numbers[at / 8 + 1] = request.uploaded
    numbers[at / 8 + 2] = request.downloaded
    numbers[at / 8 + 3] = request.left
    const { owner, infoHash, peerId } = request
    const length = Math.min(owner.length, MAX_OWNER)
    bytes[at + EVENT] = request.event
    bytes[at + OWNER_LENGTH] = length
    for (let i = 0; i < 20; i++) {
      bytes[at + INFO_HASH + i] = infoHash[i]!
      bytes[at + PEER_ID + i] = peerId[i]!
    }
    for (let i = 0; i < length; i++) bytes[at + OWNER + i] = owner.charCodeAt(i)
    Atomics.store(header, WRITTEN, (written + 1) | 0)
  }

  /** The reader's: the oldest record, which is filled again by the next call; undefined when there is none. */
  shift(): AccountedAnnounce | undefined {
    const record = this.#peek()
    if (record !== undefined) Atomics.store(this.#header, READ, (this.#header[READ]! + 1) | 0)
    return record
  }

  /** The reader's: the time of the oldest record; undefined when there is none. */
  get oldestMs(): number | undefined {
    const read = this.#header[READ]!
    if (read === Atomics.load(this.#header, WRITTEN)) return undefined
    return this.#numbers[recordAt(read) / 8]
  }

  /** The reader's: how many were lost since the last call. */
  takeLost(): number {
    return Atomics.exchange(this.#header, LOST, 0)
  }

  #peek(): AccountedAnnounce | undefined {
    if (this.oldestMs === undefined) return undefined
    const at = recordAt(this.#header[READ]!)
    const record = this.#record
    const numbers = this.#numbers
    record.wallMs = numbers[at / 8]!
    record.uploaded = numbers[at / 8 + 1]!
    record.downloaded = numbers[at / 8 + 2]!
    record.left = numbers[at / 8 + 3]!
    record.event = this.#bytes[at + EVENT] as AnnounceEvent
    for (let i = 0; i < 20; i++) {
      record.infoHash[i] = this.#bytes[at + INFO_HASH + i]!
      record.peerId[i] = this.#bytes[at + PEER_ID + i]!
    }
    const name = at + OWNER
    record.owner = toLatin1(this.#bytes.slice(name, name + this.#bytes[at + OWNER_LENGTH]!))
    return record
  }
}

function recordAt(count: number): number {
  return HEADER_BYTES + (count & (RECORDS - 1)) * RECORD_BYTES
}
