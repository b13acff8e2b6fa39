/** The half of the hook `torrent approval` that answers: being on the list is what is wanted, or what is not. */
import type { AnnounceRequest } from '../announce-request.ts'
import { type Failure, failures } from '../failures.ts'
import type { Hook } from './hook.ts'
import type { InfoHashSet } from './info-hash-set.ts'

export class ListApproval implements Hook {
  readonly #set: InfoHashSet | undefined
  readonly #wanted: boolean

  constructor(set: InfoHashSet | undefined, wanted: boolean) {
    this.#set = set
    this.#wanted = wanted
  }

  /** Allocates nothing. */
  approve(request: AnnounceRequest): Failure | null {
    const listed = this.#set?.has(request.infoHash) ?? false
    return listed === this.#wanted ? null : failures.unapprovedTorrent
  }
}
