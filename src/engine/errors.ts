/** The engine's errors. */
import { errorMaker, SeedbedError } from '../base/index.ts'

export const engineErrors = {
  ENGINE_PORT_TAKEN: 'The peer port is in use by another process.',
  ENGINE_LISTEN_FAILED: 'The peer port could not be opened on one of the addresses.',
  ENGINE_NO_FAMILY: 'The machine has no IPv6.',
  ENGINE_PROTOCOL:
    'A peer sent bytes that are not the BitTorrent protocol; its connection is closed.',
  ENGINE_TRACKER_FAILED:
    'A tracker refused, did not answer, or answered something that is no reply.',
  ENGINE_HTTP_FAILED: 'An HTTP request failed, took too long, or its answer was too large.',
  ENGINE_CACHE_SMALL: 'The download cache holds not even one block of the volume.',
  ENGINE_BAD_METADATA: 'The info dictionary that peers sent for a magnet is no valid torrent.',
  ENGINE_NO_METADATA: 'The info dictionary of a magnet has not arrived yet.',
  ENGINE_SKIPPED: 'What is to be read of a torrent is not wanted: its files are skipped.',
  ENGINE_EXISTS: 'The torrent is in the engine already.',
  ENGINE_STOPPED: 'The engine has been stopped.',
  ENGINE_RESOLVE_FAILED: 'A host name has no address.',
  ENGINE_UTP_FAILED: 'A connection over uTP was refused, reset, or not answered.',
  ENGINE_TORN: 'The v1 and v2 hashes of a hybrid torrent are of different content.',
} as const

export const engineError: ReturnType<typeof errorMaker<typeof engineErrors>> =
  errorMaker(engineErrors)

/** What a peer did wrong, as it is counted (misdeeds.ts). */
export type PeerMisdeed = 'malformed' | 'oversized' | 'floods' | 'stalls' | 'slowHandshakes'

/** ENGINE_PROTOCOL. */
export class PeerError extends SeedbedError {
  readonly misdeed: PeerMisdeed

  constructor(message: string, misdeed: PeerMisdeed) {
    super('ENGINE_PROTOCOL', message)
    this.misdeed = misdeed
  }
}

/** A peer said what the protocol does not allow: thrown out of its message, it ends the connection. */
export function protocolError(message: string, misdeed: PeerMisdeed = 'malformed'): PeerError {
  return new PeerError(message, misdeed)
}
