/**
 * The workers of the fast path, seen from the main thread: it opens their sockets, starts them, tells them what changes, and puts another in
 * the place of one that dies.
 *
 * Sockets are the pool's: while a worker is replaced its packets and connections wait in the kernel, and the successor goes on with the same
 * descriptors and the same counters.
 *
 * Invariants: a worker is asked to stop and never killed, because it may hold a lock of the store; `settle` resolves when every worker answers
 * by the new settings.
 */
import { Worker } from 'node:worker_threads'
import { type Clock, clockOriginMs, type Logger, SeedbedError } from '../../base/index.ts'
import type { PeerStoreHandle, SharedPeerStore } from '../../peer-store/index.ts'
import { inlineMore } from '../compiler.ts'
import type { ConnectionIdShare } from '../connection-id.ts'
import { Counters } from '../counters.ts'
import { trackerError } from '../errors.ts'
import type { Libc } from '../linux/libc.ts'
import { openWake, wake } from '../linux/poller.ts'
import type {
  FromWorker,
  LiveConnection,
  ToWorker,
  WorkerSettings,
  WorkerSocket,
  WorkerStart,
} from './messages.ts'

const PROGRAM = new URL('./worker.js', import.meta.url)
/** For new objects, of which answers make none. Left alone V8 takes five more for each worker. */
const YOUNG_MIB = 2
/** One that dies soon after it began is replaced later and later. */
const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 10_000
const LONG_LIFE_MS = 60_000

export interface PoolOptions {
  readonly libc: Libc
  readonly store: SharedPeerStore
  readonly connectionIds: ConnectionIdShare
  readonly clock: Clock
  readonly logger: Logger
  /** Whether connections may go on as WebSocket. They all live in one worker. */
  readonly signals: boolean
}

/** The worker that they live in. */
const SIGNALLING = 0

export class WorkerPool {
  readonly #options: PoolOptions
  readonly #seats: Seat[] = []
  readonly #descriptors = new Set<number>()
  #restarts = 0
  #stopping: Promise<void> | undefined

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** Of all workers. */
  get counters(): readonly Counters[] {
    return this.#seats.map(({ counters }) => counters)
  }

  /** How often a worker that died was replaced. */
  get restarts(): number {
    return this.#restarts
  }

  /**
   * Starts a worker for each list of sockets, which are closed in the end. `settingsOf` says by what worker n answers. Rejects
   * with TRACKER_WORKER, and then none runs.
   */
  async start(
    sockets: readonly (readonly WorkerSocket[])[],
    settingsOf: (worker: number) => WorkerSettings,
  ): Promise<void> {
    inlineMore()
    for (const [number, own] of sockets.entries()) {
      for (const { fd } of own) this.#descriptors.add(fd)
      const toPool = {
        restarted: (): void => void this.#restarts++,
        connected: (message: LiveConnection) => this.#adopt(message),
      }
      this.#seats.push(new Seat(number, own, settingsOf(number), this.#options, toPool))
    }
    try {
      await Promise.all(this.#seats.map((seat) => seat.begin()))
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** A connection that asks for WebSocket, as the `TakeOver` of a front end says; an open descriptor, the pool's from now on. */
  adopt(fd: number, remote: Uint8Array, bytes: Uint8Array): void {
    this.#adopt({ kind: 'connection', fd, remote, bytes })
  }

  #adopt(message: LiveConnection): void {
    if (this.#seats[SIGNALLING]?.give(message) !== true) this.#options.libc.close(message.fd)
  }

  /** Has all of them answer by other settings; resolves when they do. */
  async settle(settingsOf: (worker: number) => WorkerSettings): Promise<void> {
    await Promise.all(this.#seats.map((seat, number) => seat.settle(settingsOf(number))))
  }

  /** Resolves when all have ended and their sockets are closed. */
  stop(): Promise<void> {
    this.#stopping ??= this.#end()
    return this.#stopping
  }

  async #end(): Promise<void> {
    await Promise.all(this.#seats.map((seat) => seat.stop()))
    // Some may be shared by all.
    for (const fd of this.#descriptors) this.#options.libc.close(fd)
  }
}

/** What its worker has to tell. */
interface ToPool {
  restarted(): void
  connected(message: LiveConnection): void
}

/** The place of a worker, whoever takes it. */
class Seat {
  readonly counters: Counters = new Counters()
  readonly #number: number
  readonly #sockets: readonly WorkerSocket[]
  readonly #options: PoolOptions
  readonly #pool: ToPool
  readonly #wakeFd: number
  #settings: WorkerSettings
  /** Of `#settings`; and of those that the worker answers by. */
  #version = 1
  #settled = 0
  #waiting: (() => void)[] = []
  #worker: Worker | undefined
  #gone: Promise<void> = Promise.resolve()
  #delayMs = FIRST_DELAY_MS
  #cancel = (): void => {}
  #stopped = false

  constructor(
    number: number,
    sockets: readonly WorkerSocket[],
    settings: WorkerSettings,
    options: PoolOptions,
    pool: ToPool,
  ) {
    this.#number = number
    this.#sockets = sockets
    this.#settings = settings
    this.#options = options
    this.#pool = pool
    this.#wakeFd = openWake(options.libc)
  }

  /** Resolves when it serves. */
  async begin(): Promise<void> {
    const death = this.#spawn()
    const failure = await Promise.race([this.#untilSettled().then(() => undefined), death])
    if (failure === undefined) return
    this.#stopped = true
    throw trackerError('TRACKER_WORKER', `worker ${this.#number} cannot start: ${failure}`)
  }

  settle(settings: WorkerSettings): Promise<void> {
    // A hook may learn of something late; the descriptor to wake by is somebody else's by then.
    if (this.#stopped) return Promise.resolve()
    this.#settings = settings
    this.#version++
    this.#post({ kind: 'settings', version: this.#version, settings })
    return this.#untilSettled()
  }

  /** False when there is no worker: it has died, and its successor is still to begin. */
  give(message: LiveConnection): boolean {
    if (this.#stopped || this.#worker === undefined) return false
    this.#post(message)
    return true
  }

  async stop(): Promise<void> {
    const first = !this.#stopped
    this.#stopped = true
    this.#cancel()
    this.#release()
    if (first) this.#post({ kind: 'stop' })
    await this.#gone
    const { libc } = this.#options
    libc.close(this.#wakeFd)
  }

  /** Resolves to the reason when it dies. */
  #spawn(): Promise<string> {
    const { store, connectionIds, clock, logger, signals } = this.#options
    const handle = store.handle()
    const workerData: WorkerStart = {
      store: handle,
      counters: this.counters.buffer,
      connectionIds,
      sockets: this.#sockets,
      wakeFd: this.#wakeFd,
      originMs: clockOriginMs(clock),
      version: this.#version,
      settings: this.#settings,
      signalling: !signals ? 'off' : this.#number === SIGNALLING ? 'here' : 'elsewhere',
    }
    const name = `tracker ${this.#number}`
    const begunMs = clock.monotonicMs()
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MIB }
    const worker = new Worker(PROGRAM, { workerData, name, resourceLimits })
    this.#worker = worker
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'connection') {
        this.#pool.connected(message)
        return
      }
      this.#settled = message.version
      if (this.#settled === this.#version) this.#release()
    })
    let failure = 'it ended'
    worker.on('error', (error: Error) => {
      failure = error.message
    })
    const death = new Promise<string>((resolve) => {
      worker.on('exit', () => {
        this.#worker = undefined
        this.#recover(handle)
        if (!this.#stopped && this.#settled > 0) {
          logger.error({ worker: this.#number, error: failure }, 'a worker died: it is replaced')
          this.#replaceLater(clock.monotonicMs() - begunMs)
        }
        resolve(failure)
      })
    })
    this.#gone = death.then(() => {})
    return death
  }

  /** Takes back what a worker that has ended may hold of the store: others would wait for it, and die of that. */
  #recover(handle: PeerStoreHandle): void {
    const { store, logger } = this.#options
    try {
      const shards = store.recover(handle)
      if (shards === 0) return
      logger.error({ worker: this.#number, shards }, 'a worker died in the store: shards emptied')
    } catch (error) {
      // Another one is dead too, and its end still to be told; or the store was stopped.
      if (!(error instanceof SeedbedError)) throw error
    }
  }

  #replaceLater(livedMs: number): void {
    if (livedMs > LONG_LIFE_MS) this.#delayMs = FIRST_DELAY_MS
    this.#cancel = this.#options.clock.after(this.#delayMs, () => {
      this.#pool.restarted()
      void this.#spawn()
    })
    this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS)
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message)
    wake(this.#options.libc, this.#wakeFd)
  }

  #untilSettled(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
