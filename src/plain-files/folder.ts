/**
 * A folder of ordinary files as a store of torrents: the content of each under its own name, notes about
 * them in `.seedbed`.
 *
 * ```
 * DIR/.seedbed/HEX.*    notes about the torrent of that info-hash   (notes-folder.ts)
 * DIR/NAME              its file, or folder; or NAME.HASH when that was taken
 * ```
 *
 * Invariants:
 * - A torrent begins where nothing was, and two torrents never share a place.
 * - A torrent is there, durably, from its note on, until that is marked as one that is being removed.
 * - Content is deleted only after no note names the torrent; only its own files, and folders left empty.
 *   Content that is shared from where it lies is never written or deleted.
 * - One process has the folder open.
 */
import { lstat, mkdir, realpath, stat, statfs } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { type Clock, errnoOf, inLanes, type SeedbedError, toHex } from '../base/index.ts'
import { lockUnopened, type Release } from '../block-device/index.ts'
import { parseInfo, type TorrentInfo } from '../metainfo/index.ts'
import type { Beside, TorrentGeometry, TorrentStore } from '../torrent-store/index.ts'
import { deleteContent } from './delete-content.ts'
import { DirectWrites } from './direct-writes.ts'
import { asCoded, plainFileError } from './errors.ts'
import type { HaveNote, InfoNote } from './notes.ts'
import { NOTES_FOLDER, NotesFolder, READS_AT_ONCE } from './notes-folder.ts'
import { OpenFiles } from './open-files.ts'
import { type Place, PlainTorrent, type PlainTorrentHost } from './torrent.ts'

/** As the default of a volume: what the engine gathers before it writes. */
const BLOCK_BYTES: number = 4 * 1024 * 1024
const MAX_OPEN_FILES = 128
/** Torrents made durable at once: a filesystem's journal takes what comes together together. */
const SYNCS_AT_ONCE = 4

export interface PlainFolderOptions {
  readonly clock: Clock
  /** Default false. */
  readonly readOnly?: boolean
  /** Makes the folder when it is not there. Default false. */
  readonly create?: boolean
  /** Default 4 MiB. */
  readonly blockBytes?: number
  /** Called before each step that makes something durable: for tests. */
  readonly onBarrier?: (name: 'data' | 'notes' | 'info' | 'removed') => void
}

/** DEVICE_BUSY, FILES_KIND, and what the system reports as DEVICE_MISSING and the like. */
export async function openPlainFolder(
  path: string,
  options: PlainFolderOptions,
): Promise<PlainFolder> {
  try {
    if (options.create === true) await mkdir(path, { recursive: true })
    const root = await realpath(path)
    if (!(await stat(root)).isDirectory())
      throw plainFileError('FILES_KIND', `${path} is no folder`)
    const notes = new NotesFolder(root, options.readOnly === true)
    if (options.readOnly !== true) await mkdir(notes.path, { recursive: true })
    const release = await lockUnopened(join(notes.path, 'folder'), notes.path)
    const folder = new PlainFolder(root, notes, options, release)
    try {
      await folder.load()
      return folder
    } catch (error) {
      await release()
      throw error
    }
  } catch (error) {
    throw asCoded('open', path, error)
  }
}

export class PlainFolder implements TorrentStore, PlainTorrentHost {
  readonly blockBytes: number
  readonly readOnly: boolean
  readonly root: string
  readonly notes: NotesFolder
  readonly files: OpenFiles = new OpenFiles(MAX_OPEN_FILES)
  readonly directWrites: DirectWrites
  /** Notes that cannot be read: their torrents are refused. */
  readonly problems: { readonly infoHash: string; readonly error: SeedbedError }[] = []
  readonly #clock: Clock
  readonly #barrier: NonNullable<PlainFolderOptions['onBarrier']>
  readonly #release: Release
  readonly #torrents = new Map<string, PlainTorrent>()
  /** Names of content, folded: what a filesystem may not tell apart. */
  readonly #places = new Set<string>()
  readonly #changed = new Set<PlainTorrent>()
  /** Syncs and removals, one after the other. */
  #turn: Promise<void> = Promise.resolve()
  #closed = false
  #numbers = 0

  constructor(root: string, notes: NotesFolder, options: PlainFolderOptions, release: Release) {
    this.root = root
    this.notes = notes
    this.readOnly = options.readOnly === true
    this.blockBytes = options.blockBytes ?? BLOCK_BYTES
    this.#clock = options.clock
    this.directWrites = new DirectWrites(options.clock)
    this.#barrier = options.onBarrier ?? (() => {})
    this.#release = release
  }

  /** Reads the notes: once, before anything else. */
  async load(): Promise<void> {
    await inLanes(await this.notes.list(), READS_AT_ONCE, async ({ infoHash, isRemoved }) => {
      if (!isRemoved) await this.#loadTorrent(infoHash)
      else if (!this.readOnly) await this.#finishRemoval(infoHash)
    })
  }

  async #loadTorrent(infoHash: Uint8Array): Promise<void> {
    const key = toHex(infoHash)
    let place: Place
    try {
      place = await this.notes.peekInfo(infoHash, placeOf)
    } catch (error) {
      this.problems.push({ infoHash: key, error: asCoded('read', key, error) })
      return
    }
    const haveBytes = Math.ceil(Math.ceil(place.totalBytes / place.pieceBytes) / 8)
    const torrent = await this.notes.peekHave(
      infoHash,
      haveBytes,
      (note) => new PlainTorrent(this, infoHash, place, note),
    )
    this.#torrents.set(key, torrent)
    if (place.place !== undefined) this.#places.add(fold(place.place))
  }

  nextNumber(): number {
    return this.#numbers++
  }

  assertOpen(): void {
    if (this.#closed) throw plainFileError('FILES_CLOSED', `${this.root} was closed`)
  }

  changed(torrent: PlainTorrent): void {
    this.#changed.add(torrent)
  }

  /** What the filesystem beneath has left. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.root)
    return bavail * bsize
  }

  torrents(): IterableIterator<PlainTorrent> {
    return this.#torrents.values()
  }

  get(infoHash: Uint8Array): PlainTorrent | undefined {
    return this.#torrents.get(toHex(infoHash))
  }

  /** FILES_EXISTS, FILES_TAKEN. */
  async create(
    geometry: TorrentGeometry,
    infoBytes: Uint8Array,
    attributes: Uint8Array = new Uint8Array(0),
    { layers }: Beside = {},
  ): Promise<PlainTorrent> {
    this.#assertNew(geometry.infoHash)
    const info = parseInfo(infoBytes)
    await this.#refuseAlike(info)
    const place = await this.#freePlace(info)
    this.#places.add(fold(place))
    try {
      return await this.#add(geometry, { infoBytes, attributes, place, root: undefined }, layers)
    } catch (error) {
      this.#places.delete(fold(place))
      throw asCoded('note', place, error)
    }
  }

  /**
   * Shares content from where it lies, complete: `root` is its file or folder, `modifiedMs` the time of each
   * file as it was when it was hashed, undefined for filler. FILES_EXISTS, FILES_CHANGED.
   */
  async share(
    info: TorrentInfo,
    root: string,
    modifiedMs: readonly (number | undefined)[],
    attributes: Uint8Array = new Uint8Array(0),
    layers?: Uint8Array,
  ): Promise<PlainTorrent> {
    this.#assertNew(info.infoHash)
    const real = await realpath(root)
    const parts = { infoBytes: info.infoBytes, attributes, place: undefined, root: real }
    const torrent = await this.#add(info, parts, layers)
    try {
      await torrent.noteShared(modifiedMs)
      await this.sync()
      return torrent
    } catch (error) {
      await this.remove(info.infoHash)
      throw asCoded('share', root, error)
    }
  }

  #assertNew(infoHash: Uint8Array): void {
    this.assertOpen()
    if (this.readOnly) throw plainFileError('FILES_READ_ONLY', 'opened for reading only')
    if (this.#torrents.has(toHex(infoHash))) {
      throw plainFileError('FILES_EXISTS', `torrent ${toHex(infoHash)} is in the folder already`)
    }
  }

  async #add(
    geometry: TorrentGeometry,
    parts: Pick<InfoNote, 'infoBytes' | 'attributes' | 'place' | 'root'>,
    layers: Uint8Array = new Uint8Array(0),
  ): Promise<PlainTorrent> {
    const { infoHash, totalBytes, pieceBytes } = geometry
    const addedAtMs = Math.max(0, Math.floor(this.#clock.wallMs()))
    const note: InfoNote = { ...parts, totalBytes, pieceBytes, addedAtMs }
    await this.notes.add(infoHash, note, layers, () => this.#barrier('info'))
    const torrent = new PlainTorrent(this, infoHash.slice(), note, undefined)
    this.#torrents.set(toHex(infoHash), torrent)
    return torrent
  }

  /** Two files of one torrent that this filesystem would take for one. */
  async #refuseAlike(info: TorrentInfo): Promise<void> {
    const names = new Set(info.files.map((file) => fold(file.path.join('/'))))
    if (names.size === info.files.length) return
    const other = join(this.root, NOTES_FOLDER.toUpperCase())
    if ((await lstat(other).catch(() => undefined)) === undefined) return
    throw plainFileError('FILES_TAKEN', `${this.root} cannot tell two files of the torrent apart`, {
      mend: 'Keep it on a volume, or in a folder of a filesystem that minds upper and lower case.',
    })
  }

  /** A name in the folder that nothing has: the torrent's, or one with its hash. */
  async #freePlace(info: TorrentInfo): Promise<string> {
    const hash = toHex(info.infoHash)
    for (const name of [info.name, `${info.name}.${hash.slice(0, 8)}`, hash]) {
      if (fold(name) === NOTES_FOLDER || this.#places.has(fold(name))) continue
      try {
        await lstat(join(this.root, name))
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return name
        if (errnoOf(error) !== 'ENAMETOOLONG') throw error
      }
    }
    throw plainFileError('FILES_TAKEN', `${join(this.root, hash)} is there already`, {
      mend: 'Move it away.',
    })
  }

  async remove(infoHash: Uint8Array): Promise<void> {
    this.assertOpen()
    const key = toHex(infoHash)
    const torrent = this.#torrents.get(key)
    if (torrent === undefined) {
      throw plainFileError('FILES_UNKNOWN_TORRENT', `no torrent ${key}`)
    }
    if (this.readOnly) throw plainFileError('FILES_READ_ONLY', 'opened for reading only')
    await torrent.retire()
    await this.#exclusively(() => this.#removeNow(torrent))
  }

  async #removeNow(torrent: PlainTorrent): Promise<void> {
    const { infoHash } = torrent
    this.#torrents.delete(toHex(infoHash))
    this.#changed.delete(torrent)
    const content = torrent.contentPath
    await this.files.closeWhere((path) => path === content || path.startsWith(content + sep))
    try {
      this.#barrier('removed')
      await this.notes.beginRemoval(infoHash)
      await this.#finishRemoval(infoHash)
    } catch (error) {
      throw asCoded('remove', content, error)
    }
    if (torrent.place !== undefined) this.#places.delete(fold(torrent.place))
  }

  /** Deletes what the torrent's files are, and its notes last. */
  async #finishRemoval(infoHash: Uint8Array): Promise<void> {
    const note = await this.notes.readRemoved(infoHash)
    if (note?.place !== undefined) {
      await deleteContent(join(this.root, note.place), parseInfo(note.infoBytes))
    }
    await this.notes.endRemoval(infoHash)
  }

  /** Rejects with the first error; the torrents that it concerns take no more data until looked at anew. */
  sync(): Promise<void> {
    return this.#exclusively(() => this.#syncNow())
  }

  #exclusively(action: () => Promise<void>): Promise<void> {
    const own = this.#turn.then(action)
    this.#turn = own.catch(() => {})
    return own
  }

  async #syncNow(): Promise<void> {
    if (this.readOnly) return
    const torrents = new Set([...this.#changed].filter((torrent) => torrent.isUnsynced))
    this.#changed.clear()
    for (const torrent of this.#torrents.values()) if (torrent.isUnsynced) torrents.add(torrent)
    if (torrents.size === 0) return
    let failure: Error | undefined
    const lost = (torrent: PlainTorrent, error: unknown): void => {
      const coded = asCoded('sync', this.root, error)
      torrent.lose(coded)
      failure ??= coded
    }
    const notes = new Map<PlainTorrent, HaveNote>()
    this.#barrier('data')
    const queue = [...torrents]
    const next = async (): Promise<void> => {
      for (let torrent = queue.shift(); torrent !== undefined; torrent = queue.shift()) {
        try {
          const note = await torrent.prepareNote()
          this.#barrier('notes')
          await this.notes.writeHave(torrent.infoHash, note)
          notes.set(torrent, note)
        } catch (error) {
          lost(torrent, error)
        }
      }
    }
    await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, next))
    try {
      await this.notes.sync()
      for (const [torrent, note] of notes) torrent.noted(note)
    } catch (error) {
      for (const torrent of notes.keys()) lost(torrent, error)
    }
    if (failure !== undefined) throw failure
  }

  async close(): Promise<void> {
    if (this.#closed) return
    try {
      await this.sync()
    } finally {
      await this.abandon()
    }
  }

  /** Closes without a sync: what was not synced is as after a crash. */
  async abandon(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      await this.#turn
      await Promise.all([...this.#torrents.values()].map((torrent) => torrent.retire()))
      await this.files.closeAll()
      await this.#release()
    }
  }
}

function placeOf({ totalBytes, pieceBytes, addedAtMs, place, root }: InfoNote): Place {
  return { totalBytes, pieceBytes, addedAtMs, place, root }
}

/** Names that some filesystems take for the same. */
function fold(name: string): string {
  return name.normalize('NFC').toLowerCase()
}
