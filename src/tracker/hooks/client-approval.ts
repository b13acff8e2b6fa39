/**
 * `client approval`: only clients of a list, or all but those. A client is named by six bytes of its peer id: those behind the dash
 * (`-TR3000-…` is TR3000), or the first six.
 */
import type { AnnounceRequest } from '../announce-request.ts'
import { type Failure, failures } from '../failures.ts'
import type { Hook } from './hook.ts'
import type { ClientApprovalOptions, HookShare } from './hook-share.ts'

const DASH = 0x2d

export class ClientApproval implements Hook {
  readonly #clients: readonly Uint8Array[]
  readonly #wanted: boolean
  readonly #options: ClientApprovalOptions

  constructor(options: ClientApprovalOptions) {
    const { whitelist, blacklist } = options
    this.#options = options
    this.#wanted = whitelist.length > 0
    this.#clients = [...whitelist, ...blacklist].map(
      (id) => new Uint8Array(Buffer.from(id, 'latin1')),
    )
  }

  share(): HookShare {
    return { name: 'client approval', options: this.#options }
  }

  approve({ peerId }: AnnounceRequest): Failure | null {
    const from = peerId[0] === DASH ? 1 : 0
    let listed = false
    for (let n = 0; n < this.#clients.length && !listed; n++) {
      const client = this.#clients[n]!
      let i = 0
      while (i < client.length && client[i] === peerId[from + i]) i++
      listed = i === client.length
    }
    return listed === this.#wanted ? null : failures.unapprovedClient
  }
}
