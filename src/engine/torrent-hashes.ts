/**
 * A torrent's dealings in hash trees with its peers (BEP 52): fetching the layers that it lacks and the leaves of
 * pieces that failed, and answering those who ask.
 *
 * Invariants: a peer gets at most ANSWERS_PER_S answers a second, what is beyond is refused; one that goes
 * on asking, or sends hashes that nobody wants, is cut off; one whose hashes prove nothing is banned.
 */
import {
  type HashRange,
  type PieceLayers,
  type TorrentInfo,
  uncleCount,
} from '../metainfo/index.ts'
import type { Content } from './content.ts'
import { protocolError } from './errors.ts'
import { type HashJob, HashRequests } from './hash-requests.ts'
import { LayerFetch } from './layer-fetch.ts'
import type { Peer } from './peer.ts'
import { MAX_HASHES } from './wire/hashes.ts'

/** 16 KiB each at most: faster than anybody needs layers, slower than a flood. */
const ANSWERS_PER_S = 64
/** Refusals of one connection; whoever heeds them does not come near. */
const MAX_REFUSED = 4_096
/** Hashes that were not asked for, or too late. */
const MAX_UNASKED = 64

interface Account {
  /** Answers in the second that began at `sinceMs`. */
  answers: number
  sinceMs: number
  refused: number
  unasked: number
}

export class TorrentHashes {
  readonly #nowMs: () => number
  readonly #ban: (peer: Peer, reason: string) => void
  readonly #accounts = new WeakMap<Peer, Account>()
  #requests: HashRequests | undefined
  #fetch: LayerFetch | undefined
  /** Jobs for leaves of pieces that failed, which nobody was asked for yet. */
  readonly #leaves: HashJob[] = []

  constructor(nowMs: () => number, ban: (peer: Peer, reason: string) => void) {
    this.#nowMs = nowMs
    this.#ban = ban
  }

  /**
   * Asks `peers`, and those that come, for the layers that `known` lacks, until `done`. Throws
   * ENGINE_BAD_METADATA when they are too many.
   */
  fetch(
    info: TorrentInfo,
    known: PieceLayers,
    peers: Iterable<Peer>,
    done: (layers: PieceLayers) => void,
  ): void {
    this.#fetch = new LayerFetch(info, known, (layers) => {
      this.#fetch = undefined
      done(layers)
    })
    this.#askAll(peers)
  }

  /** Asks somebody of `peers`, or of those that come. False when none of them can be asked. */
  askLeaves(job: HashJob, peers: Iterable<Peer>): boolean {
    let isAnybody = false
    for (const peer of peers) if (peer.peerId !== undefined && peer.speaksV2) isAnybody = true
    if (!isAnybody) return false
    this.#leaves.push(job)
    this.#askAll(peers)
    return true
  }

  #askAll(peers: Iterable<Peer>): void {
    this.#requests ??= new HashRequests(
      () => this.#leaves.shift() ?? this.#fetch?.next(),
      (peer) => this.#ban(peer as Peer, 'it sent hashes that prove nothing'),
    )
    for (const peer of peers) if (peer.peerId !== undefined) this.add(peer)
  }

  /** The peer's handshake has been read, or the torrent has been found to have a v2 part. */
  add(peer: Peer): void {
    if (peer.speaksV2 && !peer.closed) this.#requests?.add(peer, this.#nowMs())
  }

  remove(peer: Peer): void {
    this.#requests?.remove(peer, this.#nowMs())
  }

  /** Once a second. */
  tick(): void {
    this.#requests?.pump(this.#nowMs())
  }

  /** Throws ENGINE_PROTOCOL for what is no hashes message at all. */
  onHashes(peer: Peer, root: Uint8Array, range: HashRange, hashes: Uint8Array): void {
    if (range.length > MAX_HASHES || uncleCount(range) > 64) {
      throw protocolError('more hashes than anybody asks for', 'oversized')
    }
    if (this.#requests?.receive(peer, root, range, hashes, this.#nowMs()) === true) return
    if (++this.#accountOf(peer).unasked > MAX_UNASKED) {
      throw protocolError('hashes that nobody asked for', 'floods')
    }
  }

  onReject(peer: Peer, root: Uint8Array, range: HashRange): void {
    this.#requests?.rejected(peer, root, range, this.#nowMs())
  }

  /** Throws ENGINE_PROTOCOL when the peer asks too much. */
  onRequest(
    peer: Peer,
    content: Content | undefined,
    rootView: Uint8Array,
    range: HashRange,
  ): void {
    const account = this.#accountOf(peer)
    const root = Uint8Array.from(rootView)
    const answer = (hashes: Uint8Array | null): void => {
      if (hashes === null) account.refused++
      peer.sendHashes(root, range, hashes)
    }
    if (account.refused > MAX_REFUSED) throw protocolError('too many requests for hashes', 'floods')
    const nowMs = this.#nowMs()
    if (nowMs - account.sinceMs >= 1_000) {
      account.sinceMs = nowMs
      account.answers = 0
    }
    const server = content?.hashServer
    if (server === undefined || ++account.answers > ANSWERS_PER_S) answer(null)
    else server.ask(peer, root, range, answer)
  }

  #accountOf(peer: Peer): Account {
    let account = this.#accounts.get(peer)
    if (account === undefined) {
      account = { answers: 0, sinceMs: this.#nowMs(), refused: 0, unasked: 0 }
      this.#accounts.set(peer, account)
    }
    return account
  }
}
