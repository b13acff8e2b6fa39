/**
 * CRC32C (Castagnoli, reflected polynomial 0x82F63B78), eight bytes a step by eight tables
 * (Kounavis and Berry, "slicing-by-8"). node:zlib has only the other polynomial.
 *
 * A running state is the inverted register: begin with CRC_START, end with `finishCrc`.
 */

const POLYNOMIAL = 0x82f63b78
const TABLES = /* @__PURE__ */ buildTables()

export const CRC_START = -1

function buildTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[byte] = crc
  }
  for (let table = 1; table < 8; table++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = tables[(table - 1) * 256 + byte]!
      tables[table * 256 + byte] = (before >>> 8) ^ tables[before & 0xff]!
    }
  }
  return tables
}

/** The state after `bytes[from..to)`. Allocates nothing. */
export function updateCrc(state: number, bytes: Uint8Array, from: number, to: number): number {
  const t = TABLES
  let crc = state
  let i = from
  for (const end = to - 7; i < end; i += 8) {
    const low =
      crc ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24))
    crc =
      t[1792 + (low & 0xff)]! ^
      t[1536 + ((low >>> 8) & 0xff)]! ^
      t[1280 + ((low >>> 16) & 0xff)]! ^
      t[1024 + (low >>> 24)]! ^
      t[768 + bytes[i + 4]!]! ^
      t[512 + bytes[i + 5]!]! ^
      t[256 + bytes[i + 6]!]! ^
      t[bytes[i + 7]!]!
  }
  for (; i < to; i++) crc = (crc >>> 8) ^ t[(crc ^ bytes[i]!) & 0xff]!
  return crc
}

export function finishCrc(state: number): number {
  return ~state >>> 0
}
