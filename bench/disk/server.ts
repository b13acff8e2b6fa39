/**
 * The simulated disk, as a program: a folder with one file in it, whose every read and write takes as long as on a
 * disk that spins (src/block-device/disk-model.ts). A loop device over that file is the disk.
 *
 *   node server.js '{"folder", "backing", "sizeBytes", "queueDepth", "seed"}'
 *
 * Bytes go to the file `backing` when the request arrives; the answer goes out when the head is done with it. The
 * file lies in memory, or on a filesystem that is quicker than the disk: how long it took is told. It has no name any
 * more when the folder is mounted, so it is gone with this program. One thread sleeps until the next of both: a request, or the time of the one under the head.
 *
 * It says {"event": "serving"} when the folder is mounted. Each line on stdin is answered with one line:
 *
 *   {"do": "delay", "on"}  with or without the time of a disk      {"event": "delay"}
 *   {"do": "begin"}        a fresh disk: head, figures, log        {"event": "begun"}
 *   {"do": "stats"}        what it has done since                  {"event": "stats", ...DiskStats}
 *   {"do": "log", "path"}  writes its log there (disk-log.ts)      {"event": "log"}
 *
 * It ends when the folder is unmounted, and when stdin ends.
 */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  ftruncateSync,
  openSync,
  readSync,
  unlinkSync,
  writeFileSync,
  writeSync,
  writevSync,
} from 'node:fs'
import { setPriority } from 'node:os'
import { seededRandom, systemClock } from '../../src/base/index.ts'
import { DISK_7200, DiskModel } from '../../src/block-device/index.ts'
import type { DiskStats } from './disk-log.ts'
import {
  ANSWER_BYTES,
  REQUEST_BYTES,
  type Reaction,
  react,
  TRANSFER_BYTES,
  type Transfer,
  writeAnswer,
  writeAnswerHeader,
} from './fuse.ts'
import { DiskHead } from './head.ts'
import { Poll } from './poll.ts'

interface Task {
  readonly folder: string
  readonly backing: string
  readonly sizeBytes: number
  readonly queueDepth: number
  readonly seed: number
}

interface Pending {
  readonly kind: 'read' | 'write'
  readonly unique: bigint
  readonly offset: number
  readonly bytes: number
}

const STDIN = 0
const task = JSON.parse(process.argv[2]!) as Task
const now = (): number => systemClock.monotonicMs()
const say = (event: string, fields: object = {}): void => {
  writeSync(1, `${JSON.stringify({ event, ...fields })}\n`)
}

// A disk does not wait for a processor.
try {
  setPriority(-20)
} catch {
  say('warning', { message: 'no right to a priority of its own: the disk may be late' })
}

const backing = openSync(task.backing, 'w+')
ftruncateSync(backing, task.sizeBytes)
unlinkSync(task.backing)
const fuse = openSync('/dev/fuse', 'r+')
mount()

const request = Buffer.alloc(REQUEST_BYTES)
const readAnswer = Buffer.alloc(ANSWER_BYTES)
const readData = Buffer.alloc(TRANSFER_BYTES)
const poll = new Poll([fuse, STDIN])
let delayed = true
let disk = fresh()
let words = ''
say('serving')
serve()

function mount(): void {
  const options = `fd=3,rootmode=40000,user_id=0,group_id=0,max_read=${TRANSFER_BYTES}`
  const words = ['-i', '-t', 'fuse', '-o', options, 'seedbed-bench-disk', task.folder]
  const { status, stderr } = spawnSync('mount', words, { stdio: ['ignore', 'pipe', 'pipe', fuse] })
  if (status === 0) return
  say('failed', { message: String(stderr) })
  process.exit(1)
}

interface Disk {
  readonly model: DiskModel
  readonly head: DiskHead<Pending>
  /** Four numbers a request: milliseconds since the beginning, 0 read or 1 write, offset, bytes. */
  log: Float64Array
  logged: number
  readonly begunMs: number
  /** Writes that did not begin where the request before them had ended, and reads. */
  strokes: { read: number; write: number }
  longestQueue: number
  /** What reads and writes of `backing` took. */
  backingMs: number
}

function fresh(): Disk {
  const model = new DiskModel({ ...DISK_7200, sizeBytes: task.sizeBytes }, seededRandom(task.seed))
  const made: Disk = {
    model,
    head: new DiskHead(model, task.queueDepth),
    log: new Float64Array(4 * 65_536),
    logged: 0,
    begunMs: now(),
    strokes: { read: 0, write: 0 },
    longestQueue: 0,
    backingMs: 0,
  }
  made.head.onServed = ({ kind, offset, bytes }, startMs) => {
    if (offset !== model.head) made.strokes[kind]++
    if (made.logged + 4 > made.log.length) {
      const longer = new Float64Array(2 * made.log.length)
      longer.set(made.log)
      made.log = longer
    }
    const { log } = made
    log[made.logged++] = startMs - made.begunMs
    log[made.logged++] = kind === 'read' ? 0 : 1
    log[made.logged++] = offset
    log[made.logged++] = bytes
  }
  return made
}

function serve(): void {
  for (;;) {
    poll.wait(disk.head.dueMs - now())
    const arrivedMs = now()
    for (;;) {
      const done = disk.head.finish(now())
      if (done === undefined) break
      complete(done)
    }
    if (poll.ready(0) && !takeRequest(arrivedMs)) return
    if (poll.ready(1) && !takeWords()) return
  }
}

/** False when the folder was unmounted. */
function takeRequest(arrivedMs: number): boolean {
  let length: number
  try {
    length = readSync(fuse, request)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'EINTR' || code === 'EAGAIN'
  }
  const reaction: Reaction = react(request, length, task.sizeBytes)
  if (reaction === undefined) return true
  if (reaction.kind === 'answer') send(reaction.bytes)
  else transfer(reaction, arrivedMs)
  return true
}

function transfer({ kind, unique, offset, bytes, data }: Transfer, arrivedMs: number): void {
  if (data !== undefined) timed(() => writeSync(backing, data, 0, bytes, offset))
  const pending = { kind, unique, offset, bytes }
  if (!delayed) {
    complete(pending)
    return
  }
  disk.head.arrive(pending, arrivedMs)
  disk.longestQueue = Math.max(disk.longestQueue, disk.head.length)
}

function complete({ kind, unique, offset, bytes }: Pending): void {
  if (kind === 'write') {
    send(writeAnswer(unique, bytes))
    return
  }
  const data = readData.subarray(0, bytes)
  timed(() => readSync(backing, data, 0, bytes, offset))
  writeAnswerHeader(readAnswer, unique, 0, bytes)
  try {
    writevSync(fuse, [readAnswer, data])
  } catch (error) {
    forgive(error)
  }
}

function timed(action: () => void): void {
  const startMs = now()
  action()
  disk.backingMs += now() - startMs
}

function send(bytes: Buffer): void {
  try {
    writeSync(fuse, bytes)
  } catch (error) {
    forgive(error)
  }
}

/** Who asked may be gone by now, and so may be the mount; reading will tell. */
function forgive(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EINTR') throw error
}

/** False when stdin is at its end. */
function takeWords(): boolean {
  const bytes = Buffer.alloc(4096)
  const length = readSync(STDIN, bytes)
  if (length === 0) return false
  const lines = (words + bytes.toString('utf8', 0, length)).split('\n')
  words = lines.pop()!
  for (const line of lines) obey(JSON.parse(line) as Command)
  return true
}

type Command =
  | { readonly do: 'delay'; readonly on: boolean }
  | { readonly do: 'begin' }
  | { readonly do: 'stats' }
  | { readonly do: 'log'; readonly path: string }

function obey(command: Command): void {
  switch (command.do) {
    case 'delay':
      delayed = command.on
      if (!delayed) finishAll()
      say('delay')
      break
    case 'begin':
      disk = fresh()
      say('begun')
      break
    case 'stats':
      say('stats', stats())
      break
    case 'log':
      writeFileSync(command.path, new Uint8Array(disk.log.buffer, 0, 8 * disk.logged))
      say('log')
      break
  }
}

/** Nobody waits for a disk that takes no time. */
function finishAll(): void {
  for (;;) {
    const done = disk.head.finish(Number.POSITIVE_INFINITY)
    if (done === undefined) return
    complete(done)
  }
}

function stats(): DiskStats {
  const { model, strokes, longestQueue, backingMs, begunMs } = disk
  const { requests, writes, readBytes, writtenBytes, seeks, busyMs } = model
  return {
    elapsedMs: now() - begunMs,
    busyMs,
    requests,
    writes,
    readBytes,
    writtenBytes,
    seeks,
    readStrokes: strokes.read,
    writeStrokes: strokes.write,
    longestQueue,
    backingMs,
  }
}

closeSync(fuse)
