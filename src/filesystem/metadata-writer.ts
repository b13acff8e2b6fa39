/**
 * Writes metadata in order, and stops for good when that fails.
 *
 * Invariants:
 * - an update goes to the copy that is not current;
 * - after a failed metadata write or flush nothing is written any more and nothing acknowledged: a
 *   failed flush is not repeated, because the kernel may have dropped what it could not write;
 * - memory learns of an update (`advance`) only when it is on the device.
 */
import type { SeedbedError } from '../base/index.ts'
import { allocateAligned, type BlockDevice } from '../block-device/index.ts'
import { fsError } from './errors.ts'
import { type Geometry, slotBytes } from './geometry.ts'
import { encodeTwin, type Inode, kindOf, type MapSlot } from './inode.ts'
import { KIND_CONTINUATION, type Sealer } from './sector.ts'
import type { TwinRegion } from './twins.ts'
import type { BarrierName } from './types.ts'

/** The next state of one twin. */
export interface TwinUpdate {
  readonly region: TwinRegion
  readonly twin: number
  readonly kind: number
  readonly owner: bigint
  /** Fills the payload at `memory[from..]`. */
  encode(memory: Uint8Array, from: number): void
}

/** Of an i-node's twin, as memory has it when it is written. */
export function twinUpdate(
  geometry: Geometry,
  inode: Inode,
  slot: MapSlot,
  twin: number,
): TwinUpdate {
  return {
    region: slot.region,
    twin,
    kind: kindOf(inode, slot, twin),
    owner: slot.reference.id,
    encode: (memory, from) => encodeTwin(geometry, inode, slot, twin, memory, from),
  }
}

interface Run {
  readonly place: number
  readonly from: number
  readonly to: number
}

/** Updates as they were at one moment, ready to be written. */
export interface CapturedUpdates {
  readonly memory: Uint8Array
  readonly runs: readonly Run[]
  readonly updates: readonly TwinUpdate[]
}

/** Writes in flight at once: lets a drive sort them. */
const WRITES_AT_ONCE = 8
/** A slot up to this size is written in one go, with the unused sectors between its halves. */
const WHOLE_SLOT_BYTES = 65_536

export class MetadataWriter {
  readonly device: BlockDevice
  readonly geometry: Geometry
  readonly sealer: Sealer
  readonly #onBarrier: (name: BarrierName) => void
  readonly #onFailure: (error: SeedbedError) => void
  #failure: SeedbedError | undefined
  #transactions = 0
  #waiting: (() => void)[] = []

  constructor(
    device: BlockDevice,
    geometry: Geometry,
    sealer: Sealer,
    onBarrier: (name: BarrierName) => void = () => {},
    onFailure: (error: SeedbedError) => void = () => {},
  ) {
    this.device = device
    this.geometry = geometry
    this.sealer = sealer
    this.#onBarrier = onBarrier
    this.#onFailure = onFailure
  }

  get failure(): SeedbedError | undefined {
    return this.#failure
  }

  assertSound(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * Runs a change of metadata with its barriers. Writes of data that have not begun give way to it
   * (`quiet`): on a disk that spins each of them between two sectors of metadata would cost two seeks.
   * A change that is next in line begins before they do. The change may not wait for a write of data.
   */
  async transaction<T>(action: () => Promise<T>): Promise<T> {
    this.#transactions++
    try {
      return await action()
    } finally {
      this.#transactions--
      if (this.#transactions === 0 && this.#waiting.length > 0) setImmediate(() => this.#wake())
    }
  }

  #wake(): void {
    if (this.#transactions === 0) for (const wake of this.#waiting.splice(0)) wake()
  }

  /** Undefined when no change of metadata is under way or about to begin, else it resolves when none is. */
  quiet(): Promise<void> | undefined {
    if (this.#transactions === 0 && this.#waiting.length === 0) return undefined
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async barrier(name: BarrierName): Promise<void> {
    this.#onBarrier(name)
    await this.guard(() => this.device.flush())
  }

  /** Runs a write of metadata; its failure is the volume's. */
  async guard(action: () => Promise<void>): Promise<void> {
    this.assertSound()
    try {
      await action()
    } catch (cause) {
      if (this.#failure === undefined) {
        this.#failure = fsError('FS_FAILED', `metadata was not written: ${messageOf(cause)}`, {
          cause,
          mend: 'Check the disk, then mount again: what was synced before is there.',
        })
        this.#onFailure(this.#failure)
      }
      throw this.#failure
    }
  }

  /** Encodes `updates` as memory has them now. */
  capture(updates: readonly TwinUpdate[]): CapturedUpdates {
    const { sectorBytes } = this.geometry
    const order = [...updates].sort(
      (a, b) => a.region.nextPlace(a.twin) - b.region.nextPlace(b.twin),
    )
    const memory = allocateAligned(order.length * sectorBytes)
    const runs: { place: number; from: number; to: number }[] = []
    for (const [i, { region, twin, kind, owner, encode }] of order.entries()) {
      const from = i * sectorBytes
      const place = region.nextPlace(twin)
      encode(memory, from)
      this.sealer.seal(memory, from, place, kind, owner, region.nextGeneration(twin))
      const last = runs.at(-1)
      if (last !== undefined && last.place + (last.to - last.from) === place) {
        last.to += sectorBytes
      } else runs.push({ place, from, to: from + sectorBytes })
    }
    return { memory, runs, updates: order }
  }

  /** Writes what was captured; the caller's barrier makes it durable. */
  async write({ memory, runs, updates }: CapturedUpdates): Promise<void> {
    await this.guard(async () => {
      for (let first = 0; first < runs.length; first += WRITES_AT_ONCE) {
        const some = runs.slice(first, first + WRITES_AT_ONCE)
        await settleAll(
          some.map((run) => this.device.write(run.place, memory.subarray(run.from, run.to))),
        )
      }
    })
    for (const { region, twin } of updates) region.advance(twin)
  }

  /**
   * Writes all twins of a slot, both copies at generation 1. Without an i-node: an empty continuation,
   * whose content will follow as ordinary updates behind the barrier.
   */
  async writeFresh(slot: MapSlot, inode?: Inode): Promise<void> {
    const { geometry, sealer } = this
    const { sectorBytes } = geometry
    const { region, reference } = slot
    const bytes = slotBytes(reference.slabClass)
    const whole = bytes <= WHOLE_SLOT_BYTES
    const memory = allocateAligned(whole ? bytes : region.twins * sectorBytes)
    for (const copy of [0, 1]) {
      const base = whole ? copy * region.stride : 0
      for (let twin = 0; twin < region.twins; twin++) {
        const from = base + twin * sectorBytes
        const place = region.placeOf(twin, copy)
        if (inode !== undefined) encodeTwin(geometry, inode, slot, twin, memory, from)
        const kind = inode === undefined ? KIND_CONTINUATION : kindOf(inode, slot, twin)
        sealer.seal(memory, from, place, kind, reference.id, 1)
      }
      if (!whole) await this.guard(() => this.device.write(region.placeOf(0, copy), memory))
    }
    if (whole) await this.guard(() => this.device.write(region.place, memory))
  }
}

/** Waits for all, also when one fails: nothing may still be in flight when the failure is handled. */
export async function settleAll(promises: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(promises)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
