/** uTP in the families that we listen in: one endpoint each, on the peer port. */
import type { Clock, Random } from '../../base/index.ts'
import type { DatagramSockets } from '../datagram-port.ts'
import type { PeerSocket } from '../network.ts'
import type { UtpConnection } from './connection.ts'
import { UtpEndpoint } from './endpoint.ts'

export interface UtpTools {
  readonly sockets: DatagramSockets
  readonly clock: Clock
  readonly random: Random
  /** Of each family, those included that take leave. */
  readonly maxConnections: number
  accept(socket: PeerSocket): void
}

export class Utp {
  readonly #endpoints = new Map<4 | 6, UtpEndpoint>()

  constructor({ sockets, clock, random, maxConnections, accept }: UtpTools) {
    for (const [family, socket] of sockets) {
      const options = { family, socket, clock, random, maxConnections, onAccept: accept }
      this.#endpoints.set(family, new UtpEndpoint(options))
    }
  }

  /** Begins a connection; undefined when there are too many, or we speak nothing of this family. */
  connect(host: string, port: number): UtpConnection | undefined {
    return this.#endpoints.get(host.includes(':') ? 6 : 4)?.connect(host, port)
  }

  /** Ends all connections, without a word. */
  stop(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.stop()
  }
}
