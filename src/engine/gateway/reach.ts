/**
 * Under which ports others reach us: the one that we listen on, but where a gateway gives it another number outside.
 *
 * Invariant: whoever is on a network of ours is told the inner port, all others that of the family in which they are told.
 */
import { isLocal } from '../local-address.ts'

export interface OuterPorts {
  readonly tcp: number | undefined
  readonly udp: number | undefined
}

export class Reach {
  /** That we listen on. */
  readonly innerPort: number
  readonly #outer = new Map<4 | 6, OuterPorts>()

  constructor(innerPort: number) {
    this.innerPort = innerPort
  }

  /** False when they were these already. */
  learn(family: 4 | 6, { tcp, udp }: OuterPorts): boolean {
    const before = { ...this.#outer.get(family) }
    this.#outer.set(family, { tcp, udp })
    return (before.tcp ?? this.innerPort) !== (tcp ?? this.innerPort)
  }

  /** For whoever has this address; or for a host of this name when it is asked over that family. */
  tcpPort(host: string, family: 4 | 6 = host.includes(':') ? 6 : 4): number {
    return (isLocal(host) ? undefined : this.#outer.get(family)?.tcp) ?? this.innerPort
  }

  /** As `tcpPort`, of UDP. */
  udpPort(host: string): number {
    const outer = this.#outer.get(host.includes(':') ? 6 : 4)
    return (isLocal(host) ? undefined : outer?.udp) ?? this.innerPort
  }
}
