/**
 * Errors that a caller may act on.
 *
 * Every room declares its codes in one table (`errors.ts` of the room) and makes its errors through
 * that table, so the reference in docs/errors.md can be tested against the code. Codes are
 * stable; messages may change. Programming mistakes are not SeedbedErrors: they throw InvariantError
 * or TypeError, and are not to be caught.
 */

export interface ErrorDetails {
  /** What the user can do about it, as a sentence. */
  readonly mend?: string
  readonly cause?: unknown
}

export class SeedbedError extends Error {
  override readonly name = 'SeedbedError'
  /** Stable, upper case, prefixed by the room: `FS_FOREIGN`. */
  readonly code: string
  readonly mend: string | undefined

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.mend = details.mend
  }
}

/** Code to one sentence saying when it occurs. */
export type ErrorTable = Readonly<Record<string, string>>

export type ErrorMaker<Code extends string> = (
  code: Code,
  message: string,
  details?: ErrorDetails,
) => SeedbedError

/** A maker of errors that accepts only the codes of `table`. */
export function errorMaker<T extends ErrorTable>(_table: T): ErrorMaker<keyof T & string> {
  return (code, message, details) => new SeedbedError(code, message, details)
}

export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** Stays on in production: state that breaks an invariant must not be written or served. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/** The errno code (`EACCES`) of an error from node, if it has one. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
