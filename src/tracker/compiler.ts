/**
 * An answer is some fifty small functions one in the other. V8 stops putting them into each other after 920 bytes of bytecode, and the
 * calls that are left cost a fifth of an answer. The flags are of the process: other code gets a little more of the same.
 */
import { setFlagsFromString } from 'node:v8'

const FLAGS = ['--max-inlined-bytecode-size=1000', '--max-inlined-bytecode-size-cumulative=3000']

/** For a process that is a tracker before all else. */
export function inlineMore(): void {
  for (const flag of FLAGS) setFlagsFromString(flag)
}
