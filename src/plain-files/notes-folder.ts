/**
 * The notes of a folder's torrents (notes.ts), as files of its `.seedbed`.
 *
 * ```
 * .seedbed/HEX.info      what the torrent is, and where it lies
 * .seedbed/HEX.have      what of it is here
 * .seedbed/HEX.layers    piece layers, of v2 and hybrids
 * .seedbed/HEX.removed   HEX.info of one that is being removed
 * ```
 *
 * Invariants:
 * - A note is replaced whole, or not at all; what is damaged is told from what is not there.
 * - HEX.info is there, durably, when `add` has settled, and its layers are there before it; `beginRemoval` makes it
 *   HEX.removed, durably, and that is the last to go.
 * - What a torrent writes is refused when the folder was opened for reading only; coming and going the folder refuses itself.
 */
import { readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, fromHex, toHex } from '../base/index.ts'
import { Scratch } from '../block-device/index.ts'
import { readInto, replaceFile, syncFolder, unlinkIfThere } from './durable.ts'
import { asCoded, plainFileError } from './errors.ts'
import {
  decodeHaveNote,
  decodeInfoNote,
  decodeLayersNote,
  encodeHaveNote,
  encodeInfoNote,
  encodeLayersNote,
  type HaveNote,
  type InfoNote,
} from './notes.ts'

export const NOTES_FOLDER = '.seedbed'
/** Notes that are read at once when a folder is opened: memory for so many is kept. */
export const READS_AT_ONCE = 16

/** A torrent that is noted. */
export interface Noted {
  readonly infoHash: Uint8Array
  /** Its removal was begun, and is to be finished. */
  readonly isRemoved: boolean
}

export class NotesFolder {
  readonly path: string
  readonly #readOnly: boolean
  readonly #scratch = new Scratch(READS_AT_ONCE)

  /** `root` is the folder that they are of. */
  constructor(root: string, readOnly: boolean) {
    this.path = join(root, NOTES_FOLDER)
    this.#readOnly = readOnly
  }

  /** In the order of their names. */
  async list(): Promise<Noted[]> {
    const names = await readdir(this.path)
    const ours = names.filter((name) => /^[0-9a-f]{40}\.(info|removed)$/.test(name)).sort()
    return ours.map((name) => ({
      infoHash: fromHex(name.slice(0, 40))!,
      isRemoved: name.endsWith('.removed'),
    }))
  }

  #pathOf(infoHash: Uint8Array, kind: 'info' | 'have' | 'layers' | 'removed'): string {
    return join(this.path, `${toHex(infoHash)}.${kind}`)
  }

  // --- What a torrent is ---

  /** FILES_STATE. */
  async readInfo(infoHash: Uint8Array): Promise<InfoNote> {
    const path = this.#pathOf(infoHash, 'info')
    return infoNoteIn(await readFile(path), path)
  }

  /** Hands it to `look`, in memory that is used again. FILES_STATE. */
  peekInfo<T>(infoHash: Uint8Array, look: (note: InfoNote) => T): Promise<T> {
    const path = this.#pathOf(infoHash, 'info')
    return readInto(path, this.#scratch, (bytes) => look(infoNoteIn(bytes, path)))
  }

  async writeAttributes(infoHash: Uint8Array, attributes: Uint8Array): Promise<void> {
    const note = await this.readInfo(infoHash)
    await this.#replace(this.#pathOf(infoHash, 'info'), encodeInfoNote({ ...note, attributes }))
  }

  /** No bytes when there is no note, or it is damaged: layers can be fetched anew. */
  async readLayers(infoHash: Uint8Array): Promise<Uint8Array> {
    const bytes = await readFile(this.#pathOf(infoHash, 'layers')).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    })
    return (bytes === undefined ? undefined : decodeLayersNote(bytes)) ?? new Uint8Array(0)
  }

  writeLayers(infoHash: Uint8Array, layers: Uint8Array): Promise<void> {
    return this.#replace(this.#pathOf(infoHash, 'layers'), encodeLayersNote(layers))
  }

  async #replace(path: string, bytes: Uint8Array): Promise<void> {
    if (this.#readOnly) throw plainFileError('FILES_READ_ONLY', 'opened for reading only')
    try {
      await replaceFile(path, bytes)
      await syncFolder(this.path)
    } catch (error) {
      throw asCoded('note', path, error)
    }
  }

  // --- What of it is here ---

  /**
   * Hands the note to `look`, in memory that is used again: undefined when nothing was noted, null when that is damaged,
   * or not of a torrent with so many bytes of have-bits.
   */
  async peekHave<T>(
    infoHash: Uint8Array,
    haveBytes: number,
    look: (note: HaveNote | null | undefined) => T,
  ): Promise<T> {
    const path = this.#pathOf(infoHash, 'have')
    return readInto(path, this.#scratch, (bytes) =>
      look(decodeHaveNote(bytes, haveBytes) ?? null),
    ).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return look(undefined)
      throw error
    })
  }

  /** Durable after the next `sync`. */
  writeHave(infoHash: Uint8Array, note: HaveNote): Promise<void> {
    return replaceFile(this.#pathOf(infoHash, 'have'), encodeHaveNote(note))
  }

  sync(): Promise<void> {
    return syncFolder(this.path)
  }

  // --- Coming and going ---

  /** `onBarrier` is called before the step that makes it a torrent of the folder. */
  async add(
    infoHash: Uint8Array,
    note: InfoNote,
    layers: Uint8Array,
    onBarrier: () => void,
  ): Promise<void> {
    // Of an earlier life of the torrent that ended in a crash.
    await this.#unlinkBeside(infoHash)
    if (layers.length > 0) {
      await replaceFile(this.#pathOf(infoHash, 'layers'), encodeLayersNote(layers))
    }
    onBarrier()
    await replaceFile(this.#pathOf(infoHash, 'info'), encodeInfoNote(note))
    await this.sync()
  }

  async beginRemoval(infoHash: Uint8Array): Promise<void> {
    await rename(this.#pathOf(infoHash, 'info'), this.#pathOf(infoHash, 'removed'))
    await this.sync()
  }

  /** What it was; undefined when that is damaged. */
  async readRemoved(infoHash: Uint8Array): Promise<InfoNote | undefined> {
    return decodeInfoNote(await readFile(this.#pathOf(infoHash, 'removed')))
  }

  async endRemoval(infoHash: Uint8Array): Promise<void> {
    await this.#unlinkBeside(infoHash)
    await unlinkIfThere(this.#pathOf(infoHash, 'removed'))
    await this.sync()
  }

  async #unlinkBeside(infoHash: Uint8Array): Promise<void> {
    await unlinkIfThere(this.#pathOf(infoHash, 'have'))
    await unlinkIfThere(this.#pathOf(infoHash, 'layers'))
  }
}

/** FILES_STATE. */
function infoNoteIn(bytes: Uint8Array, path: string): InfoNote {
  const note = decodeInfoNote(bytes)
  if (note !== undefined) return note
  throw plainFileError('FILES_STATE', `${path} is damaged`, {
    mend: 'Remove that file and add the torrent again.',
  })
}
