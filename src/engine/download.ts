/**
 * What is missing of a torrent, and its way in: the picker that decides what to ask for, the stripes
 * that it lands in, and what follows when a piece was verified, or failed its hash.
 *
 * ```
 * chunk -> stripe -> hash -> verified: have to all peers -> held on the volume -> all held
 *                        `-> failed: who sent it is banned, or suspected; the leaves of v2 tell which chunks are wrong
 * ```
 *
 * A verified piece is announced to peers at once and served from its stripe until it is on the volume:
 * memory that was verified is as good as a disk, and a stripe may take minutes to become whole.
 *
 * Invariants: a peer is banned only for a chunk that is proven to be its own and wrong; after `stop` no
 * timer is left.
 */
import type { Bitfield } from '../base/index.ts'
import type { PieceHashes } from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import { type Geometry, RUN_STRIPES } from './geometry.ts'
import type { HashJob } from './hash-requests.ts'
import { LeafBlame } from './leaf-blame.ts'
import type { Peer } from './peer.ts'
import { PickOrder, Priority } from './pick-order.ts'
import { Picker } from './picker.ts'
import { StripeCache } from './stripe-cache.ts'
import { Suspects } from './suspects.ts'
import type { TorrentContext } from './torrent-context.ts'
import { HAVE_BYTES, writeHave } from './wire/messages.ts'

/** The peers as the download sees them. */
export interface DownloadSwarm {
  readonly peers: ReadonlySet<Peer>
  readClock(): void
  banHost(host: string, reason: string): void
  /** Asks peers for hashes; false when nobody can be asked. */
  askLeaves(job: HashJob): boolean
}

export interface DownloadEvents {
  verified(piece: number): void
  /** A piece is on the volume, not durable yet. */
  held(piece: number): void
  /** Something is wrong with the storage. */
  failed(error: Error): void
}

export interface DownloadOptions {
  readonly stored: StoredTorrent
  readonly hashes: PieceHashes
  readonly geometry: Geometry
  /** The pieces that are there; kept up to date. */
  readonly verified: Bitfield
  /** Of all pieces; undefined when they are alike. */
  readonly priorities: Uint8Array | undefined
  readonly events: DownloadEvents
}

/** Haves leave together, and freed chunks are asked for again, after this time at most. */
const FLUSH_MS = 50
const STRIPE_TICK_MS = 5_000
/** A stripe without progress for this long is written as far as it is verified. */
const STRIPE_IDLE_MS = 30_000
/**
 * What was verified so long ago is written, too: with the tick and the next sync it is durable within five minutes. Long enough that a
 * stripe of which 15 kB come in a second is still written once.
 */
const STRIPE_LATE_MS = 285_000
const MAX_ACTIVE_EXTENTS = 64
/** Peers that have gone and are remembered for what they sent. */
const MAX_DEPARTED = 1_000

export class Download {
  readonly picker: Picker
  readonly stripes: StripeCache
  hashFailures = 0
  readonly #context: TorrentContext
  readonly #swarm: DownloadSwarm
  readonly #events: DownloadEvents
  readonly #geometry: Geometry
  readonly #verified: Bitfield
  /** What is not to be downloaded: verified, or skipped. */
  readonly #done: Bitfield
  readonly order: PickOrder
  readonly #suspects = new Suspects()
  /** Hosts of the picker's peers that have gone. */
  readonly #departed = new Map<number, string>()
  readonly #leaves: LeafBlame
  #haves: number[] = []
  #cancelFlush: (() => void) | undefined
  #nextStripeMs = 0
  #stopped = false

  constructor(
    context: TorrentContext,
    swarm: DownloadSwarm,
    { stored, hashes, geometry, verified, priorities, events }: DownloadOptions,
  ) {
    this.#context = context
    this.#swarm = swarm
    this.#events = events
    this.#geometry = geometry
    this.#verified = verified
    this.#done = verified
    if (priorities !== undefined) {
      this.#done = verified.clone()
      for (const [piece, own] of priorities.entries()) {
        if (own === Priority.skip) this.#done.set(piece)
      }
    }
    this.order = new PickOrder(geometry, this.#done, priorities)
    this.picker = new Picker({
      geometry,
      have: this.#done,
      order: this.order,
      random: context.random,
      maxActive: 1,
      cancel: (peer, piece, chunk) => this.#cancel(peer, piece, chunk),
      isMemoryShort: () => context.pool.isShort,
      admit: (stripe, extent, beginsRun) => this.stripes.admit(stripe, extent, beginsRun),
    })
    this.stripes = new StripeCache({
      geometry,
      stored,
      hashes,
      hasher: context.hasher,
      picker: this.picker,
      pool: context.pool,
      writes: context.disks.of(stored.disk).writes,
      clock: context.clock,
      events: {
        verified: (piece) => this.#pieceVerified(piece),
        hashFailed: (piece, senders) => this.#hashFailed(piece, senders),
        held: (piece) => events.held(piece),
        failed: (error) => events.failed(error),
        onRoom: () => this.#refillAll(),
      },
    })
    this.#leaves = new LeafBlame(hashes, geometry, context.clock, {
      chunk: (piece, chunk) => this.stripes.chunk(piece, chunk),
      ask: (job) => swarm.askLeaves(job),
      judged: (piece, wrong) => this.#judged(piece, wrong),
    })
    this.#limitExtents()
  }

  /** The picker's peer of this id, which was asked for the chunk, is not to send it. */
  #cancel(id: number, piece: number, chunk: number): void {
    for (const peer of this.#swarm.peers) {
      if (peer.pieces.picking?.id === id) peer.download.cancel(piece, chunk)
    }
  }

  /** Chunks that were asked of somebody are free: others are asked soon. */
  onReleased(): void {
    this.#scheduleFlush()
  }

  /** What is needed soon has changed: peers that may be asked for more are. */
  hurry(): void {
    this.picker.reorder()
    this.#refillAll()
  }

  /** Once a second. */
  tick(nowMs: number): void {
    this.#limitExtents()
    if (nowMs < this.#nextStripeMs) return
    this.#nextStripeMs = nowMs + STRIPE_TICK_MS
    this.stripes.tick(nowMs, STRIPE_IDLE_MS, STRIPE_LATE_MS)
  }

  /** Tells all peers of the pieces verified since the last time. */
  flush(): void {
    const count = this.#haves.length
    if (count === 0) return
    const bytes = Buffer.allocUnsafe(count * HAVE_BYTES)
    for (const [i, piece] of this.#haves.entries()) writeHave(bytes, i * HAVE_BYTES, piece)
    this.#haves = []
    for (const peer of this.#swarm.peers) peer.upload.sendHaves(bytes)
  }

  /** No timer any more. The stripes are closed, or dropped, by whoever calls. */
  stop(): void {
    this.#stopped = true
    this.#leaves.stop()
    this.#cancelFlush?.()
    this.#cancelFlush = undefined
  }

  #pieceVerified(piece: number): void {
    this.#verified.set(piece)
    this.#haves.push(piece)
    this.#scheduleFlush()
    for (const peer of this.#swarm.peers) peer.pieceVerified()
    const guilty = this.#suspects.verified(piece, (chunk) => this.stripes.chunk(piece, chunk))
    this.#banAll(guilty, 'it sent a corrupt chunk')
    this.#leaves.verified(piece)
    this.#events.verified(piece)
    if (this.#done.full) this.stripes.finish()
  }

  #hashFailed(piece: number, senders: Int32Array): readonly number[] | 'wait' | undefined {
    this.hashFailures++
    this.#context.misdeeds.count('corruptPieces')
    const ids = new Set(senders)
    this.#context.logger.warn({ piece, senders: ids.size }, 'a piece failed its hash')
    if (ids.size === 1) {
      this.#banAll(ids, 'it sent a corrupt piece')
      return undefined
    }
    const spans = this.#geometry.firstStripe(piece) !== this.#geometry.lastStripe(piece)
    const wrong = spans ? undefined : this.#leaves.failed(piece)
    if (wrong !== 'wait') this.#blame(piece, wrong, senders)
    return wrong
  }

  /** Which chunks of a piece are wrong is known now, or will not be. */
  #judged(piece: number, wrong: readonly number[] | undefined): void {
    if (!this.stripes.isQuestioned(piece)) return
    this.#blame(piece, wrong, this.picker.senders(piece))
    this.stripes.judge(piece, wrong)
    this.onReleased()
  }

  #blame(piece: number, wrong: readonly number[] | undefined, senders: Int32Array): void {
    if (wrong === undefined) {
      this.#suspects.failed(piece, senders, (chunk) => this.stripes.chunk(piece, chunk))
      return
    }
    for (const _ of wrong) this.#context.misdeeds.count('corruptChunks')
    const guilty = new Set(wrong.map((chunk) => senders[chunk]!))
    this.#banAll(guilty, 'it sent a corrupt chunk')
  }

  /** The peer goes, and may have left something wrong behind: who it was is not forgotten with it. */
  left(picking: number, host: string): void {
    this.#departed.set(picking, host)
    if (this.#departed.size > MAX_DEPARTED) {
      this.#departed.delete(this.#departed.keys().next().value!)
    }
  }

  #banAll(ids: ReadonlySet<number>, reason: string): void {
    if (ids.size === 0) return
    const hosts = new Set<string>()
    for (const peer of this.#swarm.peers) {
      const { picking } = peer.pieces
      if (picking !== undefined && ids.has(picking.id)) hosts.add(peer.host)
    }
    for (const id of ids) {
      const host = this.#departed.get(id)
      if (host !== undefined) hosts.add(host)
    }
    for (const host of hosts) this.#swarm.banHost(host, reason)
  }

  /** As many extents at once as its share of the memory can hold, or a run, which the pool may lease. */
  #limitExtents(): void {
    const { pool } = this.#context
    const stripes = Math.max((pool.share * 3) / 4, Math.min(RUN_STRIPES, pool.capacity / 2))
    const extents = Math.floor(stripes / this.#geometry.stripesPerExtent)
    this.picker.maxActive = Math.max(1, Math.min(MAX_ACTIVE_EXTENTS, extents))
  }

  #refillAll(): void {
    this.#swarm.readClock()
    for (const peer of this.#swarm.peers) peer.download.refill()
  }

  #scheduleFlush(): void {
    if (this.#cancelFlush !== undefined || this.#stopped) return
    this.#cancelFlush = this.#context.clock.after(FLUSH_MS, () => {
      this.#cancelFlush = undefined
      this.flush()
      this.#refillAll()
    })
  }
}
