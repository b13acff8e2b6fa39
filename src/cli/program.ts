/** The command tree: one file a command. */
import { Command } from 'commander'
import { packageVersion } from './version.ts'

/** In the order of the help. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import('./commands/up.ts')).upCommand(),
  tracker: async () => (await import('./commands/tracker.ts')).trackerCommand(),
  get: async () => (await import('./commands/get.ts')).getCommand(),
  mkfs: async () => (await import('./commands/mkfs.ts')).mkfsCommand(),
  ls: async () => (await import('./commands/ls.ts')).lsCommand(),
  info: async () => (await import('./commands/info.ts')).infoCommand(),
  df: async () => (await import('./commands/df.ts')).dfCommand(),
  export: async () => (await import('./commands/export.ts')).exportCommand(),
  mv: async () => (await import('./commands/mv.ts')).mvCommand(),
  rm: async () => (await import('./commands/rm.ts')).rmCommand(),
  fsck: async () => (await import('./commands/fsck.ts')).fsckCommand(),
  scrub: async () => (await import('./commands/scrub.ts')).scrubCommand(),
  grow: async () => (await import('./commands/grow.ts')).growCommand(),
  plot: async () => (await import('./commands/plot.ts')).plotCommand(),
}

/** The program, with the command of that name alone where there is one: a tracker need not load what disks are served with. */
export async function makeProgram(name: string = ''): Promise<Command> {
  const program = new Command('seedbed')
    .description('BitTorrent distribution on bare disks and in little memory')
    .version(packageVersion())
    .showHelpAfterError('(seedbed --help tells more)')
  const wanted = Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]!] : Object.values(COMMANDS)
  for (const load of wanted) {
    const command = await load()
    program.addCommand(command.copyInheritedSettings(program).exitOverride())
  }
  return program.exitOverride()
}
