/**
 * The disks beneath the torrents, and what is asked of each: reads in the order of an elevator, a bounded
 * number at a time; writes through their queue; and turns between the two, so that a head which has gone
 * to where it reads reads there for a while, and writes a run when it has gone to where it writes.
 *
 * ```
 * reads   r r r r r r r ... r               r r r r ...
 * writes                      W W W W ... W              both wait: READS_A_TURN, WRITES_A_TURN, and so on
 * ```
 *
 * Invariants: at most READ_DEPTH reads of one disk are in flight; while both kinds wait and run, neither
 * begins more than its turn; a kind of which nothing is in flight may always begin, so that readers who wait
 * for memory hold up no writes, and the other way round.
 */
import { Elevator } from './elevator.ts'
import { WriteQueue } from './write-queue.ts'

export const READ_DEPTH = 8
/** Of half a MiB each at most: 16 MiB, some 300 ms of a disk that seeks for each. */
export const READS_A_TURN = 32
/** Of 4 MiB each: 16 MiB, 110 ms of a disk that does not seek. */
export const WRITES_A_TURN = 4

export class Disk<Read extends object> {
  readonly writes: WriteQueue
  readonly #reads = new Elevator<Read>()
  readonly #mayRead: () => void
  #reading = 0
  #writing = 0
  #turn: 'reads' | 'writes' = 'reads'
  #left: number = READS_A_TURN

  /** `mayRead` is called when a read may begin that had to wait for writes. */
  constructor(mayRead: () => void) {
    this.#mayRead = mayRead
    this.writes = new WriteQueue({
      may: () => this.#mayBegin('writes'),
      began: () => {
        this.#writing++
        this.#count('writes')
      },
      ended: () => {
        this.#writing--
        this.#mayRead()
      },
    })
  }

  /** Reads that wait. */
  get waiting(): number {
    return this.#reads.size
  }

  add(read: Read, place: number): void {
    this.#reads.add(read, place)
  }

  delete(read: Read): void {
    this.#reads.delete(read)
  }

  /** The next read, when it may begin now. */
  get nextRead(): Read | undefined {
    if (this.#reading >= READ_DEPTH || !this.#mayBegin('reads')) return undefined
    return this.#reads.peek()
  }

  /** The next read, which begins now: `ended` has to follow. To be called when there is a `nextRead`. */
  begin(): Read {
    const read = this.#reads.take()!
    this.#reading++
    this.#count('reads')
    return read
  }

  ended(): void {
    this.#reading--
    this.writes.poke()
  }

  #mayBegin(kind: 'reads' | 'writes'): boolean {
    if (this.#turn === kind) return true
    // Out of its turn: only where nobody is held up.
    return kind === 'reads'
      ? this.writes.waiting === 0 || this.#writing === 0
      : this.#reads.size === 0 || this.#reading === 0
  }

  #count(kind: 'reads' | 'writes'): void {
    if (this.#turn !== kind) return
    this.#left--
    if (this.#left > 0) return
    if (kind === 'reads') {
      this.#turn = 'writes'
      // They begin when the next of the reads under way has ended.
      this.#left = WRITES_A_TURN
    } else {
      this.#turn = 'reads'
      this.#left = READS_A_TURN
      this.#mayRead()
    }
  }
}

/** The disks by what a StoredTorrent says that it lies on. */
export class Disks<Read extends object> {
  readonly #byKey = new Map<object, Disk<Read>>()
  /** To be told when a read may begin. */
  mayRead: () => void = () => {}

  of(key: object): Disk<Read> {
    let disk = this.#byKey.get(key)
    if (disk === undefined) {
      disk = new Disk(() => this.mayRead())
      this.#byKey.set(key, disk)
    }
    return disk
  }

  all(): IterableIterator<Disk<Read>> {
    return this.#byKey.values()
  }

  get pendingWrites(): number {
    let pending = 0
    for (const { writes } of this.#byKey.values()) pending += writes.pending
    return pending
  }
}
