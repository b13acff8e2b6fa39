/**
 * A network of its own, for peers that refuse 127.0.0.0/8: a user and a network namespace that hold
 * a loopback device with further addresses. Needs no privilege where user namespaces are allowed.
 */
import { Child } from './child.ts'

/** How a command is started; `undefined` means as it is. */
export type Within = Namespace | undefined

export class Namespace {
  readonly #holder: Child

  private constructor(holder: Child) {
    this.#holder = holder
  }

  /** Undefined where the system does not allow it. */
  static async open(addresses: readonly string[]): Promise<Namespace | undefined> {
    const adding = addresses.map((address) => `ip address add ${address}/32 dev lo`)
    const steps = ['ip link set lo up', ...adding, `echo '{"event":"ready"}'`, 'exec cat']
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
