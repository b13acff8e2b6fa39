/** Pictures that others can read, of points that are where they should be. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { inflateSync } from 'node:zlib'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { AccessLogWriter } from '../../src/block-device/index.ts'
import {
  ARTICLE,
  accessFigure,
  articleFigure,
  axisFor,
  drawPng,
  drawSvg,
  encodePng,
  layOut,
  PointRaster,
  READS,
  simulateAllocator,
  simulateSparseFile,
  WRITES,
} from '../../src/plot/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'seedbed-plot-'))
after(() => rmSync(folder, { recursive: true }))

/** CRC-32 by its definition, bit by bit. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

/** An independent reader: chunks with their checksums, then the pixels as RGBA. */
function decodePng(png: Buffer): { width: number; height: number; rgba: Buffer } {
  assert.deepEqual([...png.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10])
  const chunks = new Map<string, Buffer>()
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at)
    const checked = png.subarray(at + 4, at + 8 + length)
    assert.equal(png.readUInt32BE(at + 8 + length), crc32(checked))
    chunks.set(checked.toString('latin1', 0, 4), checked.subarray(4))
    at += 12 + length
  }
  assert.deepEqual([...chunks.keys()], ['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND'])
  const header = chunks.get('IHDR')!
  const width = header.readUInt32BE(0)
  const height = header.readUInt32BE(4)
  const depth = header[8]!
  assert.deepEqual([...header.subarray(9)], [3, 0, 0, 0])
  const rows = inflateSync(chunks.get('IDAT')!)
  const rowBytes = 1 + Math.ceil((width * depth) / 8)
  assert.equal(rows.length, rowBytes * height)
  const rgba = Buffer.alloc(4 * width * height)
  for (let y = 0; y < height; y++) {
    assert.equal(rows[y * rowBytes], 0, 'filter none')
    for (let x = 0; x < width; x++) {
      const byte = rows[y * rowBytes + 1 + Math.floor((x * depth) / 8)]!
      const index = (byte >> (8 - depth - ((x * depth) % 8))) & (2 ** depth - 1)
      const at = 4 * (y * width + x)
      chunks.get('PLTE')!.copy(rgba, at, index * 3, index * 3 + 3)
      rgba[at + 3] = chunks.get('tRNS')![index]!
    }
  }
  return { width, height, rgba }
}

test('any indexed image comes out of its PNG again', () => {
  const colour = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255))
  const image = fc
    .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 20 }))
    .chain(([width, height]) =>
      fc.record({
        width: fc.constant(width),
        height: fc.constant(height),
        palette: fc.array(colour, { minLength: 1, maxLength: 256 }),
        chances: fc.uint8Array({ minLength: width * height, maxLength: width * height }),
      }),
    )
  fc.assert(
    fc.property(image, ({ width, height, palette, chances }) => {
      const pixels = chances.map((chance) => chance % palette.length)
      const decoded = decodePng(encodePng({ width, height, pixels, palette }))
      assert.deepEqual([decoded.width, decoded.height], [width, height])
      const expected = Buffer.from([...pixels].flatMap((index) => [...palette[index]!]))
      assert.ok(decoded.rgba.equals(expected))
    }),
    { numRuns: 60, seed: 20261122 },
  )
})

test('ticks are round, ascending and inside, in a unit that fits', () => {
  const texts = (...args: Parameters<typeof axisFor>): string =>
    [...axisFor(...args).ticks.map((tick) => tick.text), axisFor(...args).unit].join(' ')
  assert.equal(texts('count', 45_000), '0 10,000 20,000 30,000 40,000 ')
  assert.equal(texts('bytes', 3.5 * 2 ** 30), '0 1 2 3 GiB')
  assert.equal(texts('bytes', 2 ** 53), '0 2 4 6 8 PiB')
  assert.equal(texts('seconds', 0.25), '0 50 100 150 200 250 ms')
  assert.equal(texts('seconds', 7200), '0 0.5 1 1.5 2 h')
  fc.assert(
    fc.property(
      fc.constantFrom('bytes', 'seconds', 'count'),
      fc.double({ min: 0, max: 2 ** 53, noNaN: true }),
      (quantity, max) => {
        const axis = axisFor(quantity, max)
        assert.ok(axis.max > 0)
        assert.ok(axis.ticks.length >= 2 && axis.ticks.length <= 12, `${axis.ticks.length}`)
        assert.equal(axis.ticks[0]!.value, 0)
        for (const [i, { value }] of axis.ticks.entries()) {
          assert.ok(value <= axis.max * 1.000001)
          if (i > 0) assert.ok(value > axis.ticks[i - 1]!.value)
        }
      },
    ),
    { numRuns: 300, seed: 1 },
  )
})

test('points are where their values say, and never outside', () => {
  const drawn = (...points: [number, number, number?][]): string => {
    const raster = new PointRaster(6, 4, 60, 40, 1)
    for (const [x, y, extent] of points) raster.add(0, x, y, extent)
    const rows = Array.from({ length: 4 }, (_, y) => raster.pixels.subarray(y * 6, y * 6 + 6))
    return rows.map((row) => [...row].map((bit) => '.#'[bit]).join('')).join(' ')
  }
  assert.equal(drawn([0, 0]), '...... ...... ...... #.....')
  assert.equal(drawn([59, 39]), '.....# ...... ...... ......')
  assert.equal(drawn([60, 40]), '.....# ...... ...... ......')
  assert.equal(drawn([20, 10, 20]), '...... ..#... ..#... ......')
  assert.equal(drawn([20, 10, 1e9]), '..#... ..#... ..#... ......')
  assert.equal(drawn([-5, -5], [1e9, 1e9]), '.....# ...... ...... #.....')
})

test('the sequential allocator writes forward, the ordered one all over the place', () => {
  const backwards = { sequential: 0, ordered: 0 }
  for (const kind of ['sequential', 'ordered'] as const) {
    let before = 0
    let writes = 0
    simulateAllocator(kind, seededRandom(1), (write, block) => {
      assert.equal(write, writes++)
      assert.ok(block > 0 && block < ARTICLE.blocks)
      if (block < before) backwards[kind]++
      before = block
    })
    assert.equal(writes, ARTICLE.allocations)
  }
  assert.ok(backwards.sequential < 20, `${backwards.sequential} times backwards`)
  assert.ok(backwards.ordered > 1000, `${backwards.ordered} times backwards`)
})

test('the sparse file has every piece once, those of an extent together', () => {
  const places: number[] = []
  simulateSparseFile(seededRandom(1), (_, place) => void places.push(place))
  assert.equal(new Set(places).size, ARTICLE.pieces)
  assert.equal(Math.max(...places), ARTICLE.pieces - 1)
  const forward = places.filter((place, i) => i > 0 && place > places[i - 1]!).length
  assert.ok(forward < ARTICLE.pieces * 0.6, 'half of the writes go back')
})

async function logged(): Promise<string> {
  const path = join(folder, 'log')
  const clock = new ManualClock()
  const options = { clock, deviceBytes: 2 ** 30, onFailure: assert.fail }
  const log = await AccessLogWriter.create(path, options)
  for (let i = 0; i < 100; i++) {
    clock.advance(100)
    log.note(1, i * 2 ** 20, 2 ** 20)
    if (i % 10 === 0) log.note(2, 0, 0)
  }
  log.note(0, 0, 2 ** 20)
  log.note(3, 0, 2 ** 20)
  await log.close()
  return path
}

test('an access log is summed up and drawn', async () => {
  const { figure, summary } = await accessFigure(await logged())
  assert.deepEqual(summary, {
    deviceBytes: 2 ** 30,
    startedAtMs: 0,
    seconds: 10,
    reads: 1,
    readBytes: 2 ** 20,
    writes: 100,
    writtenBytes: 100 * 2 ** 20,
    flushes: 10,
    discards: 1,
    lost: 0,
    sequentialReads: 0,
    sequentialWrites: 99,
  })
  const { raster, y } = figure.panels[0]!
  assert.equal(y.max, 100 * 2 ** 20)
  // The writes are the diagonal, the read is in the lower right corner.
  const at = (x: number, up: number): number =>
    raster.pixels[(raster.height - 1 - up) * raster.width + x]!
  assert.equal(at(Math.floor(raster.width * 0.5) + 1, Math.floor(raster.height * 0.495)), 2)
  assert.equal(at(raster.width - 1, 0), 1)
  assert.equal(at(0, raster.height - 1), 0)
  const png = decodePng(drawPng(figure))
  assert.deepEqual([png.width, png.height], [figure.width, figure.height])
})

test('an empty log is a picture, too', async () => {
  const path = join(folder, 'empty')
  const options = { clock: new ManualClock(), deviceBytes: 2 ** 30, onFailure: assert.fail }
  await (await AccessLogWriter.create(path, options)).close()
  const { figure, summary } = await accessFigure(path)
  assert.equal(summary.writes, 0)
  decodePng(drawPng(figure))
})

test('an SVG says in words what it shows, with names escaped, and holds the points as a picture', () => {
  const axis = { label: 'a < b & c', quantity: 'count', max: 10 } as const
  const figure = layOut([[{ title: 'T', x: axis, y: axis, series: [READS, WRITES] }]])
  figure.panels[0]!.raster.add(1, 5, 5)
  const svg = drawSvg(figure)
  assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ \d+"/)
  assert.match(svg, />a &#60; b &#38; c</)
  assert.match(svg, />reads</)
  const embedded = /base64,([^"]+)"/.exec(svg)![1]!
  const { rgba } = decodePng(Buffer.from(embedded, 'base64'))
  let seen = 0
  for (let at = 0; at < rgba.length; at += 4) {
    if (rgba[at + 3] === 0) continue
    assert.deepEqual([...rgba.subarray(at, at + 4)], [...WRITES.colour])
    seen++
  }
  assert.equal(seen, 4, 'one dot of two by two')
})

test('the figure in the documents is the one that `seedbed plot --article` draws', () => {
  const path = new URL('../../../docs/images/article.svg', import.meta.url)
  const committed = readFileSync(path, 'utf8')
  assert.ok(committed.length < 200 * 1024)
  const withoutData = (svg: string): string => svg.replace(/base64,[^"]+/g, '')
  const pixels = (svg: string): Buffer[] =>
    [...svg.matchAll(/base64,([^"]+)"/g)].map(
      (match) => decodePng(Buffer.from(match[1]!, 'base64')).rgba,
    )
  const drawn = drawSvg(articleFigure(seededRandom(0x1337)))
  assert.equal(withoutData(committed), withoutData(drawn))
  // Pixels, not bytes: another zlib may deflate otherwise.
  assert.equal(pixels(drawn).length, 3)
  for (const [i, panel] of pixels(drawn).entries()) {
    assert.ok(panel.equals(pixels(committed)[i]!), `panel ${i}`)
  }
})
