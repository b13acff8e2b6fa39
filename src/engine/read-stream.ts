/**
 * A file of a torrent as a stream, in order, while it is being downloaded: what is needed next goes before
 * all else (pick-order.ts), a window of READ_AHEAD_BYTES that moves with the reader.
 *
 * Invariants: bytes are of verified pieces; one read of at most STEP_BYTES is under way; when the stream
 * ends, for whatever reason, its window and its listeners are gone.
 */
import { Readable } from 'node:stream'
import type { Content } from './content.ts'
import { engineError } from './errors.ts'
import type { Payload } from './payload.ts'
import type { Window } from './pick-order.ts'
import type { EngineTorrent } from './types.ts'
import { readVerified } from './verified-bytes.ts'

export const READ_AHEAD_BYTES: number = 16 * 1024 * 1024
const STEP_BYTES = 256 * 1024

/** The torrent as its readers see it. */
export interface ReadableTorrent extends EngineTorrent {
  readonly running: boolean
  readonly asleep: boolean
  readonly payload: Payload
  /** Resolves when it is awake, or has failed. */
  wake(): Promise<void>
}

interface ByteRange {
  readonly start?: number
  readonly end?: number
}

/** See EngineTorrent.createReadStream. */
export function openReadStream(torrent: ReadableTorrent, file: number, range: ByteRange): Readable {
  const bytes = torrent.asleep ? wakeAndRead(torrent, file, range) : readFile(torrent, file, range)
  return Readable.from(bytes, { objectMode: false, highWaterMark: STEP_BYTES })
}

/** The range is checked when the torrent is awake: until then nobody knows which files there are. */
async function* wakeAndRead(
  torrent: ReadableTorrent,
  file: number,
  range: ByteRange,
): AsyncGenerator<Uint8Array> {
  await torrent.wake()
  yield* readFile(torrent, file, range)
}

function readFile(
  torrent: ReadableTorrent,
  file: number,
  { start = 0, end }: ByteRange,
): AsyncGenerator<Uint8Array> {
  const { info } = torrent
  const { content } = torrent.payload
  if (content === undefined || info === undefined) {
    throw engineError('ENGINE_NO_METADATA', 'nobody has sent the metadata of the torrent yet')
  }
  const found = info.files[file]
  if (found === undefined) throw new RangeError(`file ${file} of ${info.files.length}`)
  const to = end ?? found.bytes
  if (!(start >= 0 && start <= to && to <= found.bytes)) {
    throw new RangeError(`bytes ${start} to ${to} of a file of ${found.bytes}`)
  }
  return read(torrent, content, found.offset + start, found.offset + to)
}

async function* read(
  torrent: ReadableTorrent,
  content: Content,
  from: number,
  to: number,
): AsyncGenerator<Uint8Array> {
  if (from === to) return
  const { pieceBytes } = content.geometry
  const pieceAt = (offset: number): number => Math.floor(offset / pieceBytes)
  const window: Window = { firstPiece: 0, lastPiece: 0 }
  const aim = (offset: number): void => {
    window.firstPiece = pieceAt(offset)
    window.lastPiece = pieceAt(Math.min(offset + READ_AHEAD_BYTES, to) - 1)
  }
  aim(from)
  torrent.payload.addWindow(window)
  try {
    for (let offset = from; offset < to; ) {
      const piece = pieceAt(offset)
      if (piece !== window.firstPiece) {
        aim(offset)
        torrent.payload.windowMoved()
      }
      await verified(torrent, content, piece)
      const pieceEnd = Math.min((piece + 1) * pieceBytes, to)
      const step = new Uint8Array(Math.min(STEP_BYTES, pieceEnd - offset))
      await readVerified(content, piece, offset - piece * pieceBytes, step)
      yield step
      offset += step.length
    }
  } finally {
    torrent.payload.deleteWindow(window)
  }
}

/** Resolves when the piece is there. */
async function verified(torrent: ReadableTorrent, content: Content, piece: number): Promise<void> {
  while (!content.verified.has(piece)) {
    if (!torrent.running) {
      throw torrent.error ?? engineError('ENGINE_STOPPED', 'the torrent was stopped')
    }
    if (torrent.payload.wanted.isSkipped(piece)) {
      throw engineError('ENGINE_SKIPPED', `piece ${piece} belongs to files that are skipped`)
    }
    await new Promise<void>((resolve) => {
      const done = (): void => {
        torrent.off('piece', done)
        forget()
        resolve()
      }
      torrent.on('piece', done)
      const forget = torrent.payload.wanted.onChange(done)
    })
  }
}
