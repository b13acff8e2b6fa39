/**
 * What is wanted of a torrent: which files, in which order, and what somebody reads right now.
 *
 * Invariants: `missing` is the number of wanted pieces that the store did not hold at the last `survey`, less those that
 * `held` was told of since; listeners hear of every change.
 */
import type { Geometry } from './geometry.ts'
import { type PickOrder, Priority, piecePriorities, type Window } from './pick-order.ts'
import type { AddOptions } from './types.ts'

type TorrentInfo = Parameters<NonNullable<AddOptions['priorities']>>[0]

const NONE: readonly never[] = []

export class Wanted {
  /** The beginning before the end. */
  sequential: boolean
  /** By file; undefined: all alike. */
  files: readonly Priority[] | undefined
  /** By piece; undefined: all alike. */
  priorities: Uint8Array | undefined
  missing = 0
  readonly #wish: AddOptions['priorities']
  // Lists, made when somebody reads: of thousands of torrents few are read.
  #windows: readonly Window[] = NONE
  #listeners: readonly (() => void)[] = NONE

  /** `wish` is asked once, when it is known which files there are. */
  constructor(wish: AddOptions['priorities'], sequential: boolean) {
    this.#wish = wish
    this.sequential = sequential
  }

  get isBeingRead(): boolean {
    return this.#windows.length > 0
  }

  /** The info dictionary is known. */
  learn(info: TorrentInfo): void {
    this.files ??= this.#wish?.(info)
  }

  /** What of it is wanted, and not there. */
  survey(info: TorrentInfo, geometry: Geometry, have: { has(piece: number): boolean }): void {
    this.priorities = piecePriorities(info, geometry, this.files)
    this.missing = 0
    for (let piece = 0; piece < geometry.pieceCount; piece++) {
      if (!this.isSkipped(piece) && !have.has(piece)) this.missing++
    }
  }

  isSkipped(piece: number): boolean {
    return this.priorities?.[piece] === Priority.skip
  }

  /** The store holds the piece now. True when nothing is missing any more, and something was. */
  held(piece: number): boolean {
    if (this.isSkipped(piece)) return false
    this.missing--
    return this.missing === 0
  }

  /** Tells the order of a download that begins. */
  brief(order: PickOrder): void {
    order.sequential = this.sequential
    for (const window of this.#windows) order.addWindow(window)
  }

  addWindow(window: Window): void {
    this.#windows = this.#windows.concat(window)
  }

  deleteWindow(window: Window): void {
    this.#windows = this.#windows.filter((other) => other !== window)
  }

  /** The result takes it back. */
  onChange(listener: () => void): () => void {
    this.#listeners = this.#listeners.concat(listener)
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener)
    }
  }

  changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
