/** An announce between the protocols and the store: what was asked, and what is answered. */
import type { AddressFamily } from '../peer-store/index.ts'

export const EVENT_NONE = 0
export const EVENT_COMPLETED = 1
export const EVENT_STARTED = 2
export const EVENT_STOPPED = 3
/** The numbers of BEP 15. */
export type AnnounceEvent =
  | typeof EVENT_NONE
  | typeof EVENT_COMPLETED
  | typeof EVENT_STARTED
  | typeof EVENT_STOPPED

const NO_BYTES = new Uint8Array(0)

/** An announce out of its protocol; one object is filled again and again. */
export class AnnounceRequest {
  readonly infoHash: Uint8Array = new Uint8Array(20)
  /** 4 or 16 bytes, never IPv4-mapped. Replaced, not written to. */
  address: Uint8Array = new Uint8Array(4)
  port = 0
  readonly peerId: Uint8Array = new Uint8Array(20)
  /** What counts for the swarm is whether it is zero. */
  left = 0
  uploaded = 0
  downloaded = 0
  event: AnnounceEvent = EVENT_NONE
  /** Has what it wants and will download no more, though something is left (BEP 21). */
  paused = false
  /** Peers wanted; -1 when the client left it open. */
  wanted = -1
  /** The query that it came with, still escaped; valid while it is being answered. */
  parameters: Uint8Array = NO_BYTES
  parametersStart = 0
  parametersEnd = 0
  /** Bounds of the first parameter of its path, in the same bytes; start -1 when there is none. */
  passkeyStart = -1
  passkeyEnd = -1
  /** Whose passkey it is; set by the hook that knows. */
  owner = ''
}

/** The answer, apart from the peers, which are in the buffer that was given. */
export class AnnounceAnswer {
  intervalSeconds = 0
  minIntervalSeconds = 0
  seeders = 0
  leechers = 0
  family: AddressFamily = 4
  peers = 0
}
