/** Large writes go into the kernel one after the other, small ones between them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../src/base/index.ts'
import { ENTRY_MS, LARGE_BYTES, Turnstile } from '../../src/block-device/turnstile.ts'

class Kernel {
  readonly clock = new ManualClock(1_000)
  readonly order: string[] = []
  readonly answers: string[] = []
  readonly #turnstile: Turnstile
  readonly #finish = new Map<string, (error?: Error) => void>()

  constructor(atMost?: number) {
    this.#turnstile = new Turnstile(this.clock, atMost)
  }

  /** Capital letters are large. */
  write(names: string): void {
    for (const name of names) {
      const bytes = name === name.toUpperCase() ? LARGE_BYTES : LARGE_BYTES - 1
      const begin = (): Promise<void> => {
        this.order.push(name)
        return new Promise((resolve, reject) => {
          this.#finish.set(name, (error) => (error === undefined ? resolve() : reject(error)))
        })
      }
      this.#turnstile.pass(bytes, begin).then(
        () => this.answers.push(name),
        (error: Error) => this.answers.push(`${name}: ${error.message}`),
      )
    }
  }

  async done(name: string, error?: Error): Promise<void> {
    this.#finish.get(name)!(error)
    for (let i = 0; i < 6; i++) await null
  }

  get begun(): string {
    return this.order.join('')
  }
}

test('a large write begins when the one before is done', async () => {
  const kernel = new Kernel()
  kernel.write('ABC')
  assert.equal(kernel.begun, 'A')
  await kernel.done('A')
  assert.equal(kernel.begun, 'AB')
  await kernel.done('B')
  await kernel.done('C')
  assert.deepEqual(kernel.answers, ['A', 'B', 'C'])
  assert.equal(kernel.clock.step(), false, 'no timer is left')
})

test('or when the kernel has had the time to take it', async () => {
  const kernel = new Kernel()
  kernel.write('ABC')
  kernel.clock.advance(ENTRY_MS)
  assert.equal(kernel.begun, 'AB')
  await kernel.done('A')
  assert.equal(kernel.begun, 'AB', 'B goes in still')
  kernel.clock.advance(ENTRY_MS)
  assert.equal(kernel.begun, 'ABC')
})

test('small ones keep their place in the line and hold up nobody', async () => {
  const kernel = new Kernel()
  kernel.write('abCdeFg')
  assert.equal(kernel.begun, 'abC')
  await kernel.done('C')
  assert.equal(kernel.begun, 'abCdeF')
  await kernel.done('F')
  assert.equal(kernel.begun, 'abCdeFg')
})

test('no more large ones are under way than may be, and nobody passes them', async () => {
  const kernel = new Kernel(2)
  kernel.write('ABC')
  for (let i = 0; i < 3; i++) kernel.clock.advance(ENTRY_MS)
  assert.equal(kernel.begun, 'AB')
  kernel.write('d')
  assert.equal(kernel.begun, 'AB')
  await kernel.done('B')
  assert.equal(kernel.begun, 'ABC')
  kernel.clock.advance(ENTRY_MS)
  assert.equal(kernel.begun, 'ABCd')
})

test('a write that fails is told, and the next one begins', async () => {
  const kernel = new Kernel()
  kernel.write('AB')
  await kernel.done('A', new Error('no such sector'))
  await kernel.done('B')
  assert.deepEqual(kernel.answers, ['A: no such sector', 'B'])
})
