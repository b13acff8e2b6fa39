/** Both ways to serve, for tests that hold for each. */
import { describe } from 'node:test'
import { probeLibc } from '../../src/tracker/linux/libc.ts'

/** Defines the tests once for each front end; those of the fast one skip where it cannot be had. */
export function overFrontEnds(define: (frontEnd: 'fast' | 'portable') => void): void {
  const { reason } = probeLibc()
  describe('portable', () => define('portable'))
  const skip = reason === undefined ? false : `no fast path here: ${reason}`
  describe('fast', { skip }, () => define('fast'))
}

/** An environment that chooses the front end of a configuration. */
export function choosing(frontEnd: 'fast' | 'portable'): Readonly<Record<string, string>> {
  return { SEEDBED_TRACKER__FRONT_END: frontEnd }
}
