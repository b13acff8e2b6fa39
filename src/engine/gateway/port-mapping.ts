/**
 * The peer port in the gateways of this machine: which there are is looked at again and again, since a laptop moves and addresses of
 * IPv6 come and go; each is asked by a client of its own.
 *
 * Invariants: at most one client for each pair of a gateway and an address of ours; after `stop` has settled no timer and no socket
 * is left.
 */
import type { Clock, Logger, Random } from '../../base/index.ts'
import type { Gateway, MulticastSocket, Network } from '../network.ts'
import { GatewayClient } from './client.ts'
import { parseNatPmp } from './nat-pmp.ts'
import { parsePcp } from './pcp.ts'
import { type GatewayStatus, type PortMappingStatus, TransportNumber } from './types.ts'

/** Where gateways tell everybody that they have begun anew (both RFCs). */
export const ANNOUNCE_PORT = 5350
export const ANNOUNCE_GROUPS: Readonly<Record<4 | 6, string>> = { 4: '224.0.0.1', 6: 'ff02::1' }
const LOOK_MS = 60_000

export interface PortMappingOptions {
  /** The gateway's address, in place of what the routes say. */
  readonly gateway?: string
  /** What is known of one gateway has changed. */
  onChange?(status: GatewayStatus): void
}

export interface PortMappingTools {
  readonly network: Pick<Network, 'datagram' | 'gateways' | 'openMulticast'>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly bind: readonly string[]
  readonly port: number
  /** The same port is open over UDP. */
  readonly hasUdp: boolean
  /** What the first gateway of a family says has changed; undefined: there is none any more. */
  onMoved(family: 4 | 6, status: GatewayStatus | undefined): void
}

export class PortMapping {
  readonly #tools: PortMappingTools
  readonly #options: PortMappingOptions
  readonly #clients = new Map<string, GatewayClient>()
  readonly #ears = new Map<4 | 6, MulticastSocket>()
  /** Those that are taking leave. */
  readonly #leaving = new Set<Promise<void>>()
  #off: string | undefined = 'the gateways are being looked for'
  #looking: Promise<void> | undefined
  #cancelTimer = (): void => {}
  #isOver = false

  constructor(tools: PortMappingTools, options: PortMappingOptions) {
    this.#tools = tools
    this.#options = options
  }

  start(): void {
    this.#looking = this.#look()
  }

  async stop(): Promise<void> {
    this.#isOver = true
    this.#cancelTimer()
    await this.#looking
    for (const ear of this.#ears.values()) ear.close()
    for (const client of this.#clients.values()) this.#leave(client)
    await Promise.all(this.#leaving)
  }

  status(): PortMappingStatus {
    const gateways = Array.from(this.#clients.values(), (client) => client.status())
    return { off: this.#off ?? null, gateways }
  }

  async #look(): Promise<void> {
    const { network, bind, clock, logger } = this.#tools
    const { gateway: named } = this.#options
    const { gateways, lack } = await network.gateways(bind, named)
    if (this.#isOver) return
    if (lack !== undefined && lack !== this.#off) {
      const level = named === undefined ? 'info' : 'warn'
      logger[level]({ reason: lack }, 'no gateway is asked to map the peer port')
    }
    this.#off = lack
    const found = new Map(gateways.map((gateway) => [keyOf(gateway), gateway]))
    for (const [key, client] of this.#clients) {
      if (found.has(key)) continue
      const { family } = client.gateway
      const wasFirst = this.#firstOf(family) === client
      this.#clients.delete(key)
      this.#leave(client)
      if (wasFirst) this.#tools.onMoved(family, this.#firstOf(family)?.status())
    }
    for (const [key, gateway] of found) {
      await this.#listen(gateway)
      if (this.#isOver) return
      if (!this.#clients.has(key)) this.#clients.set(key, this.#begin(gateway))
    }
    this.#cancelTimer = clock.after(LOOK_MS, () => this.start(), true)
  }

  #begin(gateway: Gateway): GatewayClient {
    const { tcp, udp } = TransportNumber
    const client = new GatewayClient(gateway, {
      ...this.#tools,
      transports: this.#tools.hasUdp ? [tcp, udp] : [tcp],
      onChange: (status) => {
        // The others of its family are our other addresses: what they are reached by is the same.
        if (this.#firstOf(gateway.family) === client) this.#tools.onMoved(gateway.family, status)
        this.#options.onChange?.(status)
      },
      // It is the same box for IPv4 and IPv6, most of the time, and not every one tells so by both.
      onAnew: () => {
        for (const other of this.#clients.values()) if (other !== client) other.ask()
      },
    })
    client.start()
    return client
  }

  #firstOf(family: 4 | 6): GatewayClient | undefined {
    for (const client of this.#clients.values()) if (client.gateway.family === family) return client
    return undefined
  }

  #leave(client: GatewayClient): void {
    const left = client.stop().finally(() => this.#leaving.delete(left))
    this.#leaving.add(left)
  }

  /** To what gateways say to all; without it a new beginning is seen when it is their turn. */
  async #listen({ family }: Gateway): Promise<void> {
    if (this.#ears.has(family)) return
    const { network, bind, logger } = this.#tools
    try {
      const group = ANNOUNCE_GROUPS[family]
      const ours = bind.filter((address) => address.includes(':') === (family === 6))
      const ear = await network.openMulticast(group, ANNOUNCE_PORT, ours)
      if (this.#isOver) return ear.close()
      ear.onMessage = (bytes, host) => this.#hear(bytes, host)
      this.#ears.set(family, ear)
    } catch (error) {
      logger.debug({ err: error }, 'announcements of gateways are not heard')
    }
  }

  #hear(bytes: Uint8Array, host: string): void {
    for (const client of this.#clients.values()) {
      if (client.gateway.address.replace(/%.*$/, '') !== host) continue
      const pcp = parsePcp(bytes)
      const natPmp = parseNatPmp(bytes)
      if (pcp?.kind === 'answer') client.announced('pcp', pcp.epochS)
      else if (natPmp !== null) client.announced('nat-pmp', natPmp.epochS)
    }
  }
}

function keyOf({ address, local }: Gateway): string {
  return `${address} ${local}`
}
