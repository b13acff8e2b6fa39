/** What launch.cts runs: one place where errors become messages and exit statuses. */
import { CommanderError } from 'commander'
import { EXIT, exitCodeOf, FSCK_EXIT } from './exit-codes.ts'
import { Output } from './output.ts'
import { makeProgram } from './program.ts'

async function main(argv: readonly string[]): Promise<void> {
  try {
    const program = await makeProgram(argv[2])
    await program.parseAsync([...argv])
  } catch (error) {
    if (error instanceof CommanderError) {
      const usage = argv[2] === 'fsck' ? FSCK_EXIT.usage : EXIT.usage
      process.exitCode = error.exitCode === 0 ? EXIT.ok : usage
      return
    }
    new Output(argv.includes('--json')).error(error)
    process.exitCode = exitCodeOf(error)
  }
}

await main(process.argv)
