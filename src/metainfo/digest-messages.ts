/** What is said to a thread that digests pieces, and what it says: a batch at a time, since each message costs both sides. */
import type { PieceDigests, PieceRecipe } from './piece-digester.ts'

export interface ToDigestThread {
  /** Memory that jobs name from now on. */
  readonly memories: readonly { readonly id: number; readonly memory: SharedArrayBuffer }[]
  readonly jobs: readonly DigestJob[]
}

/** The next bytes of a task; one without a length forgets the task. */
export interface DigestJob {
  readonly task: number
  /** With the first bytes. */
  readonly recipe?: PieceRecipe | undefined
  readonly memory: number
  readonly from: number
  readonly length: number
  readonly isLast: boolean
}

/** One answer for each job that has a length, in their order; digests for the last of a task. */
export interface FromDigestThread {
  readonly answers: readonly { readonly task: number; readonly digests?: PieceDigests }[]
}
