/**
 * What every TorrentStore must do, as tests: an implementation runs them all, and those of its own kind
 * beside them. `open` opens the same store again: what is found then is what a crash would leave, because
 * the one before is cut off by `crash` without being asked.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { below, SeedbedError, seededRandom } from '../base/index.ts'
import type { StoredTorrent, TorrentGeometry, TorrentStore } from './types.ts'

export interface TorrentStoreConformance {
  readonly test: (name: string, body: () => Promise<void>) => void
  /** A new, empty place with room for 64 MiB. */
  place(): Promise<TorrentStorePlace>
  /** A valid info dictionary of a torrent of that size, with several files whose borders are odd. */
  info(totalBytes: number, pieceBytes: number): TorrentGeometry & { readonly infoBytes: Uint8Array }
}

export interface TorrentStorePlace {
  open(): Promise<TorrentStore>
  /** Ends the store without a sync: as much as can be of what a killed process leaves. */
  crash(store: TorrentStore): Promise<void>
  discard(): Promise<void>
}

const PIECE_BYTES = 64 * 1024
const coded = (error: unknown): boolean => error instanceof SeedbedError

export function torrentStoreConformance(suite: TorrentStoreConformance): void {
  const check = (name: string, body: (place: TorrentStorePlace) => Promise<void>): void => {
    suite.test(name, async () => {
      const place = await suite.place()
      try {
        await body(place)
      } finally {
        await place.discard()
      }
    })
  }
  const bytesOf = (length: number, seed: number): Uint8Array => {
    const bytes = new Uint8Array(length)
    seededRandom(seed).fill(bytes)
    return bytes
  }
  /** Writes a range as the engine does: no write crosses a block. */
  const write = async (
    store: TorrentStore,
    stored: StoredTorrent,
    offset: number,
    bytes: Uint8Array,
  ): Promise<void> => {
    for (let done = 0; done < bytes.length; ) {
      const room = store.blockBytes - ((offset + done) % store.blockBytes)
      const part = bytes.subarray(done, done + Math.min(room, bytes.length - done))
      await stored.write(offset + done, part)
      done += part.length
    }
  }
  const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')

  check('reads back what was written, at odd places and lengths, in any order', async (place) => {
    const store = await place.open()
    const total = 2 * store.blockBytes + 12_345
    const info = suite.info(total, PIECE_BYTES)
    const stored = await store.create(info, info.infoBytes, Uint8Array.of(1, 2, 3))
    const content = bytesOf(total, 1)
    const random = seededRandom(2)
    const cuts = [0, total]
    while (cuts.length < 60) cuts.push(below(random, total))
    cuts.sort((a, b) => a - b)
    const parts = cuts.slice(1).map((to, i) => [cuts[i]!, to] as const)
    parts.sort((a, b) => (a[0] % 977) - (b[0] % 977))
    for (const [from, to] of parts) await write(store, stored, from, content.subarray(from, to))
    const all = new Uint8Array(total)
    await stored.read(0, all)
    assert.equal(digest(all), digest(content))
    const some = new Uint8Array(100_001)
    await stored.read(store.blockBytes - 50_000, some)
    assert.equal(
      digest(some),
      digest(content.subarray(store.blockBytes - 50_000, store.blockBytes + 50_001)),
    )
    await store.close()
  })

  check('writes side by side do not disturb each other', async (place) => {
    const store = await place.open()
    const total = store.blockBytes
    const info = suite.info(total, PIECE_BYTES)
    const stored = await store.create(info, info.infoBytes)
    const content = bytesOf(total, 3)
    const writes: Promise<void>[] = []
    for (let at = 0; at < total; at += 30_011) {
      writes.push(stored.write(at, content.subarray(at, Math.min(at + 30_011, total))))
    }
    await Promise.all(writes)
    const all = new Uint8Array(total)
    await stored.read(0, all)
    assert.equal(digest(all), digest(content))
    await store.close()
  })

  check('keeps piece layers: from the beginning, or later, the last ones', async (place) => {
    let store = await place.open()
    const [early, late] = [5, 6].map((pieces) => suite.info(pieces * PIECE_BYTES, PIECE_BYTES))
    const layers = bytesOf(100_000, 5)
    const attributes = Uint8Array.of(7)
    await store.create(early!, early!.infoBytes, attributes, { layers })
    const second = await store.create(late!, late!.infoBytes, attributes)
    assert.equal((await second.readLayers()).length, 0)
    await second.keepLayers(layers.subarray(1))
    await second.keepLayers(layers.subarray(2))
    assert.deepEqual(Uint8Array.from(await second.readLayers()), layers.slice(2))
    // Both resolved: a crash does not take them.
    await place.crash(store)
    store = await place.open()
    for (const [info, kept] of [
      [early!, layers],
      [late!, layers.slice(2)],
    ] as const) {
      const found = store.get(info.infoHash)!
      assert.deepEqual(Uint8Array.from(await found.readLayers()), kept)
      assert.deepEqual(await found.readInfo(), Uint8Array.from(info.infoBytes))
      assert.deepEqual(Uint8Array.from(await found.readAttributes()), attributes)
      await store.remove(info.infoHash)
    }
    await store.create(early!, early!.infoBytes, attributes)
    assert.equal((await store.get(early!.infoHash)!.readLayers()).length, 0)
    await store.close()
  })

  check('keeps attributes: the last ones, and leaves all else', async (place) => {
    let store = await place.open()
    const [one, other] = [7, 8].map((pieces) => suite.info(pieces * PIECE_BYTES, PIECE_BYTES))
    const layers = bytesOf(5_000, 6)
    const stored = await store.create(one!, one!.infoBytes, bytesOf(10, 1), { layers })
    await store.create(other!, other!.infoBytes, bytesOf(10, 2))
    await write(store, stored, 0, bytesOf(PIECE_BYTES, 3))
    stored.markHave(0)
    await stored.keepAttributes(bytesOf(70_000, 3))
    await stored.keepAttributes(bytesOf(500, 4))
    assert.deepEqual(Uint8Array.from(await stored.readAttributes()), bytesOf(500, 4))
    await stored.sync()
    await place.crash(store)
    store = await place.open()
    const found = store.get(one!.infoHash)!
    assert.deepEqual(Uint8Array.from(await found.readAttributes()), bytesOf(500, 4))
    assert.deepEqual(Uint8Array.from(await found.readLayers()), layers)
    assert.deepEqual(await found.readInfo(), Uint8Array.from(one!.infoBytes))
    assert.ok(found.have.has(0))
    const untouched = await store.get(other!.infoHash)!.readAttributes()
    assert.deepEqual(Uint8Array.from(untouched), bytesOf(10, 2))
    await found.keepAttributes(new Uint8Array(0))
    assert.equal((await found.readAttributes()).length, 0)
    await store.close()
  })

  check(
    'knows a torrent again: its cut, dictionary, attributes, totals and pieces',
    async (place) => {
      const store = await place.open()
      const info = suite.info(5 * PIECE_BYTES - 7, PIECE_BYTES)
      const stored = await store.create(info, info.infoBytes, Uint8Array.of(9, 8))
      const content = bytesOf(info.totalBytes, 4)
      for (const piece of [0, 4]) {
        const from = piece * PIECE_BYTES
        await write(store, stored, from, content.subarray(from, from + PIECE_BYTES))
        stored.markHave(piece)
      }
      stored.uploadedBytes = 2 ** 40 + 1
      stored.downloadedBytes = 17
      assert.equal(stored.complete, false)
      await store.close()

      const again = await place.open()
      assert.equal([...again.torrents()].length, 1)
      const found = again.get(info.infoHash)!
      assert.deepEqual(await found.readInfo(), Uint8Array.from(info.infoBytes))
      assert.deepEqual(await found.readAttributes(), Uint8Array.of(9, 8))
      assert.deepEqual(
        [found.totalBytes, found.pieceBytes, found.pieceCount],
        [info.totalBytes, PIECE_BYTES, 5],
      )
      assert.deepEqual([found.uploadedBytes, found.downloadedBytes], [2 ** 40 + 1, 17])
      assert.deepEqual(
        Array.from({ length: 5 }, (_, piece) => found.have.has(piece)),
        [true, false, false, false, true],
      )
      assert.deepEqual(await found.doubted(), [])
      const last = new Uint8Array(PIECE_BYTES - 7)
      await found.read(4 * PIECE_BYTES, last)
      assert.equal(digest(last), digest(content.subarray(4 * PIECE_BYTES)))
      await again.close()
    },
  )

  check('is complete with its last piece', async (place) => {
    const store = await place.open()
    const info = suite.info(3 * PIECE_BYTES, PIECE_BYTES)
    const stored = await store.create(info, info.infoBytes)
    await write(store, stored, 0, bytesOf(info.totalBytes, 5))
    for (let piece = 0; piece < 3; piece++) {
      assert.equal(stored.complete, false)
      stored.markHave(piece)
    }
    assert.equal(stored.complete, true)
    await store.close()
    const again = await place.open()
    assert.equal(again.get(info.infoHash)!.complete, true)
    await again.close()
  })

  check(
    'a crash leaves every synced piece readable or in doubt, and marks none that was not',
    async (place) => {
      const store = await place.open()
      const info = suite.info(8 * PIECE_BYTES, PIECE_BYTES)
      const stored = await store.create(info, info.infoBytes)
      const content = bytesOf(info.totalBytes, 6)
      await write(store, stored, 0, content.subarray(0, 4 * PIECE_BYTES))
      for (let piece = 0; piece < 4; piece++) stored.markHave(piece)
      await store.sync()
      await write(
        store,
        stored,
        4 * PIECE_BYTES,
        content.subarray(4 * PIECE_BYTES, 6 * PIECE_BYTES),
      )
      stored.markHave(4)
      await place.crash(store)

      const again = await place.open()
      const found = again.get(info.infoHash)!
      const doubted = await found.doubted()
      for (let piece = 0; piece < 8; piece++) {
        const known = found.have.has(piece) || doubted.includes(piece)
        if (piece < 4) assert.ok(known, `piece ${piece} was synced`)
        if (piece > 4) assert.ok(!known, `piece ${piece} was never marked`)
        if (!found.have.has(piece)) continue
        const bytes = new Uint8Array(PIECE_BYTES)
        await found.read(piece * PIECE_BYTES, bytes)
        assert.equal(
          digest(bytes),
          digest(content.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES)),
        )
      }
      await again.close()
    },
  )

  check(
    'shows the info dictionary and the attributes of many torrents side by side',
    async (place) => {
      const store = await place.open()
      const made: { stored: StoredTorrent; infoBytes: Uint8Array; attributes: Uint8Array }[] = []
      // The longest attributes are longer than any memory that is used again.
      for (let i = 1; i <= 12; i++) {
        const info = suite.info(i * PIECE_BYTES, PIECE_BYTES)
        const attributes = bytesOf(i === 12 ? 200_000 : i * 100, i)
        made.push({
          stored: await store.create(info, info.infoBytes, attributes),
          infoBytes: info.infoBytes,
          attributes,
        })
      }
      const seen = await Promise.all(
        made.map(({ stored }) =>
          stored.peek(({ infoBytes, attributes }) => digest(infoBytes) + digest(attributes)),
        ),
      )
      assert.deepEqual(
        seen,
        made.map(({ infoBytes, attributes }) => digest(infoBytes) + digest(attributes)),
      )
      const [first] = made
      await assert.rejects(
        first!.stored.peek(() => {
          throw new RangeError('seen enough')
        }),
        RangeError,
      )
      await first!.stored.keepAttributes(Uint8Array.of(7))
      assert.equal(await first!.stored.peek(({ attributes }) => attributes.join()), '7')
      assert.ok(made.every(({ stored }) => stored.aboutPosition >= 0))
      await store.close()
      await assert.rejects(
        first!.stored.peek(() => 0),
        coded,
      )
    },
  )

  check('a cleared piece stays cleared, and can be written and marked again', async (place) => {
    const store = await place.open()
    const info = suite.info(2 * PIECE_BYTES, PIECE_BYTES)
    const stored = await store.create(info, info.infoBytes)
    const content = bytesOf(info.totalBytes, 7)
    await write(store, stored, 0, content)
    stored.markHave(0)
    stored.markHave(1)
    await store.sync()
    stored.clearHave(1)
    await store.sync()
    await place.crash(store)
    const again = await place.open()
    const found = again.get(info.infoHash)!
    assert.deepEqual([found.have.has(0), found.have.has(1)], [true, false])
    await write(again, found, PIECE_BYTES, content.subarray(PIECE_BYTES))
    found.markHave(1)
    assert.ok(found.complete)
    await again.close()
  })

  check('a removed torrent is gone, also after a crash, and may come again', async (place) => {
    const store = await place.open()
    const info = suite.info(3 * PIECE_BYTES, PIECE_BYTES)
    const other = suite.info(2 * PIECE_BYTES + 1, PIECE_BYTES)
    const stored = await store.create(info, info.infoBytes)
    await store.create(other, other.infoBytes)
    await write(store, stored, 0, bytesOf(info.totalBytes, 8))
    for (let piece = 0; piece < 3; piece++) stored.markHave(piece)
    await store.sync()
    await store.remove(info.infoHash)
    assert.equal(store.get(info.infoHash), undefined)
    await assert.rejects(stored.read(0, new Uint8Array(1)), coded)
    await assert.rejects(stored.write(0, new Uint8Array(1)), coded)
    await assert.rejects(store.remove(info.infoHash), coded)
    await place.crash(store)
    const again = await place.open()
    assert.equal(again.get(info.infoHash), undefined)
    assert.equal([...again.torrents()].length, 1)
    const anew = await again.create(info, info.infoBytes)
    assert.equal(anew.have.count, 0)
    await again.close()
  })

  check(
    'refuses what is there, what is out of range, and everything after close',
    async (place) => {
      const store = await place.open()
      const info = suite.info(PIECE_BYTES + 1, PIECE_BYTES)
      const stored = await store.create(info, info.infoBytes)
      await assert.rejects(store.create(info, info.infoBytes), coded)
      await assert.rejects(stored.write(PIECE_BYTES, new Uint8Array(2)), coded)
      await assert.rejects(stored.write(-1, new Uint8Array(1)), coded)
      await assert.rejects(stored.read(PIECE_BYTES + 1, new Uint8Array(1)), coded)
      assert.throws(() => stored.markHave(2), coded)
      assert.throws(() => stored.clearHave(-1), coded)
      await store.close()
      await assert.rejects(stored.read(0, new Uint8Array(1)), coded)
      await assert.rejects(stored.write(0, new Uint8Array(1)), coded)
    },
  )

  check('one process has it at a time', async (place) => {
    const store = await place.open()
    await assert.rejects(place.open(), (error) => {
      assert.ok(error instanceof SeedbedError)
      return error.code === 'DEVICE_BUSY'
    })
    await store.close()
    await (await place.open()).close()
  })
}
