/**
 * Asking peers for nodes of hash trees (BEP 52): who is asked for what, when again, and whom not to ask.
 *
 * ```
 * source.next() -> job -> asked of a peer -> proves itself: job.take
 *                   ^                     -> proves nothing: the peer is reported
 *                   `---- refused, late, or the peer has gone: asked of another
 * ```
 *
 * Invariants: a job is asked of one peer at a time; a peer has at most MAX_PER_PEER of them; what was not
 * asked of a peer, or is not of the size asked for, is not looked at; what is taken proved itself.
 */
import { bytesEqual } from '../base/index.ts'
import { type HashRange, MERKLE_HASH_BYTES, uncleCount } from '../metainfo/index.ts'

/** A peer that may know hashes. */
export interface HashPeer {
  readonly closed: boolean
  sendHashRequest(root: Uint8Array, range: HashRange): void
}

export interface HashJob {
  readonly root: Uint8Array
  readonly range: HashRange
  /** Nobody waits for it any more; never, where it is not there. */
  isOver?(): boolean
  /** Whether these hashes, of the right number, are what was asked for. */
  proves(hashes: Uint8Array): boolean
  /** They are. The bytes are the receiver's to copy. */
  take(hashes: Uint8Array): void
}

interface Asked {
  readonly job: HashJob
  readonly peer: HashPeer
  readonly sinceMs: number
}

const TIMEOUT_MS = 10_000
const MAX_PER_PEER = 4
/** A peer that refused, or said nothing, is asked for nothing for so long. */
const REFUSED_MS = 30_000
/** Jobs that wait to be asked again; the source is not asked for more meanwhile. */
const MAX_AGAIN = 64

export class HashRequests {
  readonly #peers = new Set<HashPeer>()
  readonly #asked: Asked[] = []
  readonly #again: HashJob[] = []
  readonly #restUntilMs = new Map<HashPeer, number>()
  readonly #next: () => HashJob | undefined
  readonly #bad: (peer: HashPeer) => void
  #pumping = false

  /** `next` gives what is wanted; `bad` hears of a peer whose hashes prove nothing. */
  constructor(next: () => HashJob | undefined, bad: (peer: HashPeer) => void) {
    this.#next = next
    this.#bad = bad
  }

  get waiting(): number {
    return this.#asked.length + this.#again.length
  }

  add(peer: HashPeer, nowMs: number): void {
    this.#peers.add(peer)
    this.pump(nowMs)
  }

  remove(peer: HashPeer, nowMs: number): void {
    if (!this.#peers.delete(peer)) return
    this.#restUntilMs.delete(peer)
    this.#takeBack((asked) => asked.peer === peer)
    this.pump(nowMs)
  }

  /** A hashes message; false when nobody asked the peer for it. */
  receive(
    peer: HashPeer,
    root: Uint8Array,
    range: HashRange,
    hashes: Uint8Array,
    nowMs: number,
  ): boolean {
    const asked = this.#find(peer, root, range)
    if (asked === undefined) return false
    this.#asked.splice(this.#asked.indexOf(asked), 1)
    const { job } = asked
    const bytes = (range.length + uncleCount(range)) * MERKLE_HASH_BYTES
    if (hashes.length === bytes && job.proves(hashes)) job.take(hashes)
    else {
      this.#again.push(job)
      this.#peers.delete(peer)
      this.#bad(peer)
    }
    this.pump(nowMs)
    return true
  }

  /** A hash reject; false when nobody asked the peer for it. */
  rejected(peer: HashPeer, root: Uint8Array, range: HashRange, nowMs: number): boolean {
    const asked = this.#find(peer, root, range)
    if (asked === undefined) return false
    this.#takeBack((each) => each === asked)
    this.#restUntilMs.set(peer, nowMs + REFUSED_MS)
    this.pump(nowMs)
    return true
  }

  /** Asks for what can be asked; to be called every second. */
  pump(nowMs: number): void {
    // A peer that closes while it is asked comes back here.
    if (this.#pumping) return
    this.#pumping = true
    try {
      for (const { peer, sinceMs } of this.#asked) {
        if (nowMs - sinceMs >= TIMEOUT_MS) this.#restUntilMs.set(peer, nowMs + REFUSED_MS)
      }
      this.#takeBack(({ sinceMs }) => nowMs - sinceMs >= TIMEOUT_MS)
      for (const peer of [...this.#peers]) this.#ask(peer, nowMs)
    } finally {
      this.#pumping = false
    }
  }

  #ask(peer: HashPeer, nowMs: number): void {
    if ((this.#restUntilMs.get(peer) ?? 0) > nowMs) return
    let room = MAX_PER_PEER
    for (const asked of this.#asked) if (asked.peer === peer) room--
    for (; room > 0 && !peer.closed; room--) {
      const job = this.#nextJob()
      if (job === undefined) return
      this.#asked.push({ job, peer, sinceMs: nowMs })
      peer.sendHashRequest(job.root, job.range)
    }
  }

  #nextJob(): HashJob | undefined {
    for (;;) {
      const job = this.#again.shift() ?? (this.#again.length < MAX_AGAIN ? this.#next() : undefined)
      if (job?.isOver?.() !== true) return job
    }
  }

  #find(peer: HashPeer, root: Uint8Array, range: HashRange): Asked | undefined {
    return this.#asked.find(
      ({ job, peer: other }) =>
        other === peer &&
        job.range.baseLayer === range.baseLayer &&
        job.range.index === range.index &&
        job.range.length === range.length &&
        job.range.proofLayers === range.proofLayers &&
        bytesEqual(job.root, root),
    )
  }

  #takeBack(which: (asked: Asked) => boolean): void {
    for (let i = this.#asked.length - 1; i >= 0; i--) {
      if (!which(this.#asked[i]!)) continue
      this.#again.push(this.#asked[i]!.job)
      this.#asked.splice(i, 1)
    }
  }
}
