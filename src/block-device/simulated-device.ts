/**
 * A device for tests: it keeps a log of what was asked of it, from which `crashStates` derives what a
 * power cut could have left, and it fails where it is told to.
 *
 * Invariants: the log is in order of issue; a write is durable only by a flush that was called after
 * the write was acknowledged; an operation may take several turns (`jitter`), so that callers which
 * rely on luck are found out.
 */
import type { Random } from '../base/index.ts'
import { below } from '../base/index.ts'
import { deviceError } from './errors.ts'
import { SparseImage } from './memory-device.ts'
import { checkRange, checkWritable } from './range.ts'
import type { BlockDevice } from './types.ts'

export interface LoggedWrite {
  readonly kind: 'write'
  readonly offset: number
  readonly data: Uint8Array
  /** The write is known to have reached the device's cache. */
  acknowledged: boolean
}

export interface LoggedDiscard {
  readonly kind: 'discard'
  readonly offset: number
  readonly bytes: number
  acknowledged: boolean
}

export interface LoggedFlush {
  readonly kind: 'flush'
  /** What had been acknowledged when it was called, and no earlier flush had covered. */
  readonly covers: ReadonlySet<LoggedWrite | LoggedDiscard>
}

/** What the test noted: an operation begun, or a promise made. */
export interface LoggedMark {
  readonly kind: 'mark'
  readonly value: unknown
}

export type LogEvent = LoggedWrite | LoggedDiscard | LoggedFlush | LoggedMark

export type OperationKind = 'read' | 'write' | 'flush' | 'discard'

export interface Fault {
  /** Counted over operations of `kinds`, from 0. */
  readonly at: number
  /** From then on each one fails. Default: only that one. */
  readonly forever?: boolean
  /** Default: all. */
  readonly kinds?: readonly OperationKind[]
}

export interface SimulatedDeviceOptions {
  readonly sizeBytes: number
  /** Default 512. */
  readonly sectorBytes?: number
  readonly physicalSectorBytes?: number
  readonly image?: SparseImage
  /** Delays every operation by a few turns drawn from it. */
  readonly jitter?: Random
  /** Keeps the log for `crashStates`. Default true; without it long tests need no memory. */
  readonly record?: boolean
}

export class SimulatedDevice implements BlockDevice {
  readonly label = 'simulated'
  readonly readOnly = false
  /** The size that a look at the device gives: whoever has it open sees it after `remeasure`. */
  realBytes: number
  #sizeBytes: number
  readonly sectorBytes: number
  readonly physicalSectorBytes: number
  /** What reads see: everything written so far, durable or not. */
  readonly image: SparseImage
  /** What was there when the log began. */
  readonly base: SparseImage
  readonly log: LogEvent[] = []
  readonly counts: Record<OperationKind, number> = { read: 0, write: 0, flush: 0, discard: 0 }
  fault: Fault | undefined
  /** Returning true makes that flush a lie: it is acknowledged and nothing becomes durable. */
  lie: ((flush: number) => boolean) | undefined
  readonly #jitter: Random | undefined
  readonly #record: boolean
  #faultCount = 0
  #closed = false
  #unflushed = new Set<LoggedWrite | LoggedDiscard>()

  constructor(options: SimulatedDeviceOptions) {
    this.#sizeBytes = options.sizeBytes
    this.realBytes = options.sizeBytes
    this.sectorBytes = options.sectorBytes ?? 512
    this.physicalSectorBytes = options.physicalSectorBytes ?? this.sectorBytes
    this.image = options.image ?? new SparseImage()
    this.base = this.image.copy()
    this.#jitter = options.jitter
    this.#record = options.record ?? true
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  remeasure(): void {
    this.#sizeBytes = Math.max(this.#sizeBytes, this.realBytes)
  }

  /** Notes `value` in the log: crash states say which marks lie before the cut. */
  mark(value: unknown): void {
    if (this.#record) this.log.push({ kind: 'mark', value })
  }

  /** The process died, the power did not fail: the same device, opened again. */
  reopen(): void {
    this.#closed = false
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    this.#enter('read', offset, target.length)
    await this.#dawdle()
    this.image.read(offset, target)
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    this.#enter('write', offset, source.length)
    checkWritable(this)
    const event: LoggedWrite = {
      kind: 'write',
      offset,
      data: this.#record ? source.slice() : source,
      acknowledged: false,
    }
    if (this.#record) this.log.push(event)
    this.image.write(offset, source)
    await this.#dawdle()
    event.acknowledged = true
    if (this.#record) this.#unflushed.add(event)
  }

  async flush(): Promise<void> {
    const number = this.counts.flush
    this.#enter('flush', 0, 0)
    const covers = this.#unflushed
    const honest = this.lie?.(number) !== true
    if (honest) this.#unflushed = new Set()
    // A flush is slow: many writes begin and end beside it, and are not covered.
    await this.#dawdle(60)
    if (honest && this.#record) this.log.push({ kind: 'flush', covers })
  }

  async discard(offset: number, bytes: number): Promise<void> {
    this.#enter('discard', offset, bytes)
    const event: LoggedDiscard = { kind: 'discard', offset, bytes, acknowledged: false }
    if (this.#record) this.log.push(event)
    this.image.discard(offset, bytes)
    await this.#dawdle()
    event.acknowledged = true
    if (this.#record) this.#unflushed.add(event)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #enter(kind: OperationKind, offset: number, bytes: number): void {
    if (this.#closed) throw deviceError('DEVICE_CLOSED', `${this.label} is closed`)
    checkRange(this, offset, bytes)
    this.counts[kind]++
    const { fault } = this
    if (fault === undefined || fault.kinds?.includes(kind) === false) return
    const count = this.#faultCount++
    if (count === fault.at || (fault.forever === true && count > fault.at)) {
      throw deviceError('DEVICE_IO', `${this.label}: ${kind} failed as it was told to`)
    }
  }

  async #dawdle(turnsMax = 4): Promise<void> {
    if (this.#jitter === undefined) return
    for (let turns = below(this.#jitter, turnsMax); turns > 0; turns--) await null
  }
}
