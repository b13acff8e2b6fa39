/**
 * A swarm in virtual time, piece by piece: one seed and leechers that come and go, all connected to all. Time is
 * that of transfers: an uploader has four slots, each sends whole pieces at a quarter of its rate.
 *
 * ```
 * slot   peer A: piece 7 |piece 12 |piece 3 |   peer C: piece 7 | …      a peer keeps a slot for 10 s
 *                        `- A's picker is asked when the slot is free
 * ```
 *
 * A leecher gives three slots to those who gave it most of late and one by chance, the seed all by chance; where
 * fewer want something than there are slots, one has several. A peer downloads no faster than its downlink.
 * Messages take no time, nothing is lost, nobody lies.
 *
 * Of the leechers, `late` come by chance during the first half of the bound, `partial` want one half of the content
 * and stay with it (BEP 21), `quitting` go when they have half and take it with them; of the others every second one
 * goes when it is done.
 *
 * Invariants: the same scenario and seed give the same result; what was delivered is what was sent without
 * what was cut off; every piece that a leecher has is counted once in `copies`.
 */
import { assert, below, type Random, seededRandom } from '../../src/base/index.ts'
import { DISK_7200, DiskModel } from '../../src/block-device/index.ts'
import { type Chooser, makeChooser, type Strategy } from './choosers.ts'
import { Copies, countBoth, drop, isIn, put, wordsFor } from './copies.ts'
import { Dealer } from './dealer.ts'
import { StripeBuffers } from './stripe-buffers.ts'

const MIB = 2 ** 20
const SLOTS = 4
const TENURE_S = 10
/** How often slots that found nobody look again. */
const TICK_S = 0.1
const SAMPLE_TICKS = 10
/** A disk on which the content lies in one piece. */
const DISK_BYTES = 1e12
const NONE = -1

export interface Scenario {
  readonly strategy: Strategy
  /** Extents in progress at a time, for those who have such a bound. */
  readonly active: number
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly stripeBytes: number
  /** Stripes that a leecher has memory for. */
  readonly cacheStripes: number
  readonly leechers: number
  readonly late: number
  readonly partial: number
  readonly quitting: number
  readonly seed: number
}

export interface Outcome {
  /** Of those who wanted all and stayed, from when they came, over the bound. */
  readonly completions: readonly number[]
  /** What the seed had sent when the others had all of the content between them for the first time, by the content. */
  readonly seedSent: number
  /** Of copies among leechers, over the time from the beginning to the last completion. */
  readonly meanCopies: number
  readonly leastCopies: number
  readonly variation: number
  /** Of all sent. */
  readonly wasted: number
  readonly sentBytes: number
  readonly deliveredBytes: number
  readonly wastedBytes: number
  /** Of the bytes that finished leechers wrote. */
  readonly whole: number
  readonly meanWriteBytes: number
  readonly seeksPerGib: number
  /** The disk's time by that of one stream. */
  readonly diskTime: number
}

interface Peer {
  readonly up: number
  readonly down: number
  readonly comesAt: number
  readonly wants: Uint32Array
  readonly quits: boolean
  readonly goes: boolean
  readonly counts: boolean
  readonly has: Uint32Array
  /** Wanted and not had. */
  readonly needs: Uint32Array
  needed: number
  readonly half: number
  chooser: Chooser | undefined
  readonly disk: StripeBuffers | undefined
  readonly model: DiskModel | undefined
  present: boolean
  gone: boolean
  incoming: number
  doneAt: number
}

interface Slot {
  readonly from: number
  readonly isFree: boolean
  readonly rate: number
  to: number
  until: number
  piece: number
}

export const simulate = (scenario: Scenario): Outcome => new Swarm(scenario).run()

class Swarm {
  readonly #scenario: Scenario
  readonly #random: Random
  readonly #pieceCount: number
  readonly #peers: Peer[]
  readonly #slots: Slot[] = []
  /** When each slot's transfer ends; Infinity: it rests. */
  readonly #endsAt: Float64Array
  readonly #copies: Copies
  /** [downloader * peers + uploader]: pieces that the one needs and the other has; bytes given of late. */
  readonly #offers: Int32Array
  readonly #given: Float64Array
  /** The same pairs: nothing was found, and nothing has changed for the two since. */
  readonly #vain: Uint8Array
  readonly #dealer: Dealer | undefined
  readonly #bound: number
  #now = 0
  #seedBytes = 0
  #seedSent = Number.NaN
  #sent = 0
  #delivered = 0
  #wasted = 0
  #open = 0

  constructor(scenario: Scenario) {
    this.#scenario = scenario
    this.#random = seededRandom(scenario.seed)
    this.#pieceCount = scenario.totalBytes / scenario.pieceBytes
    const count = scenario.leechers + 1
    const links = Array.from({ length: count }, (_, i) => this.#link(i === 0))
    const ups = links.reduce((sum, { up }) => sum + up, 0)
    this.#bound = Math.max(
      scenario.totalBytes / links[0]!.up,
      ((scenario.leechers - (scenario.partial + scenario.quitting) / 2) * scenario.totalBytes) /
        ups,
      scenario.totalBytes / Math.min(...links.map(({ down }) => down)),
    )
    this.#peers = links.map(({ up, down }, i) => this.#makePeer(i, up, down))
    this.#copies = new Copies(this.#pieceCount, count)
    this.#dealer =
      scenario.strategy === 'dealt'
        ? new Dealer(this.#copies, scenario.pieceBytes, count, this.#random)
        : undefined
    this.#offers = new Int32Array(count * count)
    this.#given = new Float64Array(count * count)
    this.#vain = new Uint8Array(count * count)
    for (const [from, { up }] of this.#peers.entries()) {
      for (let i = 0; i < SLOTS; i++) {
        const isFree = from === 0 || i === 0
        this.#slots.push({ from, isFree, rate: up / SLOTS, to: NONE, until: 0, piece: NONE })
      }
    }
    this.#endsAt = new Float64Array(this.#slots.length).fill(Number.POSITIVE_INFINITY)
  }

  run(): Outcome {
    const limit = 50 * this.#bound
    let ticks = 0
    let samples = 0
    let mean = 0
    let least = 0
    let variation = 0
    this.#tick()
    while (this.#open > 0) {
      let next = 0
      for (let i = 1; i < this.#endsAt.length; i++) {
        if (this.#endsAt[i]! < this.#endsAt[next]!) next = i
      }
      if (this.#endsAt[next]! <= (ticks + 1) * TICK_S) {
        this.#now = this.#endsAt[next]!
        this.#finish(next)
        continue
      }
      ticks++
      this.#now = ticks * TICK_S
      assert(this.#now < limit, 'the swarm does not come to its end')
      if (ticks % (TENURE_S / TICK_S) === 0) {
        for (let i = 0; i < this.#given.length; i++) this.#given[i]! /= 2
      }
      this.#tick()
      if (ticks % SAMPLE_TICKS !== 0) continue
      samples++
      mean += this.#copies.mean
      least += this.#copies.least
      variation += this.#copies.variation
    }
    for (const [i, { piece }] of this.#slots.entries()) if (piece !== NONE) this.#cut(i)
    return this.#outcome(mean / samples, least / samples, variation / samples)
  }

  #outcome(meanCopies: number, leastCopies: number, variation: number): Outcome {
    const done = this.#peers.filter(({ counts }) => counts)
    const sum = (of: (peer: Peer) => number): number =>
      done.reduce((total, peer) => total + of(peer), 0)
    const bytes = sum(({ disk }) => disk!.bytes)
    return {
      completions: done.map(({ doneAt, comesAt }) => (doneAt - comesAt) / this.#bound),
      seedSent: this.#seedSent,
      meanCopies,
      leastCopies,
      variation,
      wasted: this.#wasted / this.#sent,
      sentBytes: this.#sent,
      deliveredBytes: this.#delivered,
      wastedBytes: this.#wasted,
      whole: sum(({ disk }) => disk!.wholeBytes) / bytes,
      meanWriteBytes: bytes / sum(({ disk }) => disk!.writes),
      seeksPerGib: sum(({ model }) => model!.seeks) / (bytes / 2 ** 30),
      diskTime: sum(({ model }) => model!.busyMs) / done[0]!.model!.sequentialMs(bytes),
    }
  }

  /** Bytes a second: the seed 2 MiB up; leechers 0.5 to 1.5 up, four times that down. */
  #link(isSeed: boolean): { up: number; down: number } {
    if (isSeed) return { up: 2 * MIB, down: Number.POSITIVE_INFINITY }
    const up = (0.5 + this.#random.uint32() / 2 ** 32) * MIB
    return { up, down: 4 * up }
  }

  #makePeer(index: number, up: number, down: number): Peer {
    const { leechers, late, partial, quitting, stripeBytes, pieceBytes, totalBytes } =
      this.#scenario
    const isSeed = index === 0
    const isPartial = !isSeed && index <= partial
    const quits = index > partial && index <= partial + quitting
    const isLate = index > leechers - late
    const wants = wordsFor(this.#pieceCount)
    const stripes = totalBytes / stripeBytes
    const perStripe = stripeBytes / pieceBytes
    const first = isPartial ? below(this.#random, stripes / 2) * perStripe : 0
    const wanted = isPartial ? this.#pieceCount / 2 : this.#pieceCount
    for (let i = 0; i < wanted; i++) put(wants, first + i)
    const comesAt = isLate ? (this.#random.uint32() / 2 ** 32) * (this.#bound / 2) : 0
    const counts = !isSeed && !isPartial && !quits
    if (counts) this.#open++
    const model = new DiskModel(
      { ...DISK_7200, sizeBytes: DISK_BYTES },
      seededRandom(this.#scenario.seed * 64 + index),
    )
    return {
      up,
      down,
      comesAt,
      wants,
      quits,
      goes: counts && index % 2 === 1,
      counts,
      has: isSeed ? wants.slice() : wordsFor(this.#pieceCount),
      needs: isSeed ? wordsFor(this.#pieceCount) : wants.slice(),
      needed: isSeed ? 0 : wanted,
      half: wanted / 2,
      chooser: undefined,
      disk: isSeed
        ? undefined
        : new StripeBuffers(stripes, stripeBytes, pieceBytes, this.#scenario.cacheStripes, model),
      model,
      present: false,
      gone: false,
      incoming: 0,
      doneAt: Number.NaN,
    }
  }

  #tick(): void {
    for (const [index, peer] of this.#peers.entries()) {
      if (!peer.present && !peer.gone && peer.comesAt <= this.#now) this.#come(index, peer)
    }
    for (let i = 0; i < this.#slots.length; i++) if (this.#slots[i]!.piece === NONE) this.#fill(i)
  }

  #come(index: number, peer: Peer): void {
    const { strategy, active, pieceBytes, stripeBytes } = this.#scenario
    const closed = peer.wants.map((word) => ~word)
    if (index > 0) {
      peer.chooser = makeChooser({
        strategy,
        active,
        pieceCount: this.#pieceCount,
        pieceBytes,
        stripeBytes,
        closed,
        copies: this.#copies,
        random: this.#random,
      })
    }
    const count = this.#peers.length
    for (const [other, { present, has, needs, chooser }] of this.#peers.entries()) {
      if (!present) continue
      chooser?.came(index, peer.has)
      peer.chooser?.came(other, has)
      this.#offers[other * count + index] = countBoth(needs, peer.has)
      this.#offers[index * count + other] = countBoth(peer.needs, has)
    }
    peer.present = true
  }

  #leave(index: number): void {
    for (const [i, { from, to, piece }] of this.#slots.entries()) {
      if (piece !== NONE && (from === index || to === index)) this.#cut(i)
    }
    const peer = this.#peers[index]!
    peer.present = false
    peer.gone = true
    for (let piece = 0; piece < this.#pieceCount; piece++) {
      if (isIn(peer.has, piece)) this.#copies.remove(piece)
    }
    this.#dealer?.takeBack(index)
    for (const { present, chooser } of this.#peers) if (present) chooser?.left(index)
  }

  /** Ends a transfer; what was sent of it is lost. */
  #cut(index: number): void {
    const slot = this.#slots[index]!
    const to = this.#peers[slot.to]!
    const left = (this.#endsAt[index]! - this.#now) * slot.rate
    const bytes = Math.max(0, this.#scenario.pieceBytes - left)
    this.#sent += bytes
    this.#wasted += bytes
    to.chooser!.cancelled(slot.from, slot.piece)
    this.#vain.fill(0, slot.to * this.#peers.length, (slot.to + 1) * this.#peers.length)
    this.#rest(index)
  }

  #rest(index: number): void {
    const slot = this.#slots[index]!
    this.#peers[slot.to]!.incoming -= slot.rate
    slot.piece = NONE
    this.#endsAt[index] = Number.POSITIVE_INFINITY
  }

  #finish(index: number): void {
    const slot = this.#slots[index]!
    const { pieceBytes, totalBytes } = this.#scenario
    const { from, to, piece } = slot
    this.#rest(index)
    this.#sent += pieceBytes
    this.#delivered += pieceBytes
    this.#given[to * this.#peers.length + from]! += pieceBytes
    this.#receive(from, to, piece)
    if (from === 0) this.#seedBytes += pieceBytes
    if (Number.isNaN(this.#seedSent) && this.#copies.atLevel[0] === 0) {
      this.#seedSent = this.#seedBytes / totalBytes
    }
    const peer = this.#peers[to]!
    if (peer.needed === 0) {
      peer.doneAt = this.#now
      peer.disk!.close()
      if (peer.counts) this.#open--
      if (peer.goes) this.#leave(to)
    } else if (peer.quits && peer.needed <= peer.half) this.#leave(to)
    this.#fill(index)
  }

  #receive(from: number, to: number, piece: number): void {
    const peer = this.#peers[to]!
    const count = this.#peers.length
    this.#dealer?.has(to, piece)
    put(peer.has, piece)
    drop(peer.needs, piece)
    peer.needed--
    this.#copies.add(piece)
    for (let i = 0; i < count; i++) {
      const other = this.#peers[i]!
      if (!other.present || i === to) continue
      other.chooser?.has(to, piece)
      if (isIn(other.needs, piece)) {
        this.#offers[i * count + to]!++
        this.#vain[i * count + to] = 0
      }
      if (isIn(other.has, piece)) this.#offers[to * count + i]!--
    }
    this.#vain.fill(0, to * count, (to + 1) * count)
    peer.chooser!.received(from, piece)
    peer.disk!.add(piece)
  }

  /** Whom the slot serves next, and with what: who had it keeps it for its time, if it wants something. */
  #fill(index: number): void {
    const slot = this.#slots[index]!
    if (!this.#peers[slot.from]!.present) return
    if (slot.to !== NONE && this.#now < slot.until && this.#start(index, slot.to)) return
    const count = this.#peers.length
    if (slot.from === 0 && slot.to !== NONE) this.#dealer?.takeBack(slot.to)
    const ranks = new Map<number, number>()
    for (let to = 1; to < count; to++) {
      if (!this.#mayServe(slot, to)) continue
      let held = 0
      for (let i = slot.from * SLOTS; i < (slot.from + 1) * SLOTS; i++) {
        if (i !== index && this.#slots[i]!.piece !== NONE && this.#slots[i]!.to === to) held++
      }
      const merit = slot.isFree ? 0 : this.#given[slot.from * count + to]!
      // Fewest slots first, then most given, then chance, which is less than a byte.
      ranks.set(to, held * 2 ** 40 - merit + this.#random.uint32() / 2 ** 32)
    }
    const order = [...ranks].sort((a, b) => a[1] - b[1])
    for (const [to] of order) {
      if (!this.#start(index, to)) continue
      const turnS = slot.from === 0 ? this.#dealer?.turnS(slot.rate) : undefined
      slot.until = this.#now + Math.min(TENURE_S, turnS ?? TENURE_S)
      return
    }
  }

  #mayServe({ from, rate }: Slot, to: number): boolean {
    const peer = this.#peers[to]!
    const pair = to * this.#peers.length + from
    return (
      peer.present &&
      to !== from &&
      this.#offers[pair]! > 0 &&
      this.#vain[pair] === 0 &&
      peer.incoming + rate <= peer.down
    )
  }

  #start(index: number, to: number): boolean {
    const slot = this.#slots[index]!
    if (!this.#mayServe(slot, to)) return false
    const peer = this.#peers[to]!
    if (slot.from === 0) {
      this.#dealer?.deal(to, slot.rate, (piece) => peer.chooser!.suggest(0, piece))
    }
    const piece = peer.chooser!.pick(slot.from, this.#peers[slot.from]!.has)
    if (piece < 0) {
      this.#vain[to * this.#peers.length + slot.from] = 1
      return false
    }
    slot.to = to
    slot.piece = piece
    peer.incoming += slot.rate
    this.#endsAt[index] = this.#now + this.#scenario.pieceBytes / slot.rate
    return true
  }
}
