/** Engines that want encryption of each other, in virtual time: who meets whom, and what an onlooker sees. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asBuffer, fromLatin1 } from '../../../src/base/index.ts'
import { type EncryptionPolicy, encryptionPolicies } from '../../../src/engine/index.ts'
import { assertSame, Swarm } from '../swarm.ts'

const GREETING = asBuffer(fromLatin1('BitTorrent protocol'))

/** Whether a leecher with policy `asks` completes from a seeder with policy `answers`, and what was seen meanwhile. */
async function run(asks: EncryptionPolicy, answers: EncryptionPolicy) {
  const seen: Buffer[] = []
  const swarm = new Swarm(60, { tamper: (_from, bytes) => seen.push(Buffer.from(bytes)) })
  const content = swarm.content(1_000_000, 64 * 1024)
  const seedVolume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', seedVolume, { encryption: answers })
  seeder.open(seedVolume.get(content.info.infoHash)!, content.info, { trackers: [] })
  const volume = swarm.volume()
  const leecher = await swarm.engine('10.0.1.1', volume, { encryption: asks })
  const torrent = await leecher.add(content.info, {
    trackers: [],
    peers: [{ host: '10.0.0.1', port: 6881 }],
  })
  const endMs = swarm.clock.monotonicMs() + 20_000
  const isDone = () => torrent.progress().state === 'seeding'
  await swarm.until(() => isDone() || swarm.clock.monotonicMs() > endMs, 30_000)
  const completed = isDone()
  if (completed) assertSame(volume, content)
  await swarm.stop()
  const wire = Buffer.concat(seen)
  return {
    completed,
    greets: wire.includes(GREETING),
    shows: wire.includes(asBuffer(content.bytes.subarray(500_000, 500_032))),
  }
}

for (const asks of encryptionPolicies) {
  for (const answers of encryptionPolicies) {
    const meet = !(
      (asks === 'off' && answers === 'required') ||
      (asks === 'required' && answers === 'off')
    )
    test(`who has encryption ${asks} ${meet ? 'downloads' : 'gets nothing'} from who has it ${answers}`, async () => {
      const { completed, greets, shows } = await run(asks, answers)
      assert.equal(completed, meet)
      if (!meet) return
      // In plaintext the onlooker must see it, or seeing nothing would say nothing.
      const isHidden =
        asks === 'required' ||
        answers === 'required' ||
        (asks === 'preferred' && answers === 'preferred')
      assert.equal(shows, !isHidden)
      // Who connects in plaintext first shows itself before it is told that this will not do.
      assert.equal(greets, !isHidden || asks === 'offered')
    })
  }
}
