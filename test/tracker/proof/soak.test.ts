/** A few seconds of the soak, with a reload; `npm run prove:tracker -- soak` is the long one, and judges memory. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { seededRandom } from '../../../src/base/index.ts'
import { FRONT_ENDS } from '../../interop/peers/tracker-process.ts'
import { judge, soak } from './soak.ts'

for (const frontEnd of FRONT_ENDS) {
  test(`clients come and go, lists are reloaded, front end ${frontEnd}`, async (t) => {
    if (process.platform !== 'linux') return t.skip('reads /proc')
    const scratch = mkdtempSync(join(tmpdir(), 'seedbed-soak-'))
    t.after(() => rmSync(scratch, { recursive: true }))
    const { requests, reloads } = await soak(scratch, frontEnd, 0.1, seededRandom(3), () => {})
    assert.ok(requests > 100)
    assert.ok(reloads > 0)
  })
}

test('memory that grows is seen', () => {
  const report = { requests: 1, reloads: 0, lost: 0 }
  judge({ ...report, samplesMiB: [50, 90, 100, 101, 100, 104] })
  assert.throws(() => judge({ ...report, samplesMiB: [50, 90, 100, 101, 110, 120] }))
})
