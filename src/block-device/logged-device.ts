/**
 * A device that tells an access log what is asked of it, while one is set. Without one it costs a
 * comparison an operation. Closing the device closes the log that is set.
 */
import type { AccessLogWriter } from './access-log.ts'
import type { BlockDevice } from './types.ts'

const READ = 0
const WRITE = 1
const FLUSH = 2
const DISCARD = 3

export class LoggedDevice implements BlockDevice {
  readonly label: string
  readonly sectorBytes: number
  readonly physicalSectorBytes: number
  readonly readOnly: boolean
  /** Set and unset at any time; who unsets it closes it. */
  log: AccessLogWriter | undefined
  readonly #device: BlockDevice

  constructor(device: BlockDevice) {
    this.#device = device
    this.label = device.label
    this.sectorBytes = device.sectorBytes
    this.physicalSectorBytes = device.physicalSectorBytes ?? device.sectorBytes
    this.readOnly = device.readOnly
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    this.log?.note(READ, offset, target.length)
    return this.#device.read(offset, target)
  }

  write(offset: number, source: Uint8Array): Promise<void> {
    this.log?.note(WRITE, offset, source.length)
    return this.#device.write(offset, source)
  }

  flush(): Promise<void> {
    this.log?.note(FLUSH, 0, 0)
    return this.#device.flush()
  }

  remeasure(): void {
    this.#device.remeasure?.()
  }

  discard(offset: number, bytes: number): Promise<void> {
    this.log?.note(DISCARD, offset, bytes)
    return this.#device.discard(offset, bytes)
  }

  async close(): Promise<void> {
    await this.#device.close()
    await this.log?.close()
  }
}
