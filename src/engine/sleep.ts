/**
 * The sleep of a torrent that nobody wants anything of: its info dictionary, piece hashes and layers are let go of, and read again
 * when somebody comes.
 *
 * Invariants: whoever comes meanwhile waits, unread, until it is awake; it is woken once, however many ask.
 */
import type { PieceLayers, TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import type { Arrival } from './connections.ts'
import type { PeerSocket } from './network.ts'
import type { AddOptions } from './types.ts'

/** Without a peer for so long a whole torrent falls asleep. */
export const DOZE_MS = 60_000

/** What a sleeping torrent is known by. */
export interface Summary {
  readonly contentBytes: number
  readonly pieceCount: number
  readonly name: string
  readonly private: boolean
}

export interface Known {
  readonly info: TorrentInfo
  readonly layers: PieceLayers
}

export class Sleep {
  /** Undefined while the torrent is awake. */
  summary: Summary | undefined
  /** Reads what was let go of; undefined: the torrent never sleeps. */
  readonly reload: AddOptions['reload']
  #waking: Promise<void> | undefined
  #knocking: Set<PeerSocket> | undefined

  constructor(reload: AddOptions['reload']) {
    this.reload = reload
  }

  /** Whether nobody is at the door, and what is let go of can be had again. */
  get mayBegin(): boolean {
    return (
      this.summary === undefined && this.reload !== undefined && (this.#knocking?.size ?? 0) === 0
    )
  }

  begin({ contentBytes, pieceCount, name, private: isPrivate }: TorrentInfo): void {
    this.summary = { contentBytes, pieceCount, name, private: isPrivate }
  }

  /** Reads, and hands what was read to `awake`. Settles when that is done; never rejects: `failed` is told. */
  end(
    stored: StoredTorrent | undefined,
    awake: (known: Known) => void,
    failed: (error: unknown) => void,
  ): Promise<void> {
    if (this.summary === undefined) return Promise.resolve()
    this.#waking ??= this.reload!(stored!)
      .then(awake)
      .catch(failed)
      .finally(() => {
        this.#waking = undefined
      })
    return this.#waking
  }

  /** A peer is at the door: when `awake` resolves, `admit` gets all that it has said. */
  knock(
    socket: PeerSocket,
    arrival: Arrival,
    first: Uint8Array,
    awake: Promise<void>,
    admit: (said: Uint8Array) => void,
  ): void {
    const knocking = this.#knocking ?? new Set()
    this.#knocking = knocking
    const heard = [first.slice()]
    socket.pause()
    socket.onData = (bytes) => void heard.push(bytes.slice())
    socket.onDrain = () => {}
    socket.onClose = () => {
      if (knocking.delete(socket)) arrival.ended()
    }
    knocking.add(socket)
    awake.then(() => {
      if (!knocking.delete(socket)) return
      admit(Buffer.concat(heard))
      socket.resume()
    })
  }

  /** The torrent is over: nobody is let in. */
  turnAway(): void {
    for (const socket of [...(this.#knocking ?? [])]) socket.destroy()
  }
}
