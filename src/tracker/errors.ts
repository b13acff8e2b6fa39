/** The errors of the tracker that its owner may act on. What clients are told is in failures.ts. */
import { errnoOf, errorMaker, type SeedbedError } from '../base/index.ts'

export const trackerErrors = {
  TRACKER_PORT_TAKEN: 'Another process listens on the port of the tracker.',
  TRACKER_LISTEN_FAILED: 'The tracker could not listen on an address.',
  TRACKER_FRONT_END: 'The fast front end is asked for and cannot run here.',
  TRACKER_WORKER: 'A thread of the fast front end could not start.',
  TRACKER_HANDED_SOCKET: 'A socket that was handed in is none that the tracker can use.',
  TRACKER_INVALID_OPTION: 'An option of the tracker is outside its bounds.',
  TRACKER_CONFIG: 'The configuration of the tracker has mistakes; each is named with its place.',
  TRACKER_CONFIG_UNREADABLE: 'A file that the configuration of the tracker needs cannot be read.',
  TRACKER_TLS: 'The certificate and key for HTTPS cannot be used, or are not a pair.',
  TRACKER_LIST: 'A file of info-hashes or passkeys has a line that is none.',
  TRACKER_ACCOUNTING: 'The log of the accounting cannot be written.',
  TRACKER_STOPPING: 'The tracker is being stopped, and takes no other configuration.',
  TRACKER_JWK_SET: 'The keys for tokens (jwk_set_url) could not be fetched.',
} as const

export const trackerError: ReturnType<typeof errorMaker<typeof trackerErrors>> =
  errorMaker(trackerErrors)

export function unreadable(file: string, cause: unknown): SeedbedError {
  const why = errnoOf(cause) ?? (cause as Error).message
  return trackerError('TRACKER_CONFIG_UNREADABLE', `cannot read ${file}: ${why}`, {
    mend: 'Name a file that is there, and that the user of this process may read.',
    cause,
  })
}

export function unwritable(file: string, cause: unknown): SeedbedError {
  const why = errnoOf(cause) ?? String(cause)
  return trackerError('TRACKER_ACCOUNTING', `cannot write ${file}: ${why}`, {
    mend: 'Its folder must be there, and the user of this process be allowed to write in it.',
    cause,
  })
}
