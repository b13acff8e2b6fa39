/**
 * A program that works on a folder of ordinary files until it is killed: `node kill-child.js DIR SEED`. Says
 * what it is about to do and what it was promised, a line each: `creating N`, `created N`, `removing N`,
 * `removed N`, `synced N PIECE,PIECE,...`. Lines are written at once (a pipe is synchronous on Linux).
 */
import { below, seededRandom, systemClock } from '../../src/base/index.ts'
import type { TorrentInfo } from '../../src/metainfo/index.ts'
import { openPlainFolder } from '../../src/plain-files/index.ts'
import type { StoredTorrent } from '../../src/torrent-store/index.ts'
import { torrentOf } from '../torrent-store/torrent.ts'

const PIECE_BYTES = 16 * 1024
const TORRENTS_MAX = 5

export interface KillSample {
  readonly info: TorrentInfo
  readonly content: Uint8Array
}

/** Torrent N of the work: files whose borders are odd, all with the same name. */
export function killSample(number: number): KillSample {
  const content = new Uint8Array((3 + (number % 9)) * PIECE_BYTES + ((number * 37) % 1000))
  seededRandom(number).fill(content)
  const files: { path: string[]; bytes: number }[] = []
  for (let left = content.length, i = 0; left > 0; i++) {
    const bytes = Math.min(left, 1 + ((i * 12_345 + number) % 50_000))
    files.push({ path: ['folder', `${i % 2}`, `${i}`], bytes })
    left -= bytes
  }
  return { content, info: torrentOf(content, PIECE_BYTES, 'one name', files) }
}

export function pieceOf({ info, content }: KillSample, piece: number): Uint8Array {
  return content.subarray(piece * info.pieceBytes, (piece + 1) * info.pieceBytes)
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function work(path: string, seed: number): Promise<void> {
  const random = seededRandom(seed)
  const folder = await openPlainFolder(path, { clock: systemClock, create: true })
  const held: { number: number; sample: KillSample; stored: StoredTorrent }[] = []
  for (const stored of folder.torrents()) {
    const number = Number(Buffer.from(await stored.readAttributes()).toString())
    await stored.doubted()
    held.push({ number, sample: killSample(number), stored })
  }
  let next = seed * 1000
  say('ready')
  for (;;) {
    const choice = below(random, 12)
    if (held.length < 2 || (choice === 0 && held.length < TORRENTS_MAX)) {
      const number = next++
      const sample = killSample(number)
      say(`creating ${number}`)
      const stored = await folder.create(
        sample.info,
        sample.info.infoBytes,
        Buffer.from(`${number}`),
      )
      say(`created ${number}`)
      held.push({ number, sample, stored })
    } else if (choice === 1) {
      const { number, sample } = held.splice(below(random, held.length), 1)[0]!
      say(`removing ${number}`)
      await folder.remove(sample.info.infoHash)
      say(`removed ${number}`)
    } else if (choice < 4) {
      const promised = held.map(({ number, stored }) => {
        const pieces: number[] = []
        for (let i = 0; i < stored.pieceCount; i++) if (stored.have.has(i)) pieces.push(i)
        return `synced ${number} ${pieces.join(',')}`
      })
      await folder.sync()
      for (const line of promised) say(line)
    } else {
      const { sample, stored } = held[below(random, held.length)]!
      const piece = below(random, stored.pieceCount)
      if (stored.have.has(piece)) continue
      await stored.write(piece * PIECE_BYTES, pieceOf(sample, piece))
      stored.markHave(piece)
    }
  }
}

// Imported for `killSample`, or run as the program.
if (process.argv[1]?.endsWith('plain-files/kill-child.js')) {
  await work(process.argv[2]!, Number(process.argv[3]))
}
