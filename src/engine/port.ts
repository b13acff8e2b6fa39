/**
 * The port that peers reach: one number, TCP and UDP; and who says where it is to those who do not know us.
 *
 * ```
 * TCP        connections of peers                             -> accept
 * UDP        uTP, connections of peers            -> accept
 *            the DHT (datagram-port.ts)           -> found
 * beside it  local discovery (BEP 14)             -> found
 *            the mapping of it in gateways        -> moved
 * ```
 *
 * Invariants:
 * - UDP, where it is wanted, has the number of TCP; what cannot be opened leaves nothing open.
 * - After `shut` nobody is let in or told of us; what came by uTP lives until `close`, and after that no socket is left.
 */
import { SeedbedError } from '../base/index.ts'
import { type DatagramSockets, openDatagrams, shareDatagrams } from './datagram-port.ts'
import { Dht } from './dht/dht.ts'
import { PortMapping } from './gateway/port-mapping.ts'
import type { GatewayStatus, PortMappingStatus } from './gateway/types.ts'
import { LocalDiscovery } from './local/local-discovery.ts'
import type { PeerListener, PeerSocket } from './network.ts'
import type { EngineOptions } from './types.ts'
import { Utp } from './utp/utp.ts'

const NO_MAPPING: PortMappingStatus = { off: 'it is not asked for', gateways: [] }
/** Port 0: a port that is free for TCP may be taken for UDP. */
const MAX_TRIES = 16

export type PortOptions = Pick<
  EngineOptions,
  | 'network'
  | 'clock'
  | 'random'
  | 'logger'
  | 'bind'
  | 'peerPort'
  | 'maxConnections'
  | 'utp'
  | 'dht'
  | 'lsd'
  | 'portMapping'
>

/** Who hears of what comes through the port. */
export interface PortHost {
  accept(socket: PeerSocket): void
  /** Somebody says that it is in the swarm of that info-hash. */
  found(infoHash: Uint8Array, peer: { readonly host: string; readonly port: number }): void
}

export class Port {
  readonly #options: PortOptions
  readonly #host: PortHost
  #listener: PeerListener | undefined
  #datagrams: DatagramSockets = new Map()
  #utp: Utp | undefined
  #dht: Dht | undefined
  #local: LocalDiscovery | undefined
  #mapping: PortMapping | undefined

  private constructor(options: PortOptions, host: PortHost) {
    this.#options = options
    this.#host = host
  }

  /** Rejects with ENGINE_PORT_TAKEN, ENGINE_LISTEN_FAILED. */
  static async open(options: PortOptions, host: PortHost): Promise<Port> {
    const port = new Port(options, host)
    try {
      await port.#listen()
      port.#share()
      if (options.lsd === true) port.#local = await port.#openLocal()
      return port
    } catch (error) {
      port.close()
      await port.#listener?.close()
      throw error
    }
  }

  get number(): number {
    return this.#listener!.port
  }

  get utp(): Utp | undefined {
    return this.#utp
  }

  get dht(): Dht | undefined {
    return this.#dht
  }

  get local(): LocalDiscovery | undefined {
    return this.#local
  }

  get mapping(): PortMappingStatus {
    return this.#mapping?.status() ?? NO_MAPPING
  }

  /** TCP, and UDP where somebody wants it. */
  async #listen(): Promise<void> {
    const { network, bind, peerPort, logger, utp = 'off', dht } = this.#options
    for (let tries = 1; ; tries++) {
      const listener = await network.listen(bind, peerPort, (socket) => this.#host.accept(socket))
      this.#listener = listener
      if (utp === 'off' && dht === undefined) return
      try {
        this.#datagrams = await openDatagrams(network, bind, listener.port, logger)
        return
      } catch (error) {
        const isTaken = error instanceof SeedbedError && error.code === 'ENGINE_PORT_TAKEN'
        if (!isTaken || peerPort !== 0 || tries === MAX_TRIES) throw error
        await listener.close()
      }
    }
  }

  #share(): void {
    const { clock, random, maxConnections, utp = 'off', dht } = this.#options
    if (utp === 'off' && dht === undefined) return
    const sides = shareDatagrams(this.#datagrams)
    if (dht !== undefined) {
      const onAnnounced = this.#host.found.bind(this.#host)
      this.#dht = Dht.open({ ...this.#options, onAnnounced }, sides.dht, dht)
    }
    if (utp !== 'off') {
      const accept = (socket: PeerSocket): void => this.#host.accept(socket)
      this.#utp = new Utp({ sockets: sides.utp, clock, random, maxConnections, accept })
    }
  }

  #openLocal(): Promise<LocalDiscovery> {
    const onPeer = this.#host.found.bind(this.#host)
    return LocalDiscovery.open({ ...this.#options, onPeer }, this.#options.bind, this.number)
  }

  /** Has gateways let others in, if that is wanted; `onMoved` hears where, undefined: nowhere any more. */
  map(onMoved: (family: 4 | 6, status: GatewayStatus | undefined) => void): void {
    const { portMapping } = this.#options
    if (portMapping === undefined) return
    const hasUdp = this.#datagrams.size > 0
    const tools = { ...this.#options, port: this.number, hasUdp, onMoved }
    this.#mapping = new PortMapping(tools, portMapping)
    this.#mapping.start()
  }

  /** Resolves when gateways have been told, and nobody can connect by TCP. */
  async shut(): Promise<void> {
    this.#dht?.stop()
    this.#local?.stop()
    const released = this.#mapping?.stop()
    await this.#listener?.close()
    await released
  }

  close(): void {
    this.#dht?.stop()
    this.#utp?.stop()
    for (const socket of this.#datagrams.values()) socket.close()
  }
}
