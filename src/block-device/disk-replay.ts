/**
 * An access log run through a disk model: how long a disk that spins would have taken for it. No clock, no
 * device; the same log gives the same figures.
 *
 * A log says when requests were issued, not what waited for what. So the queue is kept full, up to the
 * drive's depth, and emptied at each flush; the time is that of a disk that is never idle.
 */
import { seededRandom } from '../base/index.ts'
import { type AccessOperation, readAccessLog } from './access-log.ts'
import { DISK_7200, DiskModel, type DiskParameters } from './disk-model.ts'
import { DiskQueue, type DiskRequest, ELEVATOR_DEPTH } from './disk-queue.ts'

export interface ReplayOptions {
  /** Default: 7200 revolutions a minute, as large as the log's device. */
  readonly parameters?: DiskParameters
  /** Default 32; 1 is a drive without an elevator. */
  readonly queueDepth?: number
  /** Of the rotational delays. */
  readonly seed?: number
}

export interface ReplayReport {
  readonly seconds: number
  readonly readBytes: number
  readonly writtenBytes: number
  readonly writes: number
  readonly seeks: number
  readonly seeksPerGib: number
  readonly meanWriteBytes: number
  /** Of the rate of one sequential stream; 1 is the limit. */
  readonly fractionOfLimit: number
}

export class DiskReplay {
  readonly #model: DiskModel
  readonly #queue: DiskQueue<DiskRequest>

  constructor(parameters: DiskParameters, queueDepth: number = ELEVATOR_DEPTH, seed = 1) {
    this.#model = new DiskModel(parameters, seededRandom(seed))
    this.#queue = new DiskQueue(queueDepth)
  }

  note(operation: AccessOperation, offset: number, bytes: number): void {
    if (operation === 'flush') this.#drain(0)
    if (operation !== 'read' && operation !== 'write') return
    this.#queue.add({ kind: operation, offset, bytes })
    this.#drain(this.#queue.depth)
  }

  report(): ReplayReport {
    this.#drain(0)
    return diskReport(this.#model)
  }

  #drain(down: number): void {
    while (this.#queue.length > down) {
      const { kind, offset, bytes } = this.#queue.take(this.#model.head)!
      this.#model.serve(kind, offset, bytes)
    }
  }
}

/** What a model has done so far, as a disk that was never idle. */
export function diskReport(model: DiskModel): ReplayReport {
  const { readBytes, writtenBytes, writes, seeks, busyMs } = model
  const bytes = readBytes + writtenBytes
  return {
    seconds: busyMs / 1000,
    readBytes,
    writtenBytes,
    writes,
    seeks,
    seeksPerGib: bytes === 0 ? 0 : seeks / (bytes / 2 ** 30),
    meanWriteBytes: writes === 0 ? 0 : writtenBytes / writes,
    fractionOfLimit: busyMs === 0 ? 1 : model.sequentialMs(bytes) / busyMs,
  }
}

/** Rejects as `readAccessLog` does. */
export async function replayAccessLog(
  path: string,
  options: ReplayOptions = {},
): Promise<ReplayReport> {
  const requests: [AccessOperation, number, number][] = []
  const info = await readAccessLog(path, (operation, _us, offset, bytes) => {
    requests.push([operation, offset, bytes])
  })
  const parameters = options.parameters ?? { ...DISK_7200, sizeBytes: info.deviceBytes }
  const replay = new DiskReplay(parameters, options.queueDepth, options.seed)
  for (const [operation, offset, bytes] of requests) replay.note(operation, offset, bytes)
  return replay.report()
}
