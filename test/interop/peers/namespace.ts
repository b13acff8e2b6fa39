/**
 * A network of its own, for peers that refuse 127.0.0.0/8 or speak to a group: a user and a network namespace with
 * addresses of their own. Needs no privilege where user namespaces are allowed.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Child } from './child.ts'

const execute = promisify(execFile)

/** How a command is started; `undefined` means as it is. */
export type Within = Namespace | undefined

export class Namespace {
  readonly #holder: Child

  private constructor(holder: Child) {
    this.#holder = holder
  }

  /** Further addresses of a loopback device. Undefined where the system does not allow it. */
  static open(addresses: readonly string[]): Promise<Namespace | undefined> {
    const adding = addresses.map((address) => `ip address add ${address}${own(address)} dev lo`)
    return Namespace.#hold(['ip link set lo up', ...adding])
  }

  /**
   * Addresses of an Ethernet, one network a family, which carries what is said to a group. Undefined where the system does not
   * allow it.
   */
  static openEthernet(addresses: readonly string[]): Promise<Namespace | undefined> {
    return Namespace.#hold([
      'ip link set lo up',
      'ip link add near type veth peer name far',
      'ip link set near up',
      'ip link set far up',
      ...addresses.map((address) => {
        // Without a look whether somebody else has it: it is there at once.
        const length = address.includes(':') ? '/64 nodad' : '/24'
        return `ip address add ${address}${length} dev near`
      }),
      'ip route add 224.0.0.0/4 dev near',
    ])
  }

  /** Another network, of the same user: interfaces can be moved between the two. */
  openBeside(): Promise<Namespace | undefined> {
    const enter = ['--user', '--preserve-credentials', `--target=${this.pid}`]
    return Namespace.#hold(['ip link set lo up'], [...enter, 'unshare', '--net'], 'nsenter')
  }

  static async #hold(
    making: readonly string[],
    by: readonly string[] = ['--user', '--map-root-user', '--net'],
    command = 'unshare',
  ): Promise<Namespace | undefined> {
    const steps = [...making, `echo '{"event":"ready"}'`, 'exec cat']
    const holder = new Child('namespace', command, [...by, 'sh', '-c', steps.join(' && ')])
    try {
      await holder.event('ready', 10_000)
    } catch {
      await holder.kill()
      return undefined
    }
    return new Namespace(holder)
  }

  get pid(): number {
    return this.#holder.pid!
  }

  /** Runs all of them inside; false when one fails. */
  async run(commands: readonly string[]): Promise<boolean> {
    return (await this.#inside(commands)) !== undefined
  }

  /** As `run`; what they printed. */
  async read(commands: readonly string[]): Promise<string> {
    const printed = await this.#inside(commands)
    if (printed === undefined) throw new Error(`failed: ${commands.join(' && ')}`)
    return printed
  }

  async #inside(commands: readonly string[]): Promise<string | undefined> {
    const [command, words] = this.wrap('sh', ['-c', commands.join(' && ')])
    try {
      return (await execute(command, words, { timeout: 60_000 })).stdout
    } catch {
      return undefined
    }
  }

  /** The command that runs `command` inside. */
  wrap(command: string, parameters: readonly string[]): [string, string[]] {
    const enter = ['--user', '--net', '--preserve-credentials', `--target=${this.#holder.pid}`]
    return ['nsenter', [...enter, command, ...parameters]]
  }

  async close(): Promise<void> {
    await this.#holder.kill()
  }
}

/** A network of that address alone. */
function own(address: string): string {
  return address.includes(':') ? '/128' : '/32'
}
