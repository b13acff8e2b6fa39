/**
 * `node dist/test/engine/prove-swarms.js --from 0 --count 100000`: as many small swarms as wanted
 * (many-swarms.ts); `--from 17 --count 1` is one of them again. Names the first seed that breaks a promise.
 */
import { parseArgs } from 'node:util'
import { runSwarm } from './many-swarms.ts'

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '0' },
    count: { type: 'string', default: '10000' },
  },
})
const from = Number(values.from)
const count = Number(values.count)
let bad = 0
for (let seed = from; seed < from + count; seed++) {
  try {
    const { what, virtualMs } = await runSwarm(seed)
    if (count === 1) console.log(`seed ${seed}: ${what}; ${Math.round(virtualMs)} ms`)
  } catch (error) {
    bad++
    const [said] = (error as Error).message.split('\n')
    console.log(`seed ${seed}: ${said}`)
    // One is enough to know; an engine that has broken may hold timers.
    break
  }
}
console.log(bad === 0 ? `${count} swarms, none bad` : 'a promise was broken')
process.exit(bad === 0 ? 0 : 1)
