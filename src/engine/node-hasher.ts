/**
 * Hashing in a thread of node, where that pays: the bytes are in memory that both threads see, so that nothing but a few
 * numbers goes from one to the other.
 *
 * ```
 * slow ----------------> pieces are hashed in the call
 * fast ----------------> the thread is begun, and gets every piece once it runs, but small ones
 * slow for IDLE_MS ----> it ends, as soon as it has nothing left to do
 * ```
 *
 * One is enough: what hashes 2 GB/s is never behind what reads sockets.
 *
 * Invariants: there is at most one thread, none with fewer than MIN_PROCESSORS, and after one that died no other; after `close` there is none, and no timer.
 */
import type { Clock, Logger } from '../base/index.ts'
import { allocateShared } from '../block-device/index.ts'
import { digestProgram, type PieceRecipe } from '../metainfo/index.ts'
import { HashThread } from './hash-thread.ts'
import { type HashAnswer, type Hasher, type HashTask, inlineHasher } from './hasher.ts'

/** In WINDOW_MS: more than a network of a gigabit brings, which takes a sixteenth of a processor to hash. */
const FAST_BYTES = 32 * 1024 * 1024
const WINDOW_MS = 250
/**
 * With two, the other one is busy with the writing of what was hashed, the network and, where they are near, the peers: a thread would
 * cost a tenth more of both and bring nothing.
 */
const MIN_PROCESSORS = 3
/** A piece of less is hashed in the call: to hand it over costs half as much, and the thread as much again. */
const SMALL_BYTES = 64 * 1024
const IDLE_MS = 10_000

export interface ThreadHasherOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** That the process may use. */
  readonly processors: number
  /** Bytes in a quarter of a second from which on the thread is worth having. */
  readonly fastBytes?: number
  /** What the thread runs, if it is another program than the usual. */
  readonly program?: URL
}

export class ThreadHasher implements Hasher {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #fastBytes: number
  readonly #program: URL
  /** Hashed in the window that began at `#sinceMs`. */
  #bytes = 0
  #sinceMs: number
  #lastFastMs = 0
  #thread: HashThread | undefined
  #cancelWatch: () => void = () => {}
  #mayStart: boolean

  constructor({
    clock,
    logger,
    processors,
    fastBytes = FAST_BYTES,
    program = digestProgram,
  }: ThreadHasherOptions) {
    this.#clock = clock
    this.#logger = logger
    this.#fastBytes = fastBytes
    this.#program = program
    this.#mayStart = processors >= MIN_PROCESSORS
    this.#sinceMs = clock.monotonicMs()
  }

  /** There is a thread, and it takes tasks. */
  get threaded(): boolean {
    return this.#thread?.running === true
  }

  allocate(bytes: number): Uint8Array {
    return allocateShared(bytes)
  }

  begin(recipe: PieceRecipe): HashTask {
    return new PlacedTask(this, recipe)
  }

  /** For a task whose first bytes are so many, perhaps the only ones. */
  place(recipe: PieceRecipe, bytes: number, isLast: boolean): HashTask {
    const goes = this.threaded && !(isLast && bytes < SMALL_BYTES)
    return (goes ? this.#thread! : inlineHasher).begin(recipe)
  }

  /** So much is hashed now, here or there. */
  count(bytes: number): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#sinceMs >= WINDOW_MS) {
      this.#bytes = 0
      this.#sinceMs = nowMs
    }
    this.#bytes += bytes
    if (this.#bytes < this.#fastBytes) return
    this.#lastFastMs = nowMs
    if (this.#thread === undefined && this.#mayStart) this.#start()
  }

  #start(): void {
    this.#thread = new HashThread(this.#program, (error) => {
      this.#thread = undefined
      this.#cancelWatch()
      if (error === undefined) return
      this.#mayStart = false
      this.#logger.error({ error }, 'the hashing thread has died; pieces are hashed without it')
    })
    this.#watch()
  }

  #watch(): void {
    this.#cancelWatch = this.#clock.after(IDLE_MS, () => {
      if (this.#clock.monotonicMs() - this.#lastFastMs < IDLE_MS) this.#watch()
      else this.#thread?.end()
    })
  }

  async close(): Promise<void> {
    this.#mayStart = false
    await this.#thread?.terminate()
  }
}

/** Goes where it is best when its first bytes come. */
class PlacedTask implements HashTask {
  readonly #hasher: ThreadHasher
  readonly #recipe: PieceRecipe
  #task: HashTask | undefined

  constructor(hasher: ThreadHasher, recipe: PieceRecipe) {
    this.#hasher = hasher
    this.#recipe = recipe
  }

  update(bytes: Uint8Array, isLast: boolean, done: (answer: HashAnswer) => void): void {
    this.#hasher.count(bytes.length)
    this.#task ??= this.#hasher.place(this.#recipe, bytes.length, isLast)
    this.#task.update(bytes, isLast, done)
  }

  cancel(): void {
    this.#task?.cancel()
  }
}
