/**
 * Hooks in front ends of other threads. The hook itself stays in the main thread: it reads files, fetches keys, writes logs. What it
 * shares is data, lists of it in shared memory; here that becomes the half of the hook that answers, with the same behaviour.
 *
 * When what a hook knows changes, it is shared anew and takes the place of what was before between two requests.
 */
import type { Clock, Random } from '../../base/index.ts'
import { AccountingRing } from './accounting-ring.ts'
import { ClientApproval } from './client-approval.ts'
import type { Hook } from './hook.ts'
import type { HookShare } from './hook-share.ts'
import { InfoHashSet } from './info-hash-set.ts'
import { IntervalVariation } from './interval-variation.ts'
import { JwtVerifier } from './jwt-verifier.ts'
import { ListApproval } from './list-approval.ts'
import { OwnerNaming } from './owner-naming.ts'
import { PasskeyTable } from './passkey-table.ts'

export function openHook(share: HookShare, clock: Clock, random: Random): Hook {
  switch (share.name) {
    case 'jwt':
      return new JwtVerifier(share.claims, share.keys, clock)
    case 'client approval':
      return new ClientApproval(share.options)
    case 'torrent approval':
      return new ListApproval(InfoHashSet.open(share.list), share.wanted)
    case 'passkey':
      return new OwnerNaming(new PasskeyTable(share.keys))
    case 'accounting': {
      const ring = new AccountingRing(share.ring)
      return { observe: (request) => ring.push(request, clock.wallMs()) }
    }
    case 'interval variation':
      return new IntervalVariation(share.options, random)
  }
}
