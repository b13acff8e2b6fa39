/** Whatever a web server answers: right bytes, or none; no more asked of it than a bounded number of times. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { below, seededRandom } from '../../../src/base/index.ts'
import type { HttpAnswer, Network } from '../../../src/engine/index.ts'
import { assertSame, Swarm } from '../swarm.ts'

const PIECE = 64 * 1024

test('a web server that answers at random never spoils a download, which peers then bring to its end', async () => {
  for (let seed = 200; seed < 212; seed++) {
    const swarm = new Swarm(seed, { bytesPerMs: 20 })
    const content = swarm.content(600_000, PIECE)
    const random = seededRandom(seed)
    let asked = 0
    /** Right now and then, so that it is not left alone at once. */
    const answer = (offset: number, count: number): HttpAnswer | undefined => {
      const right = content.bytes.slice(offset, offset + count)
      const status = [200, 206, 206, 206, 204, 301, 404, 416, 500, 0, -1][below(random, 11)]!
      switch (below(random, 8)) {
        case 0:
          return undefined
        case 1:
          return { status, body: right.subarray(0, below(random, count + 1)) }
        case 2:
          return { status, body: new Uint8Array(below(random, 2 * count)) }
        case 3:
          right[below(random, count)]! ^= 1
          return { status: 206, body: right }
        default:
          return { status: 206, body: right }
      }
    }
    const network: Network = {
      ...swarm.internet.host('10.0.0.1'),
      httpGet: (_url, { range }) =>
        new Promise((resolve, reject) => {
          asked++
          swarm.clock.after(below(random, 3000), () => {
            const found = answer(range?.offset ?? 0, range?.bytes ?? 0)
            if (found === undefined) reject(new Error('nobody there'))
            else resolve(found)
          })
        }),
    }
    const seedVolume = await swarm.holding(content)
    const seeder = await swarm.engine('10.0.0.9', seedVolume)
    seeder.open(seedVolume.get(content.info.infoHash)!, content.info, { trackers: [] })
    const volume = swarm.volume()
    const engine = await swarm.engine('10.0.0.1', volume, { network })
    const torrent = await engine.add(content.info, {
      trackers: [],
      webSeeds: ['http://web.example/files/'],
      peers: [{ host: '10.0.0.9', port: 6881 }],
    })
    await swarm.until(() => torrent.progress().state === 'seeding', 20 * 60_000)
    assertSame(volume, content)
    assert.ok(asked > 0 && asked < 500, `seed ${seed}: ${asked} requests`)
    await swarm.stop()
  }
})
