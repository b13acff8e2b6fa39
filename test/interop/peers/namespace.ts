/**
 * A network of its own, for peers that refuse 127.0.0.0/8 or speak to a group: a user and a network namespace with
 * addresses of their own. Needs no privilege where user namespaces are allowed.
 */
import { Child } from './child.ts'

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

  static async #hold(making: readonly string[]): Promise<Namespace | undefined> {
    const steps = [...making, `echo '{"event":"ready"}'`, 'exec cat']
    const holder = new Child('namespace', 'unshare', [
      '--user',
      '--map-root-user',
      '--net',
      'sh',
      '-c',
      steps.join(' && '),
    ])
    try {
      await holder.event('ready', 10_000)
    } catch {
      await holder.kill()
      return undefined
    }
    return new Namespace(holder)
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
