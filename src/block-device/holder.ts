/**
 * Who has a raw device in use, as far as Linux tells: the kernel says EBUSY and nothing else, but /proc and
 * /sys say what is mounted, stacked on top, or open. Only asked after a refusal.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** A command is shown up to here. */
const COMMAND_CHARACTERS = 160

/** The command line of this process, for whoever asks who holds something. */
export function ownCommand(): string {
  return readableCommand([process.argv0, ...process.argv.slice(1)].join(' '))
}

/** What another process said, or /proc says, of a command: in one line, without control characters. */
export function readableCommand(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()
  return line.length > COMMAND_CHARACTERS ? `${line.slice(0, COMMAND_CHARACTERS)}…` : line
}

/** Such as `is mounted at /mnt`, `is open in process 12 (dd of=…)`; undefined when nothing is to be found. */
export function stateOfDevice(rdev: number): string | undefined {
  if (process.platform !== 'linux') return undefined
  return mountOf(rdev) ?? swapOf(rdev) ?? stackOf(rdev) ?? openerOf(rdev)
}

/** Loop devices over the image file of that identity. */
export function loopsOver(device: bigint, inode: bigint): string[] {
  return entries('/sys/block')
    .filter((name) => {
      const path = text(`/sys/block/${name}/loop/backing_file`)
      return path !== undefined && isFile(path.trim(), device, inode)
    })
    .map((name) => `/dev/${name}`)
}

/** The image file beneath a loop device. */
export function imageBeneath(rdev: number): string | undefined {
  const path = text(`/sys/dev/block/${numbersOf(rdev)}/loop/backing_file`)?.trim()
  // Deleted ones are told with a remark behind the path.
  return path !== undefined && statOf(path)?.isFile() === true ? path : undefined
}

/** As the kernel writes it: `8:17`. */
export function numbersOf(rdev: number): string {
  return `${(rdev >>> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >>> 12) & 0xfff00)}`
}

function mountOf(rdev: number): string | undefined {
  const numbers = numbersOf(rdev)
  for (const line of (text('/proc/self/mountinfo') ?? '').split('\n')) {
    const fields = line.split(' ')
    if (fields[2] === numbers) return `is mounted at ${unescapeOctal(fields[4] ?? '')}`
  }
  return undefined
}

function swapOf(rdev: number): string | undefined {
  for (const line of (text('/proc/swaps') ?? '').split('\n').slice(1)) {
    const path = unescapeOctal(line.split(/\s/)[0] ?? '')
    if (path !== '' && statOf(path)?.rdev === rdev) return 'is in use as swap space'
  }
  return undefined
}

/** Device mapper, RAID and the like. */
function stackOf(rdev: number): string | undefined {
  const [holder] = entries(`/sys/dev/block/${numbersOf(rdev)}/holders`)
  if (holder === undefined) return undefined
  const name = text(`/sys/block/${holder}/dm/name`)?.trim()
  return `is part of ${name === undefined ? `/dev/${holder}` : `/dev/mapper/${name}`}`
}

/** The first process that has it open; one that may write before those that read. */
function openerOf(rdev: number): string | undefined {
  let reader: string | undefined
  for (const pid of entries('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const fd of entries(`/proc/${pid}/fd`)) {
      const path = join('/proc', pid, 'fd', fd)
      // Looking at the link first spares most of the work: few descriptors are devices.
      if (!linkOf(path)?.startsWith('/dev/')) continue
      const stats = statOf(path)
      if (stats?.isBlockDevice() !== true || stats.rdev !== rdev) continue
      const flags = /^flags:\s*([0-7]+)/m.exec(text(`/proc/${pid}/fdinfo/${fd}`) ?? '')?.[1] ?? '0'
      const command = readableCommand(text(`/proc/${pid}/cmdline`) ?? '')
      const who = `is open in process ${pid}${command === '' ? '' : ` (${command})`}`
      if ((Number.parseInt(flags, 8) & 3) !== 0) return who
      reader ??= who
    }
  }
  return reader
}

function isFile(path: string, device: bigint, inode: bigint): boolean {
  try {
    const stats = statSync(path, { bigint: true })
    return stats.dev === device && stats.ino === inode
  } catch {
    return false
  }
}

function unescapeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch {
    // Gone meanwhile, or not for us to see.
    return undefined
  }
}

const entries = (folder: string): string[] => attempt(() => readdirSync(realpathSync(folder))) ?? []
const text = (path: string): string | undefined => attempt(() => readFileSync(path, 'utf8'))
const linkOf = (path: string): string | undefined => attempt(() => readlinkSync(path))
const statOf = (path: string): ReturnType<typeof statSync> | undefined =>
  attempt(() => statSync(path))
