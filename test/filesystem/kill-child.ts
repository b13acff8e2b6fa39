/**
 * A program that works on a volume until it is killed: `node kill-child.js DEVICE SEED`. Says what it
 * is about to do and what it was promised, a line each, in the words of the marks of crash-harness.ts:
 * `creating N`, `created N`, `removing N`, `removed N`, `synced N PIECE,PIECE,...`. Lines are written
 * at once (a pipe is synchronous on Linux), so a kill loses none.
 */
import { below, seededRandom } from '../../src/base/index.ts'
import { openFileDevice } from '../../src/block-device/index.ts'
import { mountVolume, type StoredTorrent } from '../../src/filesystem/index.ts'
import { BLOCK, KIB, mountOptions, putPiece, type Sample, sample } from './support.ts'

const TORRENTS_MAX = 6

/** Torrent N of the work: some blocks, a ragged end, pieces across blocks. */
export function killSample(number: number): Sample {
  return sample(number, (1 + (number % 5)) * BLOCK + ((number * 37) % 1000), 24 * KIB)
}

interface Held {
  readonly number: number
  readonly from: Sample
  readonly stored: StoredTorrent
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function work(path: string, seed: number): Promise<void> {
  const random = seededRandom(seed)
  const volume = await mountVolume(await openFileDevice(path), mountOptions({ random }))
  const held: Held[] = []
  for (const stored of volume.torrents()) {
    const attributes = new TextDecoder().decode(await stored.readAttributes())
    const number = Number(/\d+$/.exec(attributes)?.[0])
    held.push({ number, from: killSample(number), stored })
  }
  let next = seed * 1000
  const any = (): Held | undefined => held[below(random, Math.max(1, held.length))]
  const add = (number: number, stored: StoredTorrent): void => {
    held.push({ number, from: killSample(number), stored })
    say(`created ${number}`)
  }
  const create = async (): Promise<void> => {
    const from = killSample(next)
    say(`creating ${next}`)
    add(next++, await volume.create(from, from.info, from.attributes))
  }
  const commit = async (): Promise<void> => {
    const from = killSample(next)
    const staged = volume.stage(from.totalBytes, from.pieceBytes)
    for (let at = 0; at < from.totalBytes; at += BLOCK) {
      await staged.write(at, from.bytes(at, Math.min(BLOCK, from.totalBytes - at)))
    }
    say(`creating ${next}`)
    add(next++, await staged.commit(from.infoHash, from.info, from.attributes))
  }
  const remove = async (): Promise<void> => {
    const { number, from } = held.splice(below(random, held.length), 1)[0]!
    say(`removing ${number}`)
    await volume.remove(from.infoHash)
    say(`removed ${number}`)
  }
  const write = async (): Promise<void> => {
    const one = any()
    if (one === undefined) return
    const piece = below(random, one.from.pieces)
    if (!one.stored.have.has(piece)) await putPiece(one.stored, one.from, piece)
    one.stored.uploadedBytes++
  }
  const sync = async (): Promise<void> => {
    const promised = held.map(({ number, stored }) => {
      const pieces: number[] = []
      for (let i = 0; i < stored.pieceCount; i++) if (stored.have.has(i)) pieces.push(i)
      return `synced ${number} ${pieces.join(',')}`
    })
    await volume.sync()
    for (const line of promised) say(line)
  }
  say('ready')
  for (;;) {
    const choice = below(random, 12)
    if (held.length < 2 || (choice === 0 && held.length < TORRENTS_MAX)) await create()
    else if (choice === 1 && held.length < TORRENTS_MAX) await commit()
    else if (choice === 2) await remove()
    else if (choice < 5) await Promise.all([sync(), write(), write()])
    else {
      await write()
      await write()
    }
  }
}

// Imported for `killSample`, or run as the program.
if (process.argv[1]?.endsWith('kill-child.js'))
  await work(process.argv[2]!, Number(process.argv[3]))
