/**
 * What one call of `Picker.pick` hands out: chunks for one peer, as pairs (piece, chunk). There is one for all calls, so that
 * picking allocates nothing.
 */
import type { PickerPeer } from './picker-peer.ts'

export class Asking {
  peer!: PickerPeer
  nowMs = 0
  count = 0
  #max = 0
  #out!: Int32Array

  /** `out` has room for `max` pairs. */
  begin(peer: PickerPeer, max: number, nowMs: number, out: Int32Array): void {
    this.peer = peer
    this.nowMs = nowMs
    this.count = 0
    this.#max = max
    this.#out = out
  }

  get full(): boolean {
    return this.count >= this.#max
  }

  put(piece: number, chunk: number): void {
    this.#out[2 * this.count] = piece
    this.#out[2 * this.count + 1] = chunk
    this.count++
  }
}
