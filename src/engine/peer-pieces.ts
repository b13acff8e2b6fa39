/**
 * What a peer has, by what it said: bitfield, have all, have none, haves, what it lost, and what of that came before a
 * magnet's metadata was known. It is told to the picker, as long as something is to be downloaded.
 *
 * Invariants:
 * - Before the content is known, `has` is undefined and what was said is remembered, bounded; nothing is
 *   checked then, because nobody knows how many pieces there are.
 * - `picking` is set exactly while the picker counts the peer; `has` is its bitfield then, and changed
 *   through the picker alone.
 * - A piece that the peer said it has is taken back by its own word alone (BEP 54).
 *
 * Throws ENGINE_PROTOCOL for what does not fit the torrent.
 */
import { Bitfield } from '../base/index.ts'
import type { Content } from './content.ts'
import { protocolError } from './errors.ts'
import type { PickerPeer } from './picker-peer.ts'

/** Haves that are remembered before the metadata is known. */
const MAX_EARLY_HAVES = 4_096
/** A bitfield that is remembered: of half a million pieces. */
const MAX_EARLY_BYTES = 64 * 1024

type Early = { kind: 'none' | 'all' | 'too long' } | { kind: 'bits'; bytes: Uint8Array }

export class PeerPieces {
  /** Undefined before the metadata is known. */
  has: Bitfield | undefined
  /** What the picker knows of the peer; undefined when nothing is to be downloaded. */
  picking: PickerPeer | undefined
  #content: Content | undefined
  #early: Early | undefined
  /** Pieces that it has, and the complement of those that it lost. */
  #earlyHaves: number[] = []

  get isSeed(): boolean {
    return this.has?.full ?? false
  }

  /** Pieces that it has and we lack. */
  get wanted(): number {
    return this.picking?.wanted ?? 0
  }

  /** How many pieces there are is known from now on. */
  begin(content: Content): void {
    this.#content = content
    this.has = content.nothing
  }

  /** What was said before `begin` gets its meaning. */
  recall(): void {
    const early = this.#early
    const haves = this.#earlyHaves
    this.#early = undefined
    this.#earlyHaves = []
    if (early?.kind === 'all') this.all()
    else if (early?.kind === 'none') this.none()
    else if (early?.kind === 'bits') this.bitfield(early.bytes)
    // It will say it again on its next connection, when it can be checked.
    else if (early?.kind === 'too long')
      throw protocolError('a long bitfield before the metadata', 'oversized')
    for (const said of haves) {
      if (said >= 0) this.have(said)
      else this.lost(~said)
    }
  }

  /** The bytes are the caller's again afterwards. */
  bitfield(bits: Uint8Array): void {
    const content = this.#content
    if (content === undefined) {
      const isShort = bits.length <= MAX_EARLY_BYTES
      this.#early = isShort ? { kind: 'bits', bytes: Uint8Array.from(bits) } : { kind: 'too long' }
      return
    }
    const has = Bitfield.fromWire(bits, content.geometry.pieceCount)
    if (has === null) throw protocolError('a bitfield that does not fit the torrent')
    this.#learn(content, has)
  }

  all(): void {
    const content = this.#content
    if (content === undefined) {
      this.#early = { kind: 'all' }
      return
    }
    this.#learn(content, content.everything)
  }

  none(): void {
    const content = this.#content
    if (content === undefined) this.#early = { kind: 'none' }
    else this.#learn(content, content.nothing)
  }

  have(piece: number): void {
    const content = this.#content
    if (content === undefined) {
      this.#rememberEarly(piece)
      return
    }
    if (piece >= content.geometry.pieceCount) throw protocolError(`have of piece ${piece}`)
    this.#enroll(content)
    this.#add(content, piece)
  }

  #rememberEarly(said: number): void {
    if (this.#earlyHaves.push(said) > MAX_EARLY_HAVES)
      throw protocolError('too many haves', 'floods')
  }

  /** It has the piece no more (BEP 54). True when chunks that it was asked for are free for others. */
  lost(piece: number): boolean {
    const content = this.#content
    if (content === undefined) {
      this.#rememberEarly(~piece)
      return false
    }
    if (piece >= content.geometry.pieceCount) throw protocolError(`loss of piece ${piece}`)
    if (this.picking !== undefined) {
      return content.download?.picker.peerLost(this.picking, piece) === true
    }
    this.#own(content).clear(piece)
    return false
  }

  /** The picker forgets the peer, which has gone. True when chunks may be free for others. */
  leave(): boolean {
    const { picking } = this
    this.picking = undefined
    if (picking === undefined) return false
    this.#content?.download?.picker.removePeer(picking)
    return true
  }

  /** Something is downloaded (again): a picker has come. */
  downloadBegun(): void {
    if (this.#content !== undefined && this.has!.count > 0) this.#enroll(this.#content)
  }

  /** Nothing is downloaded any more: the picker has gone. */
  downloadEnded(): void {
    this.picking = undefined
  }

  /** To be changed: no longer one that is shared by all who have nothing, or everything. */
  #own(content: Content): Bitfield {
    let has = this.has!
    if (has === content.nothing || has === content.everything) has = has.clone()
    this.has = has
    return has
  }

  #add(content: Content, piece: number): void {
    if (this.picking === undefined) this.#own(content).set(piece)
    else content.download?.picker.peerHas(this.picking, piece)
  }

  /**
   * BEP 3 wants a bitfield at the beginning or never, but aria2 sends one later on in place of many HAVEs:
   * it adds what it names. Nobody gives up a piece that way.
   */
  #learn(content: Content, has: Bitfield): void {
    if (this.picking === undefined && this.has!.count === 0) {
      this.has = has
      this.#enroll(content)
      return
    }
    for (let piece = 0; piece < has.length; piece++) {
      if (has.has(piece) && !this.has!.has(piece)) this.#add(content, piece)
    }
  }

  /** Makes it known to the picker, once. */
  #enroll(content: Content): void {
    if (content.download === undefined || this.picking !== undefined) return
    this.picking = content.download.picker.addPeer(this.#own(content))
  }
}
