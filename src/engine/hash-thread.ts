/**
 * The engine's side of the hashing thread: jobs go there in batches, answers come back to who waits for them.
 *
 * ```
 * starting -> running -- end: no new task --> the last task is over --> over
 *     `----------`------------ died: every open task is lost ------------^
 * ```
 *
 * Invariants: a job's bytes are in shared memory, which both sides keep until the thread is over; each job is answered once, in
 * order, unless its task was forgotten; `over` is called once.
 */
import { Worker } from 'node:worker_threads'
import type { DigestJob, FromDigestThread, PieceRecipe, ToDigestThread } from '../metainfo/index.ts'
import type { HashAnswer, HashTask } from './hasher.ts'

/**
 * So much is handed over at once. Less waits for the answer to what was handed over before, or, where there is none to come,
 * until the sockets have been read: to wake a thread costs as much as to hash 100 KiB.
 */
const BATCH_BYTES = 1024 * 1024
/** For new objects, of which hashing makes few. */
const YOUNG_MIB = 2

type Done = (answer: HashAnswer) => void

export class HashThread {
  /** It takes tasks. */
  running = false
  readonly #worker: Worker
  readonly #over: (error: Error | undefined) => void
  readonly #memories = new WeakMap<ArrayBufferLike, number>()
  #memoryCount = 0
  #taskCount = 0
  /** Tasks that have begun and are not over, with who waits for an answer, if anybody does. */
  readonly #open = new Map<number, Done | undefined>()
  #jobs: DigestJob[] = []
  #newMemories: { id: number; memory: SharedArrayBuffer }[] = []
  #batchBytes = 0
  /** Batches that are to be answered. */
  #underWay = 0
  #flushing: NodeJS.Immediate | undefined
  #ending = false
  #isOver = false

  /** `program` is told ToDigestThread and answers FromDigestThread. `over` is told why, when the thread has died. */
  constructor(program: URL, over: (error: Error | undefined) => void) {
    this.#over = over
    this.#worker = new Worker(program, {
      name: 'hashing',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    })
    this.#worker.once('online', () => {
      this.running = !this.#isOver && !this.#ending
    })
    this.#worker.on('message', (message: FromDigestThread) => this.#hear(message))
    this.#worker.once('error', (error) => this.#stop(error))
  }

  begin(recipe: PieceRecipe): HashTask {
    const task = ++this.#taskCount
    let first: PieceRecipe | undefined = recipe
    this.#open.set(task, undefined)
    return {
      update: (bytes, isLast, done) => {
        this.#hash(task, first, bytes, isLast, done)
        first = undefined
      },
      cancel: () => this.#forget(task),
    }
  }

  #hash(
    task: number,
    recipe: PieceRecipe | undefined,
    bytes: Uint8Array,
    isLast: boolean,
    done: Done,
  ): void {
    // It was open when the thread died.
    if (!this.#open.has(task)) {
      done('lost')
      return
    }
    this.#open.set(task, done)
    const { byteOffset: from, length } = bytes
    this.#jobs.push({ task, recipe, memory: this.#memoryOf(bytes), from, length, isLast })
    this.#batchBytes += length
    if (this.#batchBytes >= BATCH_BYTES) this.#flush()
    else this.#flushSoon()
  }

  /** Harmless when the task is over. */
  #forget(task: number): void {
    if (!this.#open.delete(task)) return
    this.#jobs.push({ task, memory: 0, from: 0, length: 0, isLast: true })
    this.#flushSoon()
    this.#endIfDone()
  }

  #memoryOf({ buffer }: Uint8Array): number {
    let id = this.#memories.get(buffer)
    if (id === undefined) {
      id = ++this.#memoryCount
      this.#memories.set(buffer, id)
      this.#newMemories.push({ id, memory: buffer as SharedArrayBuffer })
    }
    return id
  }

  #flushSoon(): void {
    if (this.#underWay === 0) this.#flushing ??= setImmediate(() => this.#flush())
  }

  #flush(): void {
    clearImmediate(this.#flushing)
    this.#flushing = undefined
    if (this.#isOver || this.#jobs.length === 0) return
    const message: ToDigestThread = { memories: this.#newMemories, jobs: this.#jobs }
    this.#worker.postMessage(message)
    if (this.#batchBytes > 0) this.#underWay++
    this.#jobs = []
    this.#newMemories = []
    this.#batchBytes = 0
  }

  #hear({ answers }: FromDigestThread): void {
    this.#underWay--
    for (const { task, digests } of answers) {
      const done = this.#open.get(task)
      // Forgotten meanwhile.
      if (done === undefined) continue
      if (digests === undefined) this.#open.set(task, undefined)
      else this.#open.delete(task)
      done(digests ?? 'more')
    }
    if (this.#underWay === 0) this.#flush()
    this.#endIfDone()
  }

  /** No task is begun any more; the thread is over with the last of those that were. */
  end(): void {
    this.running = false
    this.#ending = true
    this.#endIfDone()
  }

  #endIfDone(): void {
    if (this.#ending && this.#open.size === 0) void this.terminate()
  }

  async terminate(): Promise<void> {
    this.#stop(undefined)
    await this.#worker.terminate()
  }

  #stop(error: Error | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.running = false
    clearImmediate(this.#flushing)
    this.#over(error)
    const waiting = [...this.#open.values()]
    this.#open.clear()
    for (const done of waiting) done?.('lost')
  }
}
