/**
 * What is asked for before the rarest: windows that somebody reads from now, pieces of a higher priority,
 * the beginning before the end. The picker asks it which extent to begin.
 *
 * Invariants: an extent is answered only if the peer has a missing piece of it and it was not begun;
 * without windows, priorities and `sequential` the answer is the rarest.
 */
import { Bitfield } from '../base/index.ts'
import type { TorrentInfo } from '../metainfo/index.ts'
import type { Geometry } from './geometry.ts'

/** Of a piece, or of a file: pieces that two files share have the higher one. */
export const Priority = { skip: 0, low: 1, normal: 2, high: 3 } as const
export type Priority = (typeof Priority)[keyof typeof Priority]

/** Pieces that are needed soon. */
export interface Window {
  firstPiece: number
  lastPiece: number
}

type Rarest = (has: Bitfield) => number
type IsActive = (extent: number) => boolean

const NONE = -1

export class PickOrder {
  sequential = false
  readonly #geometry: Geometry
  readonly #done: Bitfield
  /** The pieces of each priority, the highest first; undefined when all have the same. */
  readonly #levels: readonly Bitfield[] | undefined
  readonly #windows = new Set<Window>()
  /** No missing piece lies in an extent before it. */
  #firstOpen = 0

  /** `done`: pieces that are not to be downloaded (any more). `priorities`: of each piece. */
  constructor(geometry: Geometry, done: Bitfield, priorities: Uint8Array | undefined) {
    this.#geometry = geometry
    this.#done = done
    this.#levels = priorities === undefined ? undefined : levelsOf(priorities)
  }

  /** Nothing goes before the rarest. */
  get isPlain(): boolean {
    return !this.sequential && !this.hasWindows && this.#levels === undefined
  }

  get hasWindows(): boolean {
    return this.#windows.size > 0
  }

  addWindow(window: Window): void {
    this.#windows.add(window)
  }

  deleteWindow(window: Window): void {
    this.#windows.delete(window)
  }

  isUrgent(extent: number): boolean {
    for (const { firstPiece, lastPiece } of this.#windows) {
      if (
        extent >= this.#geometry.extentOf(firstPiece) &&
        extent <= this.#geometry.extentOf(lastPiece)
      ) {
        return true
      }
    }
    return false
  }

  /** The next extent of a window, or -1. */
  urgent(has: Bitfield, isActive: IsActive): number {
    for (const { firstPiece, lastPiece } of this.#windows) {
      const last = this.#geometry.extentOf(lastPiece)
      for (let extent = this.#geometry.extentOf(firstPiece); extent <= last; extent++) {
        if (!isActive(extent) && this.#offers(has, extent)) return extent
      }
    }
    return NONE
  }

  /** The extent to begin for a peer that has these pieces, or -1. */
  choose(has: Bitfield, rarest: Rarest, isActive: IsActive): number {
    const choose = this.sequential
      ? (some: Bitfield): number => this.#first(some, isActive)
      : rarest
    for (const level of this.#levels ?? []) {
      const extent = choose(Bitfield.intersection(has, level))
      if (extent !== NONE) return extent
    }
    return this.#levels === undefined ? choose(has) : NONE
  }

  #first(has: Bitfield, isActive: IsActive): number {
    const { extentCount } = this.#geometry
    while (this.#firstOpen < extentCount && !this.#isOpen(this.#firstOpen)) this.#firstOpen++
    for (let extent = this.#firstOpen; extent < extentCount; extent++) {
      if (!isActive(extent) && this.#offers(has, extent)) return extent
    }
    return NONE
  }

  #isOpen(extent: number): boolean {
    const end = this.#geometry.endPiece(extent)
    for (let piece = this.#geometry.firstPiece(extent); piece < end; piece++) {
      if (!this.#done.has(piece)) return true
    }
    return false
  }

  #offers(has: Bitfield, extent: number): boolean {
    const end = this.#geometry.endPiece(extent)
    for (let piece = this.#geometry.firstPiece(extent); piece < end; piece++) {
      if (has.has(piece) && !this.#done.has(piece)) return true
    }
    return false
  }
}

/** The priorities of all pieces by those of the files; undefined when all are wanted alike. */
export function piecePriorities(
  { files }: Pick<TorrentInfo, 'files'>,
  { pieceBytes, pieceCount }: Geometry,
  ofFiles: readonly Priority[] | undefined,
): Uint8Array | undefined {
  const real = files.flatMap((file, at) => (file.padding || file.bytes === 0 ? [] : [at]))
  const first = ofFiles?.[real[0]!]
  if (ofFiles === undefined) return undefined
  if (first !== Priority.skip && real.every((at) => ofFiles[at] === first)) return undefined
  const priorities = new Uint8Array(pieceCount)
  for (const at of real) {
    const { offset, bytes } = files[at]!
    const own = ofFiles[at]!
    const last = Math.floor((offset + bytes - 1) / pieceBytes)
    for (let piece = Math.floor(offset / pieceBytes); piece <= last; piece++) {
      priorities[piece] = Math.max(priorities[piece]!, own)
    }
  }
  return priorities
}

function levelsOf(priorities: Uint8Array): Bitfield[] | undefined {
  const levels: Bitfield[] = []
  for (const priority of [Priority.high, Priority.normal, Priority.low]) {
    const level = new Bitfield(priorities.length)
    for (const [piece, own] of priorities.entries()) if (own === priority) level.set(piece)
    if (level.count > 0) levels.push(level)
  }
  return levels.length > 1 ? levels : undefined
}
