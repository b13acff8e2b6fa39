/** The half of the hook `passkey` that answers: whose key is in the path. */
import type { AnnounceRequest } from '../announce-request.ts'
import { type Failure, failures } from '../failures.ts'
import type { Hook } from './hook.ts'
import type { PasskeyTable } from './passkey-table.ts'

export class OwnerNaming implements Hook {
  readonly #keys: PasskeyTable

  constructor(keys: PasskeyTable) {
    this.#keys = keys
  }

  /** Names the owner in the request, for hooks behind. */
  approve(request: AnnounceRequest): Failure | null {
    const { parameters, passkeyStart, passkeyEnd } = request
    if (passkeyStart < 0) return failures.missingPasskey
    const owner = this.#keys.ownerOf(parameters, passkeyStart, passkeyEnd)
    if (owner === undefined) return failures.invalidPasskey
    request.owner = owner
    return null
  }

  approveScrape(request: AnnounceRequest): Failure | null {
    return this.approve(request)
  }
}
