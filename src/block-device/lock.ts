/**
 * One writer for an image file, by a lock that dies with its process.
 *
 * On Linux the lock is an abstract unix socket named after device and i-node of the file: the kernel
 * takes it away with the process, no stale file is left, and who asks is told the holder's pid and command.
 * Any local user could take the name first (which denies the mount, and harms nothing); and it is seen within
 * one network namespace only. So the open file is locked as well (`lockOpen`), which containers that share it
 * see. Elsewhere it is a file beside the image that holds both, and is taken over when that process is gone.
 *
 * Raw devices need none of this: O_EXCL is their lock. A loop device takes the lock of its image as well.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { delay, errnoOf, type SeedbedError, systemClock } from '../base/index.ts'
import { deviceError, systemError } from './errors.ts'
import { ownCommand, readableCommand } from './holder.ts'

export type Release = () => Promise<void>

/** How long the holder may take to say who it is; its event loop may be busy. */
const ASK_MS = 500
/** For how long somebody who seems to hold an image or device may turn out to be gone: half a second. */
export const LOCK_ATTEMPTS = 20
export const LOCK_PAUSE_MS = 25
const ANSWER_CHARACTERS = 1024

export async function lockImage(path: string, device: bigint, inode: bigint): Promise<Release> {
  return process.platform === 'linux'
    ? lockBySocket(path, `\0seedbed-image-${device}-${inode}`)
    : lockByFile(path)
}

/** What the holder of a lock says of itself: its pid, and in another line its command. */
function introduction(): string {
  return `process ${process.pid}\n${ownCommand()}`
}

/** `process PID (COMMAND)` of an introduction, undefined when it is none. */
function holderIn(said: string): string | undefined {
  const [first = '', ...rest] = said.split('\n')
  if (!/^process \d{1,10}$/.test(first)) return undefined
  const command = readableCommand(rest.join(' '))
  return command === '' ? first : `${first} (${command})`
}

function busy(path: string, holder: string): SeedbedError {
  return deviceError(
    'DEVICE_BUSY',
    `${path} is in use by ${holder === '' ? 'a process' : holder}`,
    {
      mend: 'Stop the other process; two writers would destroy the volume.',
    },
  )
}

async function lockBySocket(path: string, name: string): Promise<Release> {
  for (let attempt = 1; ; attempt++) {
    const release = await listen(path, name)
    if (release !== undefined) return release
    const holder = await askHolder(name)
    // A process that was killed may hold the name for a moment more, with nobody to answer.
    if (holder !== 'nobody' || attempt === LOCK_ATTEMPTS) {
      throw busy(path, holder === 'nobody' ? '' : holder)
    }
    await delay(systemClock, LOCK_PAUSE_MS)
  }
}

/** Undefined: somebody has the name. */
function listen(path: string, name: string): Promise<Release | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.end(introduction())
    })
    server.on('error', (error) => {
      if (errnoOf(error) === 'EADDRINUSE') resolve(undefined)
      else reject(systemError('lock', path, error))
    })
    server.listen({ path: name }, () => {
      server.unref()
      resolve(() => new Promise((released) => server.close(() => released())))
    })
  })
}

/** `process PID (COMMAND)`; empty when the holder is too busy to say; `nobody` when it went away instead. */
function askHolder(name: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    let late = false
    const socket = createConnection({ path: name })
    socket.setTimeout(ASK_MS, () => {
      late = true
      socket.destroy()
    })
    socket.on('data', (bytes) => {
      answer += bytes.toString()
      if (answer.length > ANSWER_CHARACTERS) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      resolve(holderIn(answer) ?? (late || answer !== '' ? '' : 'nobody'))
    })
  })
}

/**
 * As `lockImage` and `lockOpen`, of a file or folder at `path` that nobody has opened yet; of one that is not ours to read
 * by its name alone. `label` is for messages, and where there is no Linux its lock file is beside it.
 */
export async function lockUnopened(label: string, path: string): Promise<Release> {
  const { dev, ino } = statSync(path, { bigint: true })
  const release = await lockImage(label, dev, ino)
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch {
    return release
  }
  const both = async (): Promise<void> => {
    closeSync(fd)
    await release()
  }
  try {
    await lockOpen(label, fd)
    return both
  } catch (error) {
    await both()
    throw error
  }
}

/** What flock(1) ends with when somebody else has the lock. */
const FLOCK_TAKEN = 1

/**
 * Locks an open file or folder against all of this machine, until the descriptor is closed, here and in children that
 * were given it: by flock(1), for node has no call for it, and a child shares what is open. Where there is no flock, or the filesystem
 * knows none, nothing is locked. DEVICE_BUSY.
 */
export async function lockOpen(path: string, fd: number): Promise<void> {
  if (process.platform !== 'linux') return
  for (let attempt = 1; await isLockedElsewhere(fd); attempt++) {
    // A child of one that was killed may hold it for a moment more.
    if (attempt === LOCK_ATTEMPTS) {
      throw busy(
        path,
        'a process that cannot be asked: of another network namespace, such as a container',
      )
    }
    await delay(systemClock, LOCK_PAUSE_MS)
  }
}

function isLockedElsewhere(fd: number): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('flock', ['-n', '-x', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] })
    child.on('error', () => resolve(false))
    child.on('close', (code) => resolve(code === FLOCK_TAKEN))
  })
}

async function lockByFile(path: string): Promise<Release> {
  const lockPath = `${path}.lock`
  for (let attempt = 0; ; attempt++) {
    try {
      const fd = openSync(lockPath, 'wx')
      writeSync(fd, introduction())
      closeSync(fd)
      return async () => unlinkSync(lockPath)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw systemError('lock', lockPath, error)
      const said = readFileSync(lockPath, 'utf8').slice(0, ANSWER_CHARACTERS)
      const pid = /^process (\d{1,10})$/m.exec(said)?.[1]
      if (attempt > 0 || pid === undefined || isAlive(Number(pid))) {
        throw busy(path, holderIn(said) ?? '')
      }
      unlinkSync(lockPath)
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) !== 'ESRCH'
  }
}
