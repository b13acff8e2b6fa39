/**
 * `passkey`: the private mode. Announces and scrapes come to a path with a key, `/:passkey/announce` (over UDP in the URL data of BEP 41),
 * and keys are in a file: one a line, with the name of its owner behind it if there is one.
 *
 *     # comment
 *     3f2b9c0d1e…   alice
 *
 * The file is looked at every few seconds; one with a mistake does not take the place of the keys before.
 */
import { readFile, stat } from 'node:fs/promises'
import { type Clock, errnoOf, type Logger } from '../../base/index.ts'
import type { AnnounceRequest } from '../announce-request.ts'
import { trackerError, unreadable } from '../errors.ts'
import type { Failure } from '../failures.ts'
import type { Hook } from './hook.ts'
import type { HookShare } from './hook-share.ts'
import { OwnerNaming } from './owner-naming.ts'
import { PasskeyTable } from './passkey-table.ts'

const LOOK_MS = 5000
const MAX_FILE_BYTES = 512 * 2 ** 20

export interface PasskeyOptions {
  readonly file: string
}

export class PasskeyApproval implements Hook {
  readonly #file: string
  readonly #clock: Clock
  readonly #logger: Logger
  #keys: PasskeyTable = PasskeyTable.of(new Map())
  #naming: OwnerNaming = new OwnerNaming(this.#keys)
  #changed = (): void => {}
  #stamp = ''
  #cancel = (): void => {}
  #stopped = false

  constructor({ file }: PasskeyOptions, clock: Clock, logger: Logger) {
    this.#file = file
    this.#clock = clock
    this.#logger = logger
  }

  approve(request: AnnounceRequest): Failure | null {
    return this.#naming.approve(request)
  }

  approveScrape(request: AnnounceRequest): Failure | null {
    return this.#naming.approveScrape(request)
  }

  share(): HookShare {
    return { name: 'passkey', keys: this.#keys.share }
  }

  watch(changed: () => void): void {
    this.#changed = changed
  }

  async start(): Promise<void> {
    await this.#load()
    this.#lookLater()
  }

  async refresh(): Promise<void> {
    try {
      if (await this.#load())
        this.#logger.info({ file: this.#file, keys: this.#keys.size }, 'passkeys loaded anew')
    } catch (error) {
      this.#logger.error(
        { file: this.#file, error: (error as Error).message },
        'passkeys not loaded: those before stay',
      )
    }
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** False when the file is as it was. */
  async #load(): Promise<boolean> {
    const found = await loadPasskeys(this.#file, this.#stamp)
    if (found === undefined) return false
    this.#keys = PasskeyTable.of(found.owners)
    this.#naming = new OwnerNaming(this.#keys)
    this.#stamp = found.stamp
    this.#changed()
    return true
  }

  #lookLater(): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.after(LOOK_MS, () => {
      void this.refresh().then(() => this.#lookLater())
    })
  }
}

/**
 * What the file holds; undefined when its stamp is `known`. Rejects with TRACKER_LIST (`file:line`), or
 * TRACKER_CONFIG_UNREADABLE.
 */
export async function loadPasskeys(
  file: string,
  known = '',
): Promise<{ readonly owners: ReadonlyMap<string, string>; readonly stamp: string } | undefined> {
  try {
    const { mtimeMs, size, ino } = await stat(file)
    const stamp = `${mtimeMs} ${size} ${ino}`
    if (stamp === known) return undefined
    if (size > MAX_FILE_BYTES) throw trackerError('TRACKER_LIST', `${file} has more than 512 MiB`)
    return { owners: parsePasskeys(await readFile(file, 'latin1'), file), stamp }
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined || errno.startsWith('TRACKER_')) throw error
    throw unreadable(file, error)
  }
}

/** Owners by their key; a key without a name is its own owner. Throws TRACKER_LIST with `file:line`. */
export function parsePasskeys(text: string, file: string): ReadonlyMap<string, string> {
  const owners = new Map<string, string>()
  for (const [i, line] of text.split('\n').entries()) {
    const [key = '', name, more] = line.trim().split(/\s+/)
    if (key === '' || key.startsWith('#')) continue
    const wrong = !/^[0-9A-Za-z_-]{8,128}$/.test(key)
      ? 'a key has 8 to 128 letters, digits, - and _'
      : more !== undefined || (name !== undefined && !/^[\x21-\x7e]{1,128}$/.test(name))
        ? 'a name is one word in ASCII'
        : owners.has(key)
          ? 'this key is there already'
          : undefined
    if (wrong !== undefined) throw trackerError('TRACKER_LIST', `${file}:${i + 1}: ${wrong}`)
    owners.set(key, name ?? key)
  }
  return owners
}
