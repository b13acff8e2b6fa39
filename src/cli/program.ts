/** The command tree: one file a command. */
import { Command } from 'commander'
import { dfCommand } from './commands/df.ts'
import { exportCommand } from './commands/export.ts'
import { fsckCommand } from './commands/fsck.ts'
import { getCommand } from './commands/get.ts'
import { growCommand } from './commands/grow.ts'
import { infoCommand } from './commands/info.ts'
import { lsCommand } from './commands/ls.ts'
import { mkfsCommand } from './commands/mkfs.ts'
import { mvCommand } from './commands/mv.ts'
import { plotCommand } from './commands/plot.ts'
import { rmCommand } from './commands/rm.ts'
import { scrubCommand } from './commands/scrub.ts'
import { trackerCommand } from './commands/tracker.ts'
import { upCommand } from './commands/up.ts'
import { packageVersion } from './version.ts'

export function makeProgram(): Command {
  const program = new Command('seedbed')
    .description('BitTorrent distribution on bare disks and in little memory')
    .version(packageVersion())
    .showHelpAfterError('(seedbed --help tells more)')
  for (const command of [
    upCommand(),
    trackerCommand(),
    getCommand(),
    mkfsCommand(),
    lsCommand(),
    infoCommand(),
    dfCommand(),
    exportCommand(),
    mvCommand(),
    rmCommand(),
    fsckCommand(),
    scrubCommand(),
    growCommand(),
    plotCommand(),
  ]) {
    program.addCommand(command.copyInheritedSettings(program).exitOverride())
  }
  return program.exitOverride()
}
