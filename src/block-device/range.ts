/** What every implementation checks before it touches a device. */
import { deviceError } from './errors.ts'
import type { BlockDevice } from './types.ts'

/** Throws DEVICE_RANGE unless the range is whole sectors inside the device. */
export function checkRange(device: BlockDevice, offset: number, bytes: number): void {
  const { sectorBytes, sizeBytes } = device
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % sectorBytes !== 0) {
    throw deviceError('DEVICE_RANGE', `${device.label}: offset ${offset} is not on a sector`)
  }
  if (bytes % sectorBytes !== 0 || offset + bytes > sizeBytes) {
    throw deviceError(
      'DEVICE_RANGE',
      `${device.label}: ${bytes} bytes at ${offset} of ${sizeBytes} are not whole sectors inside`,
    )
  }
}

export function checkWritable(device: BlockDevice): void {
  if (device.readOnly) {
    throw deviceError('DEVICE_READ_ONLY', `${device.label} is read-only`, {
      mend: 'Open it writable.',
    })
  }
}
