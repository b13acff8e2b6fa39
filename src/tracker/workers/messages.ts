/**
 * What the main thread and the workers of the fast path tell each other.
 *
 *     main → worker   at its start: WorkerStart    then ToWorker, each followed by a wake-up
 *     worker → main   FromWorker
 *
 * All of it can be posted: plain data, and memory that is shared.
 */
import type { PeerStoreHandle } from '../../peer-store/index.ts'
import type { ConnectionIdShare } from '../connection-id.ts'
import type { HookShare } from '../hooks/hook-share.ts'
import type { HttpOptions, TrackerPolicy } from '../options.ts'
import type { RateLimiterShare } from '../rate-limiter.ts'

/** A descriptor that a worker serves; the main thread opened it and will close it. */
export interface WorkerSocket {
  readonly protocol: 'udp' | 'tcp'
  readonly fd: number
  readonly family: 4 | 6
}

/** By what a worker answers; replaced as a whole. */
export interface WorkerSettings {
  /** Hooks and certificates are not for posting. */
  readonly policy: Omit<TrackerPolicy, 'hooks' | 'http'> & {
    readonly http?: Omit<HttpOptions, 'tls'>
  }
  readonly hooks: readonly HookShare[]
  readonly limiter: RateLimiterShare | null
}

export interface WorkerStart {
  readonly store: PeerStoreHandle
  /** Its block of counters (counters.ts), which a successor goes on with. */
  readonly counters: SharedArrayBuffer
  readonly connectionIds: ConnectionIdShare
  readonly sockets: readonly WorkerSocket[]
  /** It waits on this one too; the main thread writes to it. */
  readonly wakeFd: number
  /** Of the main thread's clock (clockOriginMs). */
  readonly originMs: number
  readonly version: number
  readonly settings: WorkerSettings
  /** Where connections live that ask to go on as WebSocket; `off`: they are answered as any. */
  readonly signalling: 'here' | 'elsewhere' | 'off'
}

/**
 * An open descriptor, the receiver's from now on, that asks for WebSocket; who is at its other end, and what has been read from its request on.
 */
export interface LiveConnection {
  readonly kind: 'connection'
  readonly fd: number
  readonly remote: Uint8Array
  readonly bytes: Uint8Array
}

/** A connection goes to the worker that does the signalling. */
export type ToWorker =
  | LiveConnection
  | { readonly kind: 'settings'; readonly version: number; readonly settings: WorkerSettings }
  | { readonly kind: 'stop' }

/**
 * `settled`: from now on it answers by the settings of that version; the first says that it runs. A connection comes from a worker that does
 * not do the signalling.
 */
export type FromWorker = LiveConnection | { readonly kind: 'settled'; readonly version: number }
