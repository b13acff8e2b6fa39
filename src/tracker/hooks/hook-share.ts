/**
 * What hooks share with front ends of other threads: data, and lists in shared memory. open-hook.ts makes of it the half of a hook
 * that answers.
 */
import type { InfoHashSetShare } from './info-hash-set.ts'
import type { SigningKey } from './jwk-set.ts'
import type { PasskeyTableShare } from './passkey-table.ts'

/** What a token must say. */
export interface JwtClaims {
  readonly issuer: string
  readonly audience: string
}

export interface ClientApprovalOptions {
  /** Six characters each. At most one list is given. */
  readonly whitelist: readonly string[]
  readonly blacklist: readonly string[]
}

export interface IntervalVariationOptions {
  /** Above 0, at most 1. */
  readonly probability: number
  readonly maxIncreaseSeconds: number
  readonly modifyMinInterval: boolean
}

/** May be posted. */
export type HookShare =
  | {
      readonly name: 'jwt'
      readonly claims: JwtClaims
      readonly keys: ReadonlyMap<string, SigningKey>
    }
  | { readonly name: 'client approval'; readonly options: ClientApprovalOptions }
  | { readonly name: 'torrent approval'; readonly wanted: boolean; readonly list: InfoHashSetShare }
  | { readonly name: 'passkey'; readonly keys: PasskeyTableShare }
  | { readonly name: 'accounting'; readonly ring: SharedArrayBuffer }
  | { readonly name: 'interval variation'; readonly options: IntervalVariationOptions }
