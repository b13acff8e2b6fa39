/** A name is one torrent's, whatever comes, learns another name, or goes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { torrentMark } from '../../src/engine/encryption/key-exchange.ts'
import { Registry } from '../../src/engine/registry.ts'
import { TorrentNames } from '../../src/engine/torrent-names.ts'
import type { TorrentInfo } from '../../src/metainfo/index.ts'

interface Named {
  readonly names: TorrentNames
}

const EXISTS = { code: 'ENGINE_EXISTS' }
const v1 = (n: number): Uint8Array => new Uint8Array(20).fill(n)
const v2 = (n: number): Uint8Array => new Uint8Array(32).fill(100 + n)
const v2Name = (n: number): Uint8Array => v2(n).slice(0, 20)
const infoOf = (a: number, b: number): TorrentInfo =>
  ({ infoHash: v1(a), infoHashV2: v2(b) }) as TorrentInfo

test('a hybrid is one torrent by both names and both marks, until it is removed', () => {
  const registry = new Registry<Named>()
  const hybrid = { names: new TorrentNames(v1(1), v2(1)) }
  registry.add(hybrid)
  for (const name of [v1(1), v2Name(1)]) {
    assert.equal(registry.get(name), hybrid)
    assert.deepEqual(registry.nameOf(torrentMark(name)), name)
    assert.throws(() => registry.refuseTwice(new TorrentNames(name)), EXISTS)
  }
  assert.ok(registry.remove(hybrid))
  assert.ok(!registry.remove(hybrid))
  for (const name of [v1(1), v2Name(1)]) {
    assert.equal(registry.get(name), undefined)
    assert.equal(registry.nameOf(torrentMark(name)), undefined)
  }
})

test('a name is taken while its torrent is being made, and free again however that ends', async () => {
  const registry = new Registry<Named>()
  for (const ends of ['well', 'badly'] as const) {
    let end = (): void => {}
    const made = new Promise<string>((resolve, reject) => {
      end = () => (ends === 'well' ? resolve('made') : reject(new Error('no room')))
    })
    const making = registry.whileMaking(v1(1), made).catch((error: Error) => error.message)
    assert.throws(() => registry.refuseTwice(new TorrentNames(v1(1))), EXISTS)
    assert.equal(registry.get(v1(1)), undefined)
    let isSettled = false
    const settled = Promise.all([registry.settled(v1(1)), registry.settled()]).then(() => {
      isSettled = true
    })
    await registry.settled(v1(2))
    assert.ok(!isSettled)
    end()
    assert.equal(await making, ends === 'well' ? 'made' : 'no room')
    await settled
    registry.refuseTwice(new TorrentNames(v1(1)))
  }
})

test('no name is ever two torrents’, whatever is learnt', () => {
  const step = fc.record({
    kind: fc.constantFrom('v1', 'v2', 'hybrid', 'learn', 'remove'),
    a: fc.integer({ min: 1, max: 4 }),
    b: fc.integer({ min: 1, max: 4 }),
    which: fc.nat(9),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const registry = new Registry<Named>()
      // Every name that a torrent answers to, as text.
      const model = new Map<string, Named>()
      const here: Named[] = []
      for (const { kind, a, b, which } of steps) {
        const one = here[which % Math.max(1, here.length)]
        if (kind === 'remove') {
          if (one === undefined) continue
          registry.remove(one)
          here.splice(here.indexOf(one), 1)
          for (const [name, torrent] of model) if (torrent === one) model.delete(name)
        } else if (kind === 'learn') {
          if (one === undefined) continue
          // A dictionary is of that v1 name, and brings the other.
          if (one.names.v2 !== undefined || !one.names.has(v1(a))) continue
          const learn = (): readonly Uint8Array[] => registry.learn(one, infoOf(a, b))
          if (model.has(String(v2Name(b)))) assert.throws(learn, EXISTS)
          else {
            assert.deepEqual(learn(), [v2Name(b)])
            model.set(String(v2Name(b)), one)
          }
        } else {
          const names =
            kind === 'v1'
              ? new TorrentNames(v1(a))
              : kind === 'v2'
                ? new TorrentNames(v2Name(b), v2(b))
                : new TorrentNames(v1(a), v2(b))
          const isTaken = names.all.some((name) => model.has(String(name)))
          if (isTaken) {
            assert.throws(() => registry.refuseTwice(names), EXISTS)
            continue
          }
          registry.refuseTwice(names)
          const torrent = { names }
          registry.add(torrent)
          here.push(torrent)
          for (const name of names.all) model.set(String(name), torrent)
        }
        assert.deepEqual([...registry.values()], here)
        for (let n = 1; n <= 4; n++) {
          for (const name of [v1(n), v2Name(n)]) {
            assert.equal(registry.get(name), model.get(String(name)))
            assert.equal(registry.nameOf(torrentMark(name)) !== undefined, model.has(String(name)))
          }
        }
      }
    }),
    { seed: 1, numRuns: 200 },
  )
})
