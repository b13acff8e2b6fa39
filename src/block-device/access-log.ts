/**
 * What was asked of a device, and when: a file of fixed records, made to be drawn (`seedbed plot`).
 *
 * ```
 * header, 32 bytes                          record, 16 bytes
 *  0  u8[8]  magic, "SEEDLOG" and a zero     0  u48  microseconds since the log began
 *  8  u32    version: 1                      6  u48  offset / 512; for `lost`, how many records
 * 12  u32    zero                           12  u32  length / 512 * 8 + operation
 * 16  u64    size of the device
 * 24  u64    when the log began, milliseconds since 1970
 * ```
 *
 * Operations: 0 read, 1 write, 2 flush, 3 discard, 4 lost (the log could not keep up). Little-endian.
 * Records are in order of issue, noted when the operation begins.
 *
 * Invariants:
 * - logging never delays or fails an operation: memory is two buffers; what does not fit is counted and
 *   told as a `lost` record; a log that cannot be written ends, and says so once;
 * - a log that was cut (a killed process) is readable up to the cut.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { type Clock, errnoOf } from '../base/index.ts'
import { deviceError, systemError } from './errors.ts'

const MAGIC = Buffer.from('SEEDLOG\0', 'latin1')
const VERSION = 1
const HEADER_BYTES = 32
const RECORD_BYTES = 16
const BUFFER_BYTES = 65_536
const UNIT = 512
/** A log being written can be looked at; it is this far behind. */
const WRITE_AFTER_MS = 1000
const LENGTH_MAX = 2 ** 29 - 1

export const ACCESS_OPERATIONS = ['read', 'write', 'flush', 'discard', 'lost'] as const
export type AccessOperation = (typeof ACCESS_OPERATIONS)[number]

export interface AccessLogOptions {
  readonly clock: Clock
  readonly deviceBytes: number
  /** The log cannot be written any more; the device goes on. */
  onFailure(error: Error): void
}

/** One writer; `note` is hot and allocates nothing. */
export class AccessLogWriter {
  readonly #file: FileHandle
  readonly #path: string
  readonly #options: AccessLogOptions
  readonly #startMs: number
  #filling: Buffer = Buffer.alloc(BUFFER_BYTES)
  #spare: Buffer | undefined = Buffer.alloc(BUFFER_BYTES)
  #filled = 0
  #lost = 0
  #failed = false
  #closing: Promise<void> | undefined
  #writing: Promise<void> = Promise.resolve()
  #cancelTimer: (() => void) | undefined

  private constructor(path: string, file: FileHandle, options: AccessLogOptions) {
    this.#path = path
    this.#file = file
    this.#options = options
    this.#startMs = options.clock.monotonicMs()
  }

  /**
   * Begins a log; one that is there is begun anew. DEVICE_NO_LOG when the file holds something else,
   * DEVICE_PERMISSION and the like when it cannot be written.
   */
  static async create(path: string, options: AccessLogOptions): Promise<AccessLogWriter> {
    let file: FileHandle
    try {
      file = await open(path, 'wx').catch(async (error: unknown) => {
        if (errnoOf(error) !== 'EEXIST') throw error
        await refuseOther(path)
        return open(path, 'w')
      })
    } catch (error) {
      throw errnoOf(error) === 'DEVICE_NO_LOG' ? error : systemError('log', path, error)
    }
    const header = Buffer.alloc(HEADER_BYTES)
    MAGIC.copy(header)
    header.writeUInt32LE(VERSION, 8)
    header.writeBigUInt64LE(BigInt(options.deviceBytes), 16)
    header.writeBigUInt64LE(BigInt(Math.max(0, Math.floor(options.clock.wallMs()))), 24)
    const log = new AccessLogWriter(path, file, options)
    log.#append(header)
    return log
  }

  /** Hot: writes 16 bytes into a buffer. `operation` is an index of ACCESS_OPERATIONS. */
  note(operation: number, offset: number, bytes: number): void {
    if (this.#closing !== undefined) return
    if (this.#filled === BUFFER_BYTES && !this.#turn()) {
      this.#lost++
      return
    }
    if (this.#lost > 0 && this.#filled + 2 * RECORD_BYTES <= BUFFER_BYTES) {
      this.#put(4, this.#lost, 0)
      this.#lost = 0
    }
    this.#put(operation, Math.floor(offset / UNIT), Math.floor(bytes / UNIT))
    this.#cancelTimer ??= this.#options.clock.after(WRITE_AFTER_MS, () => {
      this.#cancelTimer = undefined
      this.#turn()
    })
  }

  /** Everything noted is in the file, and nothing more is. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#cancelTimer?.()
    await this.#writing
    this.#turn()
    await this.#writing
    await this.#file.close()
  }

  #put(operation: number, offset: number, length: number): void {
    const passedUs = Math.floor((this.#options.clock.monotonicMs() - this.#startMs) * 1000)
    // The device refuses an offset that is none; the log has to live with it.
    const place = Math.min(Math.max(offset, 0), 2 ** 48 - 1)
    const at = this.#filled
    this.#filling.writeUIntLE(Math.min(passedUs, 2 ** 48 - 1), at, 6)
    this.#filling.writeUIntLE(place, at + 6, 6)
    this.#filling.writeUInt32LE(Math.min(length, LENGTH_MAX) * 8 + operation, at + 12)
    this.#filled += RECORD_BYTES
  }

  /** Hands the buffer over to be written. False when the one before is still being written. */
  #turn(): boolean {
    const next = this.#spare
    if (next === undefined) return false
    const full = this.#filling
    const bytes = full.subarray(0, this.#filled)
    this.#filling = next
    this.#filled = 0
    this.#spare = undefined
    this.#append(bytes)
    this.#writing = this.#writing.then(() => {
      this.#spare = full
    })
    return true
  }

  #append(bytes: Uint8Array): void {
    this.#writing = this.#writing.then(async () => {
      if (this.#failed) return
      try {
        for (let done = 0; done < bytes.length; ) {
          done += (await this.#file.write(bytes, done)).bytesWritten
        }
      } catch (error) {
        this.#failed = true
        this.#options.onFailure(systemError('log', this.#path, error))
      }
    })
  }
}

async function refuseOther(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(8), 0, 8, 0)
    if (bytesRead === 0 || buffer.equals(MAGIC)) return
    throw deviceError('DEVICE_NO_LOG', `${path} holds something else than an access log`, {
      mend: 'Choose another file, or move this one away.',
    })
  } finally {
    await file.close()
  }
}

export interface AccessLogInfo {
  readonly deviceBytes: number
  /** Milliseconds since 1970. */
  readonly startedAtMs: number
}

/** Called for each record, in order; `offset` and `bytes` in bytes, for `lost` the count and 0. */
export type AccessVisitor = (
  operation: AccessOperation,
  timeUs: number,
  offset: number,
  bytes: number,
) => void

/**
 * Visits a log in bounded memory; records that no writer can have made are left out, a half one at the
 * end as well.
 *
 * @throws DEVICE_NO_LOG when it is none, DEVICE_MISSING and the like
 */
export async function readAccessLog(path: string, visit: AccessVisitor): Promise<AccessLogInfo> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw systemError('read', path, error)
  })
  try {
    const chunk = Buffer.alloc(BUFFER_BYTES)
    const headerBytes = await fill(file, chunk.subarray(0, HEADER_BYTES), 0)
    const sound =
      headerBytes === HEADER_BYTES &&
      chunk.subarray(0, 8).equals(MAGIC) &&
      chunk.readUInt32LE(8) === VERSION
    if (!sound) {
      throw deviceError('DEVICE_NO_LOG', `${path} is no access log of version ${VERSION}`, {
        mend: 'Make one with `seedbed up --access-log FILE`.',
      })
    }
    const info = {
      deviceBytes: Number(chunk.readBigUInt64LE(16)),
      startedAtMs: Number(chunk.readBigUInt64LE(24)),
    }
    for (let position = HEADER_BYTES; ; ) {
      const bytes = await fill(file, chunk, position)
      for (let at = 0; at + RECORD_BYTES <= bytes; at += RECORD_BYTES) {
        const packed = chunk.readUInt32LE(at + 12)
        const operation = ACCESS_OPERATIONS[packed % 8]
        if (operation === undefined) continue
        const offset = chunk.readUIntLE(at + 6, 6) * (operation === 'lost' ? 1 : UNIT)
        visit(operation, chunk.readUIntLE(at, 6), offset, Math.floor(packed / 8) * UNIT)
      }
      if (bytes < chunk.length) return info
      position += bytes
    }
  } finally {
    await file.close()
  }
}

async function fill(file: FileHandle, target: Buffer, position: number): Promise<number> {
  let done = 0
  while (done < target.length) {
    const { bytesRead } = await file.read(target, done, target.length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}
