/** What every room may use: errors with codes, bytes, bits, and time and chance as dependencies. */
export * from './bitfield.ts'
export * from './bytes.ts'
export * from './clock.ts'
export * from './crc32c.ts'
export * from './errors.ts'
export * from './lanes.ts'
export * from './log.ts'
export * from './random.ts'
