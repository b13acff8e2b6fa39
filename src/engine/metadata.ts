/**
 * Fetching the info dictionary of a magnet from peers (BEP 9).
 *
 * The pieces are asked of all peers that claim the same size: the one that most of them claim, or after a while another one. When
 * the whole does not hash to the info-hash nobody knows who lied: from then on one peer at a time must deliver all of it, and one
 * whose dictionary is wrong is reported.
 *
 * Invariants: every peer that is kept claims a size; memory is what has arrived, at most MAX_METADATA_BYTES; a piece is asked of one peer at a
 * time and again after `TIMEOUT_MS`; the result hashes to the info-hash.
 */
import { parseInfo, type TorrentInfo } from '../metainfo/index.ts'
import { engineError } from './errors.ts'
import {
  encodeMetadataRequest,
  METADATA_PIECE_BYTES,
  type MetadataMessage,
  metadataPieceCount,
} from './wire/extended.ts'

/** A peer that may have the metadata. */
export interface MetadataPeer {
  readonly closed: boolean
  /** The size it claims; undefined when it does not have it or does not speak ut_metadata. */
  readonly metadataBytes: number | undefined
  sendMetadata(payload: Uint8Array): void
}

interface Request {
  readonly peer: MetadataPeer
  readonly sinceMs: number
}

const TIMEOUT_MS = 10_000
/** A peer that rejected a request is not asked again for so long. */
const REFUSED_MS = 30_000
const MAX_REQUESTS_PER_PEER = 4
/** So long an attempt may take while others claim something else; then twice as long. */
const FIRST_PATIENCE_MS = 60_000

export class MetadataFetch {
  readonly #isRight: (infoBytes: Uint8Array) => boolean
  readonly #done: (infoBytes: Uint8Array) => void
  readonly #bad: (peer: MetadataPeer) => void
  readonly #peers = new Set<MetadataPeer>()
  /** Who said no, or nothing, and before when it is not to be asked again. */
  readonly #refused = new Map<MetadataPeer, number>()
  /** Of the attempt under way; 0 when there is none. */
  #totalBytes = 0
  #pieces: (Uint8Array | undefined)[] = []
  #received = 0
  readonly #requests = new Map<number, Request>()
  #begunMs = 0
  #patienceMs = FIRST_PATIENCE_MS
  /** After a failure: the one peer that is asked. */
  #alone = false
  #only: MetadataPeer | undefined
  #finished = false

  /** `isRight` says whether it is the one; `bad` hears of a peer whose dictionary is not. */
  constructor(
    isRight: (infoBytes: Uint8Array) => boolean,
    done: (infoBytes: Uint8Array) => void,
    bad: (peer: MetadataPeer) => void,
  ) {
    this.#isRight = isRight
    this.#done = done
    this.#bad = bad
  }

  /** The peer's extended handshake has been read: the first or another, which may take back its offer. */
  add(peer: MetadataPeer, nowMs: number): void {
    if (this.#finished) return
    if (peer.metadataBytes === undefined) {
      this.remove(peer, nowMs)
      return
    }
    this.#peers.add(peer)
    this.pump(nowMs)
  }

  remove(peer: MetadataPeer, nowMs: number): void {
    this.#peers.delete(peer)
    this.#refused.delete(peer)
    if (this.#only === peer) this.#restart()
    for (const [piece, request] of [...this.#requests]) {
      if (request.peer === peer) this.#requests.delete(piece)
    }
    this.pump(nowMs)
  }

  /** A data or reject message. */
  receive(peer: MetadataPeer, message: MetadataMessage, nowMs: number): void {
    if (this.#finished || message.type === 'request') return
    const request = this.#requests.get(message.piece)
    if (request?.peer !== peer) return
    this.#requests.delete(message.piece)
    if (message.type === 'reject') {
      this.#refused.set(peer, nowMs + REFUSED_MS)
      if (this.#only === peer) this.#restart()
    } else if (message.totalBytes === this.#totalBytes) {
      this.#pieces[message.piece] = Uint8Array.from(message.bytes)
      this.#received++
      if (this.#received === this.#pieces.length) this.#finish()
    } else {
      // Not what it claimed: asked again at once it would say that for ever.
      this.#refused.set(peer, nowMs + REFUSED_MS)
      if (this.#only === peer) this.#restart()
    }
    this.pump(nowMs)
  }

  /** Asks again what was not answered; to be called every few seconds. */
  pump(nowMs: number): void {
    if (this.#finished) return
    for (const [piece, request] of [...this.#requests]) {
      if (nowMs - request.sinceMs < TIMEOUT_MS) continue
      this.#requests.delete(piece)
      this.#refused.set(request.peer, nowMs)
      if (this.#only === request.peer) this.#restart()
    }
    this.#begin(nowMs)
    for (const peer of this.#peers) this.#ask(peer, nowMs)
  }

  #begin(nowMs: number): void {
    let usable = [...this.#peers].filter((peer) => !this.#refused.has(peer) && !peer.closed)
    if (this.#totalBytes > 0 && usable.some((peer) => this.#serves(peer))) {
      const others = usable.filter((peer) => !this.#serves(peer))
      const isLate = others.length > 0 && nowMs - this.#begunMs >= this.#patienceMs
      if (!isLate && !this.#isOutnumbered(usable)) return
      if (isLate) {
        this.#patienceMs *= 2
        for (const peer of usable)
          if (this.#serves(peer)) this.#refused.set(peer, nowMs + REFUSED_MS)
        usable = others
      }
    }
    // When everybody refused they are asked again: who had no metadata may have it by now.
    if (usable.length === 0) {
      for (const [peer, notBeforeMs] of this.#refused) {
        if (nowMs < notBeforeMs) continue
        this.#refused.delete(peer)
        if (!peer.closed) usable.push(peer)
      }
    }
    const peer = this.#alone ? usable[0] : claimants(usable)[0]
    if (peer === undefined) return
    this.#totalBytes = peer.metadataBytes!
    this.#pieces = new Array(metadataPieceCount(this.#totalBytes)).fill(undefined)
    this.#received = 0
    this.#requests.clear()
    this.#begunMs = nowMs
    this.#only = this.#alone ? peer : undefined
  }

  /** More of them claim another size than the one that is being fetched. */
  #isOutnumbered(usable: readonly MetadataPeer[]): boolean {
    if (this.#only !== undefined) return false
    const serving = usable.filter((peer) => this.#serves(peer))
    return claimants(usable).length > serving.length
  }

  #serves(peer: MetadataPeer): boolean {
    if (peer.closed || this.#refused.has(peer)) return false
    if (this.#only !== undefined) return peer === this.#only
    return peer.metadataBytes === this.#totalBytes
  }

  #ask(peer: MetadataPeer, nowMs: number): void {
    if (this.#totalBytes === 0 || !this.#serves(peer)) return
    let asked = 0
    for (const request of this.#requests.values()) if (request.peer === peer) asked++
    for (let piece = 0; piece < this.#pieces.length && asked < MAX_REQUESTS_PER_PEER; piece++) {
      if (this.#pieces[piece] !== undefined || this.#requests.has(piece)) continue
      this.#requests.set(piece, { peer, sinceMs: nowMs })
      asked++
      peer.sendMetadata(encodeMetadataRequest(piece))
      if (peer.closed) return
    }
  }

  #restart(): void {
    this.#totalBytes = 0
    this.#only = undefined
    this.#pieces = []
    this.#received = 0
    this.#requests.clear()
  }

  #finish(): void {
    const infoBytes = new Uint8Array(this.#totalBytes)
    for (const [i, piece] of this.#pieces.entries()) infoBytes.set(piece!, i * METADATA_PIECE_BYTES)
    const only = this.#only
    this.#restart()
    if (this.#isRight(infoBytes)) {
      this.#finished = true
      this.#done(infoBytes)
      return
    }
    this.#alone = true
    if (only === undefined) return
    this.#peers.delete(only)
    this.#bad(only)
  }
}

/** Those that claim the size which most of them claim; of several such sizes the one claimed first. */
function claimants(peers: readonly MetadataPeer[]): MetadataPeer[] {
  const bySize = new Map<number, MetadataPeer[]>()
  for (const peer of peers) {
    const size = peer.metadataBytes!
    const list = bySize.get(size)
    if (list === undefined) bySize.set(size, [peer])
    else list.push(peer)
  }
  let most: MetadataPeer[] = []
  for (const list of bySize.values()) if (list.length > most.length) most = list
  return most
}

/** Checks the info dictionary of a magnet. Throws ENGINE_BAD_METADATA. */
export function parseFetchedInfo(infoBytes: Uint8Array): TorrentInfo {
  try {
    return parseInfo(infoBytes)
  } catch (cause) {
    throw engineError(
      'ENGINE_BAD_METADATA',
      `the torrent of the magnet is invalid: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}
