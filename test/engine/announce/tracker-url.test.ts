/** URLs of trackers as torrents of strangers have them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../src/base/index.ts'
import { parseTrackerUrl } from '../../../src/engine/announce/tracker-client.ts'
import { mutate } from '../../mutate.ts'

test('any text is a tracker that can be asked, or none', () => {
  const random = seededRandom(24)
  const samples = [
    'http://tracker.example:6969/announce?x=1',
    'udp://[2001:db8::1]:6969/announce',
    'https://user:pass@192.0.2.1/',
    'udp://tracker.example',
    'wss://tracker.example',
  ]
  let trackers = 0
  for (let round = 0; round < 10_000; round++) {
    const sample = Buffer.from(samples[round % samples.length]!)
    const found = parseTrackerUrl(mutate(sample, random, 300).toString())
    if (found === null) continue
    trackers++
    assert.ok(URL.canParse(found.url) && found.host !== '')
    assert.ok(found.kind === 'http' || (found.port > 0 && found.port < 65_536))
  }
  assert.ok(trackers > 1000)
})
