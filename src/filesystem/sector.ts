/**
 * Metadata sectors: sealing and checking. See docs/internals/format.md, "Metadata sectors".
 *
 *   0                                P          P+8         P+12       S
 *   +--------------------------------+-----------+-----------+----------+
 *   | payload                        | owner u64 | gen.  u32 | crc  u32 |
 *   +--------------------------------+-----------+-----------+----------+
 *
 * The CRC also covers what the sector does not contain: volume, place and kind. A sector that lies in
 * the wrong place, or comes from another volume, is therefore as invalid as a torn one.
 */
import { CRC_START, finishCrc, updateCrc } from '../base/index.ts'
import { readId, readU32, writeId, writeU32, writeU64 } from './little-endian.ts'

export const TRAILER_BYTES = 16

export const KIND_HEADER = 1
export const KIND_ROOT = 2
export const KIND_INODE = 3
export const KIND_MAP = 4
export const KIND_TABLE = 5
export const KIND_INFO = 6
export const KIND_CONTINUATION = 7

export const NO_OWNER = 0n

export class Sealer {
  readonly sectorBytes: number
  readonly payloadBytes: number
  readonly #start: number
  readonly #context = new Uint8Array(9)

  constructor(uuid: Uint8Array, sectorBytes: number) {
    this.sectorBytes = sectorBytes
    this.payloadBytes = sectorBytes - TRAILER_BYTES
    this.#start = updateCrc(CRC_START, uuid, 0, uuid.length)
  }

  /** Completes the sector at `memory[from..from + S)`, which will lie at byte `place` of the device. */
  seal(
    memory: Uint8Array,
    from: number,
    place: number,
    kind: number,
    owner: bigint,
    generation: number,
  ): void {
    const trailer = from + this.payloadBytes
    writeId(memory, trailer, owner)
    writeU32(memory, trailer + 8, generation)
    writeU32(memory, trailer + 12, this.#crc(memory, from, place, kind))
  }

  /** True when the sector is what was sealed for this volume, place, kind and owner. */
  valid(memory: Uint8Array, from: number, place: number, kind: number, owner: bigint): boolean {
    const trailer = from + this.payloadBytes
    return (
      readU32(memory, trailer + 12) === this.#crc(memory, from, place, kind) &&
      readId(memory, trailer) === owner
    )
  }

  generation(memory: Uint8Array, from: number): number {
    return readU32(memory, from + this.payloadBytes + 8)
  }

  #crc(memory: Uint8Array, from: number, place: number, kind: number): number {
    const context = this.#context
    writeU64(context, 0, place / this.sectorBytes)
    context[8] = kind
    const state = updateCrc(this.#start, context, 0, 9)
    return finishCrc(updateCrc(state, memory, from, from + this.sectorBytes - 4))
  }
}
