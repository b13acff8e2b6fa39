/**
 * Accounts for an announce, then for many more than the size allows that a file may have in this process (`ulimit -f`), as on a disk that
 * is full; says what is in the file then. For full-disk.test.ts, in a process of its own.
 */
import { readFileSync } from 'node:fs'
import { ManualClock, seededRandom, silentLogger } from '../../../src/base/index.ts'
import { AnnounceAnswer, AnnounceRequest } from '../../../src/tracker/announce-request.ts'
import { Accounting } from '../../../src/tracker/hooks/accounting.ts'

const file = process.argv[2]!
const clock = new ManualClock()
let failed = false
const logger = {
  ...silentLogger,
  error(): void {
    failed = true
  },
}
const accounting = new Accounting({ file, memoryBytes: 65_536 }, clock, seededRandom(1), logger)
await accounting.start()
const account = (times: number): void => {
  for (let n = 0; n < times; n++) accounting.observe(new AnnounceRequest(), new AnnounceAnswer())
  clock.advance(1000)
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
account(1)
while (readFileSync(file).length === 0) await turn()
// The next write is asked for when the one before has ended.
while (!failed) {
  account(100)
  await turn()
}
process.stdout.write(readFileSync(file))
