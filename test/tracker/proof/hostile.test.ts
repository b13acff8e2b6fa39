/** The short form of the proof against clients that mean it ill; `npm run prove:tracker -- hostile` is the long one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { seededRandom } from '../../../src/base/index.ts'
import { FRONT_ENDS } from '../../interop/peers/tracker-process.ts'
import { flood, idle, slowLoris } from './hostile.ts'
import { startHostile } from './process.ts'

for (const frontEnd of FRONT_ENDS) {
  test(`slow clients, idle ones and a flood, front end ${frontEnd}`, async (t) => {
    if (process.platform !== 'linux') return t.skip('reads /proc')
    const scratch = mkdtempSync(join(tmpdir(), 'seedbed-hostile-'))
    const { child, ports } = await startHostile(scratch, frontEnd)
    t.after(async () => {
      await child.kill()
      rmSync(scratch, { recursive: true })
    })
    await slowLoris(child, ports, 50)
    await idle(child, ports, 500)
    await flood(child, ports, 300, 3, seededRandom(5))
  })
}
