/**
 * A BlockDevice: an array of sectors that is read, written, flushed and discarded.
 *
 * What the layers above rely on, and the conformance suite checks:
 * - one sector is written whole or not at all; a longer write may be torn between sectors by a crash;
 * - writes that were acknowledged before `flush` was called are durable once `flush` resolves; of
 *   those that were not, any subset may survive, in any order;
 * - operations may overlap in time; overlapping ranges in flight at once are the caller's mistake;
 * - what was discarded, or never written, reads as anything.
 *
 * Offsets and lengths are bytes, multiples of `sectorBytes`. Offsets are safe integers, so a device
 * is at most 8 PiB: node writes at no position beyond 2^53 - 1 (fs.read takes a BigInt position, but
 * fs.write silently ignores one and writes at the file's cursor).
 */
export interface BlockDevice {
  /** For messages: the path of the file or device. */
  readonly label: string
  readonly sizeBytes: number
  /** Logical sector: the unit of addressing and of atomic writes; 512 or 4096. */
  readonly sectorBytes: number
  /**
   * Physical sector of a raw device, where known: what a power cut can damage around a write. Larger
   * than `sectorBytes` on 512e disks. Absent: as `sectorBytes`.
   */
  readonly physicalSectorBytes?: number
  readonly readOnly: boolean
  /**
   * Fills `target` from `offset`. A direct device needs memory from `allocateAligned` (it falls back
   * to a bounce buffer for any other, at the price of a copy).
   */
  read(offset: number, target: Uint8Array): Promise<void>
  write(offset: number, source: Uint8Array): Promise<void>
  flush(): Promise<void>
  /**
   * Looks at the size again: a device may have become larger, and `sizeBytes` follows; a smaller one is
   * not believed. Absent: the size never changes.
   */
  remeasure?(): void
  /** Tells the device that a range holds nothing any more. Advisory; resolves where unsupported. */
  discard(offset: number, bytes: number): Promise<void>
  close(): Promise<void>
}
