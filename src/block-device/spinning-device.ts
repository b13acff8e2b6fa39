/**
 * A device whose requests take the time that a disk would take (disk-model.ts), on a clock that is handed
 * in: a simulated one for virtual time. The bytes go to another device, which is asked when the head is
 * done with them: memory that changes before its write is acknowledged shows as corruption.
 *
 * Invariants: one request is served at a time; each is answered once, when its time has passed; a flush
 * is answered when all that arrived before it has been.
 */
import type { Clock } from '../base/index.ts'
import type { DiskModel } from './disk-model.ts'
import { DiskQueue, type DiskRequest, ELEVATOR_DEPTH } from './disk-queue.ts'
import { checkRange } from './range.ts'
import type { BlockDevice } from './types.ts'

interface Waiting extends DiskRequest {
  readonly memory: Uint8Array
  resolve(): void
  reject(error: unknown): void
}

export interface SpinningDeviceOptions {
  readonly device: BlockDevice
  readonly model: DiskModel
  readonly clock: Clock
  /** Requests that the drive sorts; 1 is a drive without an elevator. */
  readonly queueDepth?: number
}

export class SpinningDevice implements BlockDevice {
  readonly label: string
  readonly sectorBytes: number
  readonly physicalSectorBytes: number
  readonly readOnly: boolean
  readonly model: DiskModel
  /** Hears of every request in the order of the head, as it is served. */
  onServed: (kind: 'read' | 'write', offset: number, bytes: number) => void = () => {}
  readonly #device: BlockDevice
  readonly #clock: Clock
  readonly #queue: DiskQueue<Waiting>
  #inFlight = new Set<Promise<void>>()
  #busy = false

  constructor(options: SpinningDeviceOptions) {
    const { device, model, clock } = options
    this.label = device.label
    this.sectorBytes = device.sectorBytes
    this.physicalSectorBytes = device.physicalSectorBytes ?? device.sectorBytes
    this.readOnly = device.readOnly
    this.model = model
    this.#device = device
    this.#clock = clock
    this.#queue = new DiskQueue(options.queueDepth ?? ELEVATOR_DEPTH)
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    checkRange(this, offset, target.length)
    await this.#ask('read', offset, target)
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    checkRange(this, offset, source.length)
    await this.#ask('write', offset, source)
  }

  async flush(): Promise<void> {
    await Promise.allSettled(this.#inFlight)
    await this.#device.flush()
  }

  discard(offset: number, bytes: number): Promise<void> {
    return this.#device.discard(offset, bytes)
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#inFlight)
    await this.#device.close()
  }

  #ask(kind: 'read' | 'write', offset: number, memory: Uint8Array): Promise<void> {
    const answered = new Promise<void>((resolve, reject) => {
      this.#queue.add({ kind, offset, bytes: memory.length, memory, resolve, reject })
    })
    this.#inFlight.add(answered)
    const over = (): void => {
      this.#inFlight.delete(answered)
    }
    answered.then(over, over)
    this.#next()
    return answered
  }

  #next(): void {
    if (this.#busy) return
    const request = this.#queue.take(this.model.head)
    if (request === undefined) return
    const { kind, offset, memory } = request
    this.#busy = true
    this.onServed(kind, offset, memory.length)
    this.#clock.after(this.model.serve(kind, offset, memory.length), () => {
      this.#busy = false
      const moved =
        kind === 'read' ? this.#device.read(offset, memory) : this.#device.write(offset, memory)
      moved.then(request.resolve, request.reject)
      this.#next()
    })
  }
}
