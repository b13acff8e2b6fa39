/**
 * The files that a configuration names, read as the start reads them: certificate and key of `https_addr`, lists of torrents, passkeys.
 * Nothing is changed, nothing is kept; of the log of the accounting it is asked whether it could be written. Key sets are not fetched:
 * who checks a configuration may sit elsewhere.
 */
import { access, constants, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoOf } from '../../base/index.ts'
import { readCertificate } from '../certificate.ts'
import { unwritable } from '../errors.ts'
import { loadInfoHashFile } from '../hooks/info-hash-file.ts'
import { loadPasskeys } from '../hooks/passkey.ts'
import type { HookConfig } from './hook-settings.ts'
import { type LoadedConfig, mistakes, readText } from './load.ts'

/** Rejects with TRACKER_CONFIG, a line for each file that does not serve: `place: key: what is wrong with it`. */
export async function checkNamedFiles(loaded: LoadedConfig): Promise<void> {
  const problems = [...certificateProblems(loaded)]
  const { prehooks, posthooks } = loaded.config
  for (const [list, hooks] of Object.entries({ prehooks, posthooks })) {
    for (const [i, hook] of hooks.entries()) {
      for (const [key, read] of readersOf(hook)) {
        const what = await whatRejects(read)
        if (what === undefined) continue
        // `config` is what older versions of chihaya call the options.
        const above = loaded.placeOf(list, i)
        const place = [
          loaded.placeOf(list, i, 'options', key),
          loaded.placeOf(list, i, 'config', key),
        ]
        const at = place.find((one) => one !== above) ?? above
        problems.push(`${at}: ${loaded.root}.${list}: ${hook.name}.${key}: ${what}`)
      }
    }
  }
  if (problems.length === 0) return
  throw mistakes(
    problems,
    'Name files that are there, that the user of the tracker may read, and that hold what the key is for.',
  )
}

function certificateProblems({ config, root, placeOf }: LoadedConfig): readonly string[] {
  const { httpsAddr, tlsCertPath, tlsKeyPath } = config.http
  if (httpsAddr.length === 0) return []
  const problems: string[] = []
  const report = (key: string, what: string): void => {
    problems.push(`${placeOf('http', key)}: ${root}.http.${key}: ${what}`)
  }
  const textOf = (key: string, path: string): string | undefined => {
    try {
      return readText(path)
    } catch (error) {
      report(key, (error as Error).message)
      return undefined
    }
  }
  const cert = textOf('tls_cert_path', tlsCertPath)
  const key = textOf('tls_key_path', tlsKeyPath)
  if (cert === undefined || key === undefined) return problems
  const read = readCertificate({ cert, key })
  if (!('why' in read)) return problems
  if (read.of === 'cert') report('tls_cert_path', `${tlsCertPath}: ${read.why}`)
  else report('tls_key_path', `${tlsKeyPath}: ${read.why}`)
  return problems
}

/** What each key of a hook that names a file is read by. */
function readersOf(hook: HookConfig): readonly (readonly [string, () => Promise<unknown>])[] {
  switch (hook.name) {
    case 'torrent approval': {
      const { whitelistFile, blacklistFile } = hook.options
      return [
        ['whitelist_file', whitelistFile],
        ['blacklist_file', blacklistFile],
      ].flatMap(([key, file]) => (file === '' ? [] : [[key!, () => loadInfoHashFile(file!)]]))
    }
    case 'passkey':
      return [['file', () => loadPasskeys(hook.options.file)]]
    case 'accounting':
      return [['file', () => couldAppendTo(hook.options.file)]]
    default:
      return []
  }
}

async function whatRejects(read: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await read()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** Makes no file: where there is none, its folder is asked. Does not wait for the reader of a pipe. */
async function couldAppendTo(path: string): Promise<void> {
  try {
    const file = await open(
      path,
      constants.O_WRONLY | constants.O_APPEND | (constants.O_NONBLOCK ?? 0),
    )
    await file.close()
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw unwritable(path, error)
    await access(dirname(path), constants.W_OK).catch((cause: unknown) => {
      throw unwritable(path, cause)
    })
  }
}
