/**
 * PNG (ISO/IEC 15948) of an image with a palette: one byte a pixel in, packed to as few bits as the
 * palette needs, deflated by node:zlib.
 */
import { crc32, deflateSync } from 'node:zlib'
import { assert } from '../base/index.ts'

/** Red, green, blue, opacity; each 0 to 255. */
export type Colour = readonly [red: number, green: number, blue: number, alpha: number]

export interface IndexedImage {
  readonly width: number
  readonly height: number
  /** `width * height` indices into the palette, row by row. */
  readonly pixels: Uint8Array
  /** 1 to 256 colours. */
  readonly palette: readonly Colour[]
}

const SIGNATURE = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const COLOUR_TYPE_PALETTE = 3

export function encodePng(image: IndexedImage): Buffer {
  const { width, height, palette } = image
  assert(palette.length >= 1 && palette.length <= 256, 'a palette of 1 to 256 colours')
  const depth = [1, 2, 4, 8].find((bits) => 2 ** bits >= palette.length)!
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = depth
  header[9] = COLOUR_TYPE_PALETTE
  const colours = Buffer.from(palette.flatMap((colour) => colour.slice(0, 3)))
  const opacities = Buffer.from(palette.map(([, , , alpha]) => alpha))
  const data = deflateSync(pack(image, depth), { level: 9 })
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', colours),
    chunk('tRNS', opacities),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** Scanlines, each behind filter type 0: packed indices compress best unfiltered. */
function pack({ width, height, pixels }: IndexedImage, depth: number): Uint8Array {
  const rowBytes = 1 + Math.ceil((width * depth) / 8)
  const packed = new Uint8Array(rowBytes * height)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * depth
      const at = y * rowBytes + 1 + (bit >>> 3)
      packed[at] = packed[at]! | (pixels[y * width + x]! << (8 - depth - (bit & 7)))
    }
  }
  return packed
}

function chunk(type: string, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + data.length)
  bytes.writeUInt32BE(data.length, 0)
  bytes.write(type, 4, 'latin1')
  bytes.set(data, 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length)
  return bytes
}
