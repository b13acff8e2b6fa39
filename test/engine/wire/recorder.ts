/** A sink that writes down what it is told, with copies of the bytes. */
import { toHex } from '../../../src/base/index.ts'
import type { Handshake } from '../../../src/engine/wire/handshake.ts'
import type { WireSink } from '../../../src/engine/wire/reader.ts'
import type { HashRange } from '../../../src/metainfo/index.ts'

export class Recorder implements WireSink {
  readonly calls: string[] = []
  /** Which chunks the sink wants. */
  accepts: (piece: number) => boolean = () => true
  /** Where the last accepted chunk was written. */
  target: Uint8Array = new Uint8Array(0)
  /** Called after every call was written down. */
  after: (call: string) => void = () => {}

  #record(call: string): void {
    this.calls.push(call)
    this.after(call)
  }

  onHandshake(handshake: Handshake): void {
    const flags = `${handshake.supportsExtended ? 'e' : '-'}${handshake.supportsFast ? 'f' : '-'}${handshake.supportsV2 ? '2' : ''}`
    this.#record(`handshake ${toHex(handshake.infoHash)} ${toHex(handshake.peerId)} ${flags}`)
  }
  onKeepAlive(): void {
    this.#record('keep-alive')
  }
  onChoke(): void {
    this.#record('choke')
  }
  onUnchoke(): void {
    this.#record('unchoke')
  }
  onInterested(): void {
    this.#record('interested')
  }
  onNotInterested(): void {
    this.#record('not interested')
  }
  onHave(piece: number): void {
    this.#record(`have ${piece}`)
  }
  onBitfield(bits: Uint8Array): void {
    this.#record(`bitfield ${toHex(bits)}`)
  }
  onRequest(piece: number, begin: number, length: number): void {
    this.#record(`request ${piece} ${begin} ${length}`)
  }
  onCancel(piece: number, begin: number, length: number): void {
    this.#record(`cancel ${piece} ${begin} ${length}`)
  }
  onReject(piece: number, begin: number, length: number): void {
    this.#record(`reject ${piece} ${begin} ${length}`)
  }
  onSuggest(piece: number): void {
    this.#record(`suggest ${piece}`)
  }
  onAllowedFast(piece: number): void {
    this.#record(`allowed fast ${piece}`)
  }
  onHaveAll(): void {
    this.#record('have all')
  }
  onHaveNone(): void {
    this.#record('have none')
  }
  onPort(port: number): void {
    this.#record(`port ${port}`)
  }
  onExtended(id: number, payload: Uint8Array): void {
    this.#record(`extended ${id} ${toHex(payload)}`)
  }
  onHashRequest(root: Uint8Array, range: HashRange): void {
    this.#record(`hash request ${toHex(root)} ${Object.values(range).join(' ')}`)
  }
  onHashes(root: Uint8Array, range: HashRange, hashes: Uint8Array): void {
    this.#record(`hashes ${toHex(root)} ${Object.values(range).join(' ')} ${toHex(hashes)}`)
  }
  onHashReject(root: Uint8Array, range: HashRange): void {
    this.#record(`hash reject ${toHex(root)} ${Object.values(range).join(' ')}`)
  }
  onPieceStart(piece: number, begin: number, length: number): Uint8Array | null {
    const accepted = this.accepts(piece)
    this.#record(`piece ${piece} ${begin} ${length} ${accepted ? 'wanted' : 'unwanted'}`)
    if (!accepted) return null
    this.target = new Uint8Array(length)
    return this.target
  }
  onPieceEnd(piece: number, begin: number, length: number, accepted: boolean): void {
    const payload = accepted ? toHex(this.target) : 'discarded'
    this.#record(`piece end ${piece} ${begin} ${length} ${payload}`)
  }
}
