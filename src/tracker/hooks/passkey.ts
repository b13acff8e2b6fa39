/**
 * `passkey`: the private mode. Announces and scrapes come to a path with a key, `/:passkey/announce` (over UDP in the URL data of BEP 41),
 * and keys are in a file: one a line, with the name of its owner behind it if there is one.
 *
 *     # comment
 *     3f2b9c0d1e…   alice
 *
 * The file is looked at every few seconds (watched-file.ts); one with a mistake does not take the place of the keys before.
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
import { WatchedFile } from './watched-file.ts'

const MAX_FILE_BYTES = 512 * 2 ** 20

export interface PasskeyOptions {
  readonly file: string
}

export class PasskeyApproval implements Hook {
  readonly #file: WatchedFile
  #keys: PasskeyTable = PasskeyTable.of(new Map())
  #naming: OwnerNaming = new OwnerNaming(this.#keys)
  #changed = (): void => {}

  constructor({ file }: PasskeyOptions, clock: Clock, logger: Logger) {
    const load = async (): Promise<object> => this.#take(await loadPasskeys(file))
    this.#file = new WatchedFile({ path: file, clock, logger, what: 'passkeys', load })
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

  start(): Promise<void> {
    return this.#file.start()
  }

  refresh(): Promise<string | undefined> {
    return this.#file.refresh()
  }

  stop(): void {
    this.#file.stop()
  }

  #take(owners: ReadonlyMap<string, string>): object {
    this.#keys = PasskeyTable.of(owners)
    this.#naming = new OwnerNaming(this.#keys)
    this.#changed()
    return { keys: this.#keys.size }
  }
}

/** Owners by their key, of a file. Rejects with TRACKER_LIST (`file:line`), or TRACKER_CONFIG_UNREADABLE. */
export async function loadPasskeys(file: string): Promise<ReadonlyMap<string, string>> {
  try {
    const { size } = await stat(file)
    if (size > MAX_FILE_BYTES) throw trackerError('TRACKER_LIST', `${file} has more than 512 MiB`)
    return parsePasskeys(await readFile(file, 'latin1'), file)
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
