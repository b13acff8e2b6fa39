/** Words that the room of gateways shares. */

/** By which a gateway is spoken to; the newer one first. */
export type Protocol = 'pcp' | 'nat-pmp'

/** As IANA numbers them. */
export const TransportNumber = { tcp: 6, udp: 17 } as const
export type TransportNumber = (typeof TransportNumber)[keyof typeof TransportNumber]

/** What became of asking one gateway for our port. */
export interface GatewayStatus {
  /** With the zone that it has on this machine, where it is a link-local one of IPv6. */
  readonly gateway: string
  /** Ours, that it sends to what comes from outside. */
  readonly innerAddress: string
  readonly innerPort: number
  /** Null while it has answered by none. */
  readonly protocol: Protocol | null
  readonly state: /** It has not been asked yet, or has time left to answer. */
    | 'asking'
    /** At least TCP. */
    | 'mapped'
    /** `problem` says why. */
    | 'refused'
    /** It answers by neither protocol; it is asked again now and then. */
    | 'silent'
  /** Null while it is not known. */
  readonly outerAddress: string | null
  /** Whether that is one that the Internet can reach: otherwise there is a NAT beyond this one. */
  readonly isPublic: boolean
  /** Null while it is not mapped. */
  readonly outerTcpPort: number | null
  /** Null while it is not mapped, and without uTP and DHT. */
  readonly outerUdpPort: number | null
  /** What it said last, unless it was yes. */
  readonly problem: string | null
}

export interface PortMappingStatus {
  /** Why nobody is asked; null where somebody is. */
  readonly off: string | null
  readonly gateways: readonly GatewayStatus[]
}
