/**
 * Tells the device, in batches and in the background, that freed blocks hold nothing any more.
 *
 * Invariant: while a block's discard is in flight it is taken in the allocator, so nobody gets it.
 */
import type { BlockDevice } from '../block-device/index.ts'
import type { Allocator } from './allocator.ts'
import type { Geometry } from './geometry.ts'

export class Discards {
  readonly #device: BlockDevice
  readonly #geometry: Geometry
  readonly #allocator: Allocator
  #queue = new Set<number>()
  #running: Promise<void> = Promise.resolve()
  #inFlight = 0

  constructor(device: BlockDevice, geometry: Geometry, allocator: Allocator) {
    this.#device = device
    this.#geometry = geometry
    this.#allocator = allocator
  }

  /** Free blocks that cannot be given out at the moment. */
  get blocksInFlight(): number {
    return this.#inFlight
  }

  /** Nothing durable refers to `block` any more. */
  add(block: number): void {
    this.#queue.add(block)
  }

  settled(): Promise<void> {
    return this.#running
  }

  /** Begins to discard what is queued and still free. */
  start(): void {
    if (this.#queue.size === 0) return
    const blocks = [...this.#queue].filter((block) => this.#allocator.take(block))
    this.#queue = new Set()
    this.#inFlight += blocks.length
    blocks.sort((a, b) => a - b)
    this.#running = this.#running.then(() => this.#discardAll(blocks))
  }

  async #discardAll(blocks: readonly number[]): Promise<void> {
    const { blockBytes } = this.#geometry
    for (let first = 0; first < blocks.length; ) {
      let end = first + 1
      while (end < blocks.length && blocks[end] === blocks[end - 1]! + 1) end++
      try {
        await this.#device.discard(blocks[first]! * blockBytes, (end - first) * blockBytes)
      } catch {
        // Advice that was not taken costs nothing but the advice.
      }
      for (const block of blocks.slice(first, end)) this.#allocator.free(block)
      this.#inFlight -= end - first
      first = end
    }
  }
}
