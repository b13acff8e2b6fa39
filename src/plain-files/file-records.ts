/**
 * What was noted of each file of a torrent: its size and its time of modification, as they were when its bytes were believed last.
 *
 * ```
 * words   | bytes 64 | mtime, ns 64 |   of file 0, 1, …     (notes.ts writes them)
 * ```
 *
 * Invariant: a file of which nothing was noted has the time 0.
 */
import { FILE_RECORD_WORDS } from './notes.ts'

/** A file as the system describes it. */
export interface FoundFile {
  readonly size: bigint
  readonly mtimeNs: bigint
}

/** What a file in doubt is noted with: no file has such a time and no bytes, so it is in doubt for the next who opens it, too. */
const DOUBTED_RECORD: readonly [bytes: bigint, mtimeNs: bigint] = [0n, 1n]

export class FileRecords {
  readonly #words: BigUint64Array

  /** `noted` is as `HaveNote` has it, and kept; of any other number of records than `fileCount` none is believed. */
  constructor(fileCount: number, noted: BigUint64Array) {
    const length = fileCount * FILE_RECORD_WORDS
    this.#words = noted.length === length ? noted : new BigUint64Array(length)
  }

  isNoted(index: number): boolean {
    return this.#words[FILE_RECORD_WORDS * index + 1] !== 0n
  }

  isAsNoted(index: number, found: FoundFile): boolean {
    const at = FILE_RECORD_WORDS * index
    return this.#words[at] === found.size && this.#words[at + 1] === found.mtimeNs
  }

  /** Undefined: there is no such file. */
  note(index: number, found: FoundFile | undefined): void {
    const at = FILE_RECORD_WORDS * index
    this.#words[at] = found?.size ?? 0n
    this.#words[at + 1] = found?.mtimeNs ?? 0n
  }

  /** A copy for a note, in which no file that is `inDoubt` is as it was noted. */
  words(inDoubt: Iterable<number> = []): BigUint64Array {
    const copy = this.#words.slice()
    for (const index of inDoubt) copy.set(DOUBTED_RECORD, FILE_RECORD_WORDS * index)
    return copy
  }
}
