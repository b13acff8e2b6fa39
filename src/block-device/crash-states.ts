/**
 * What a power cut can leave of a recorded run.
 *
 * The run is cut into epochs by its flushes. At the end of every epoch, and at the end of the log, the
 * writes not covered by a flush are pending: each may have reached the medium or not, in any order,
 * torn between sectors, and the sectors that were being written when the power went may hold garbage.
 * Yielded for each epoch:
 * - every prefix in order of issue;
 * - while at most `exhaustive` sectors are pending: every combination of old, new and garbage;
 * - else each write alone, each missing, and `perEpoch` seeded random mixtures, sector by sector.
 *
 * A state is an overlay over the durable image, so it costs only its difference. The image moves on
 * with the generator: use a state before asking for the next.
 */
import { below, type Random } from '../base/index.ts'
import { deviceError } from './errors.ts'
import type { SparseImage } from './memory-device.ts'
import { checkRange } from './range.ts'
import type { LoggedDiscard, LoggedWrite, SimulatedDevice } from './simulated-device.ts'
import type { BlockDevice } from './types.ts'

export interface CrashOptions {
  readonly random: Random
  /** Random mixtures an epoch. Default 8. */
  readonly perEpoch?: number
  /** All combinations of up to this many pending sectors. Default 4. */
  readonly exhaustive?: number
  /** Sectors in flight may turn into garbage. Default true. */
  readonly garbage?: boolean
  /** The log before this position is history: applied, not enumerated. Default 0. */
  readonly from?: number
}

export interface CrashState {
  readonly device: OverlayDevice
  /** Values of the marks that precede the cut. */
  readonly marks: readonly unknown[]
  /** For messages: epoch and choice. */
  readonly what: string
}

/** A device over an image that is not to be changed: writes stay in the overlay. */
export class OverlayDevice implements BlockDevice {
  readonly label = 'crash state'
  readonly readOnly = false
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly #base: SparseImage
  readonly #sectors = new Map<number, Uint8Array>()

  constructor(base: SparseImage, sizeBytes: number, sectorBytes: number) {
    this.#base = base
    this.sizeBytes = sizeBytes
    this.sectorBytes = sectorBytes
  }

  /** Puts bytes there without asking anybody: for corruption. */
  poke(offset: number, source: Uint8Array): void {
    this.lay(offset, source.slice())
  }

  /** As `poke`, but keeps hold of `source`, which nobody may change any more. */
  lay(offset: number, source: Uint8Array): void {
    const sector = this.sectorBytes
    for (let at = 0; at < source.length; at += sector) {
      this.#sectors.set((offset + at) / sector, source.subarray(at, at + sector))
    }
  }

  /** An image of its own of what a reader of this device sees. */
  flatten(): SparseImage {
    const image = this.#base.copy()
    for (const [number, bytes] of this.#sectors) image.write(number * this.sectorBytes, bytes)
    return image
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    this.peek(offset, target)
  }

  peek(offset: number, target: Uint8Array): void {
    checkRange(this, offset, target.length)
    this.#base.read(offset, target)
    const sector = this.sectorBytes
    const first = offset / sector
    const count = target.length / sector
    if (this.#sectors.size < count) {
      for (const [number, bytes] of this.#sectors) {
        if (number >= first && number < first + count) target.set(bytes, (number - first) * sector)
      }
      return
    }
    for (let i = 0; i < count; i++) {
      const bytes = this.#sectors.get(first + i)
      if (bytes !== undefined) target.set(bytes, i * sector)
    }
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    checkRange(this, offset, source.length)
    this.poke(offset, source)
  }

  async flush(): Promise<void> {}

  async discard(offset: number, bytes: number): Promise<void> {
    checkRange(this, offset, bytes)
    this.poke(offset, new Uint8Array(bytes).fill(0xdd))
  }

  async close(): Promise<void> {}
}

type Pending = LoggedWrite | LoggedDiscard

export function* crashStates(
  recorded: SimulatedDevice,
  options: CrashOptions,
): Generator<CrashState> {
  const { random, perEpoch = 8, exhaustive = 4, garbage = true, from = 0 } = options
  const { sizeBytes, sectorBytes, log } = recorded
  const durable = recorded.base.copy()
  const junk = new Uint8Array(sectorBytes)
  random.fill(junk)
  let pending: { event: Pending; position: number; marksBefore: number }[] = []
  const marks: unknown[] = []
  let epoch = 0

  const overlay = (): OverlayDevice => new OverlayDevice(durable, sizeBytes, sectorBytes)
  const bytesOf = (event: Pending): Uint8Array =>
    event.kind === 'write' ? event.data : new Uint8Array(event.bytes).fill(0xdd)
  const lengthOf = (event: Pending): number =>
    event.kind === 'write' ? event.data.length : event.bytes
  const state = (device: OverlayDevice, marked: number, what: string): CrashState => ({
    device,
    marks: marks.slice(0, marked),
    what: `epoch ${epoch}, ${what}`,
  })
  const subset = (chosen: (index: number) => boolean, what: string): CrashState => {
    const device = overlay()
    pending.forEach(({ event }, index) => {
      if (chosen(index)) device.lay(event.offset, bytesOf(event))
    })
    return state(device, marks.length, what)
  }

  function* emit(): Generator<CrashState> {
    const count = pending.length
    const isHistory = ({ position }: { position: number }): boolean => position < from
    const old = pending.findLastIndex(isHistory) + 1
    // A prefix is a cut in the middle of the epoch, before the marks that came after it.
    for (let end = old; end <= count; end++) {
      const device = overlay()
      for (const { event } of pending.slice(0, end)) device.lay(event.offset, bytesOf(event))
      const marked = end < count ? pending[end]!.marksBefore : marks.length
      yield state(device, marked, `prefix ${end} of ${count}`)
    }
    if (count === 0) return
    const sectors = pending.reduce((sum, { event }) => sum + lengthOf(event) / sectorBytes, 0)
    if (sectors <= exhaustive) yield* combinations(sectors)
    else yield* samples(count)
  }

  function* combinations(sectors: number): Generator<CrashState> {
    const fates = garbage ? 3 : 2
    for (let number = 0; number < fates ** sectors; number++) {
      const device = overlay()
      let rest = number
      for (const { event } of pending) {
        const bytes = bytesOf(event)
        for (let at = 0; at < bytes.length; at += sectorBytes) {
          const fate = rest % fates
          rest = Math.floor(rest / fates)
          if (fate === 1) device.lay(event.offset + at, bytes.subarray(at, at + sectorBytes))
          else if (fate === 2) device.lay(event.offset + at, junk)
        }
      }
      yield state(device, marks.length, `combination ${number} of ${sectors} sectors`)
    }
  }

  function* samples(count: number): Generator<CrashState> {
    for (let one = 0; one < count; one++) {
      yield subset((index) => index === one, `write ${one} alone of ${count}`)
      yield subset((index) => index !== one, `write ${one} missing of ${count}`)
    }
    for (let round = 0; round < perEpoch; round++) {
      const device = overlay()
      for (const { event } of shuffled(pending, random)) {
        const choice = below(random, 10)
        if (choice < 3) continue
        const bytes = bytesOf(event)
        if (choice < 6) device.lay(event.offset, bytes)
        else {
          for (let at = 0; at < bytes.length; at += sectorBytes) {
            const fate = below(random, garbage ? 5 : 4)
            if (fate < 2) device.lay(event.offset + at, bytes.subarray(at, at + sectorBytes))
            else if (fate === 4) device.lay(event.offset + at, junk)
          }
        }
      }
      yield state(device, marks.length, `mixture ${round}`)
    }
  }

  for (const [position, event] of log.entries()) {
    if (event.kind === 'mark') marks.push(event.value)
    else if (event.kind !== 'flush') pending.push({ event, position, marksBefore: marks.length })
    else {
      if (position >= from) yield* emit()
      for (const { event: done } of pending) {
        if (event.covers.has(done)) durable.write(done.offset, bytesOf(done))
      }
      pending = pending.filter(({ event: done }) => !event.covers.has(done))
      epoch++
    }
  }
  if (log.length < from) throw deviceError('DEVICE_RANGE', `the log ends before ${from}`)
  yield* emit()
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const order = [...items]
  for (let i = order.length - 1; i > 0; i--) {
    const j = below(random, i + 1)
    ;[order[i], order[j]] = [order[j]!, order[i]!]
  }
  return order
}
