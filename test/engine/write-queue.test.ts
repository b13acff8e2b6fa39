/** The order in which stripes go to the disk: in runs, nobody for ever last. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type WriteJob, WriteQueue } from '../../src/engine/write-queue.ts'

class Disk {
  readonly queue: WriteQueue
  readonly order: string[] = []
  readonly answers: string[] = []
  inFlight = 0
  mostInFlight = 0
  readonly #owners = new Map<string, object>()
  readonly #finish: ((error?: Error) => void)[] = []

  constructor(maxInFlight = 1) {
    this.queue = new WriteQueue(undefined, maxInFlight)
  }

  /** `a3` is stripe 3 of torrent a. */
  add(name: string): void {
    let owner = this.#owners.get(name[0]!)
    if (owner === undefined) {
      owner = {}
      this.#owners.set(name[0]!, owner)
    }
    const job: WriteJob = {
      owner,
      stripe: Number(name.slice(1)),
      run: () => {
        this.order.push(name)
        this.inFlight++
        this.mostInFlight = Math.max(this.mostInFlight, this.inFlight)
        return new Promise((resolve, reject) => {
          this.#finish.push((error) => {
            this.inFlight--
            if (error === undefined) resolve()
            else reject(error)
          })
        })
      },
      done: () => this.answers.push(`${name} done`),
      failed: (error) => this.answers.push(`${name} ${error.message}`),
    }
    this.queue.add(job)
  }

  async one(error?: Error): Promise<void> {
    this.#finish.shift()!(error)
    for (let i = 0; i < 4; i++) await null
  }

  async all(): Promise<string> {
    while (this.queue.pending > 0) await this.one()
    return this.order.join(' ')
  }
}

function added(names: string, maxInFlight = 1): Disk {
  const disk = new Disk(maxInFlight)
  for (const name of names.split(' ')) disk.add(name)
  return disk
}

test('the stripe behind the one before comes next, whoever came first', async () => {
  assert.equal(await added('a0 b5 a2 a1 b6').all(), 'a0 a1 a2 b5 b6')
})

test('else the run of which most waits, from its first stripe', async () => {
  assert.equal(await added('c0 a19 b34 b32 a3 b35').all(), 'c0 b32 b34 b35 a19 a3')
})

test('one write fails and is told, the others go on', async () => {
  const disk = added('a0 a1')
  await disk.one(new Error('no such sector'))
  await disk.one()
  assert.deepEqual(disk.answers, ['a0 no such sector', 'a1 done'])
})

test('nobody is passed over for ever', async () => {
  const disk = added('z0 b0')
  for (let stripe = 1; stripe < 600; stripe++) disk.add(`z${stripe}`)
  const order = (await disk.all()).split(' ')
  assert.equal(order.indexOf('b0'), 257)
})

test('every job runs once and is answered once, a few at a time', () => {
  return fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat(40)), { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      async (jobs, maxInFlight) => {
        const disk = new Disk(maxInFlight)
        const names = jobs.map(([owner, stripe]) => `${owner}${stripe}`)
        for (const name of names) disk.add(name)
        await disk.all()
        assert.deepEqual([...disk.order].sort(), [...names].sort())
        assert.equal(disk.answers.length, names.length)
        assert.ok(disk.mostInFlight <= maxInFlight)
      },
    ),
  )
})
