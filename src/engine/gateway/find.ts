/**
 * Which gateways are asked for our port, and for which addresses of ours.
 *
 * Invariants: none that is not of a private network unless it was named; none for addresses that are not listened on, and none for
 * loopback ones unless the gateway that was named is one.
 */
import { BlockList, isIP } from 'node:net'
import { isHomeAddress, isLoopback } from '../local-address.ts'
import type { FoundGateways, Gateway } from '../network.ts'
import type { DefaultRoute } from './routes.ts'

/** Of IPv6, where a machine has temporary ones, too; each is a pinhole of its own. */
const MAX_ADDRESSES = 4

export interface OurAddress {
  readonly interfaceName: string
  /** Without a zone. */
  readonly address: string
  /** With the length of its network. */
  readonly cidr: string
}

export interface Surroundings {
  /** The best default route of each family. */
  readonly routes: ReadonlyMap<4 | 6, DefaultRoute>
  readonly ours: readonly OurAddress[]
  /** Addresses that are listened on, wildcards among them. */
  readonly bind: readonly string[]
  /** The gateway to ask, whatever the routes are. */
  readonly named: string | undefined
}

export function findGateways({ routes, ours, bind, named }: Surroundings): FoundGateways {
  if (named !== undefined) return namedGateway(named, ours, bind)
  if (bind.every(isLoopback)) return none('only this machine itself is listened to')
  const gateways: Gateway[] = []
  const lacks: string[] = []
  for (const family of [4, 6] as const) {
    if (!bind.some((address) => isIP(address) === family)) continue
    const route = routes.get(family)
    if (route === undefined) {
      lacks.push(`IPv${family} has no default route`)
      continue
    }
    const { gateway, interfaceName } = route
    if (gateway === undefined || !isHomeAddress(gateway)) {
      const which = gateway === undefined ? `, ${interfaceName}, is no router` : ` is ${gateway}`
      lacks.push(`the gateway of IPv${family}${which}, which is not of a private network`)
      continue
    }
    const near = ours.filter((our) => our.interfaceName === interfaceName)
    const found = reachable(family, near, bind).map((local) => ({
      family,
      address: withZone(gateway, interfaceName),
      local,
    }))
    if (found.length === 0) {
      lacks.push(`no address of ${interfaceName} that is listened on is one to map (IPv${family})`)
    }
    gateways.push(...found)
  }
  return gateways.length > 0 ? { gateways, lack: undefined } : none(lacks.join('; '))
}

function namedGateway(
  named: string,
  ours: readonly OurAddress[],
  bind: readonly string[],
): FoundGateways {
  const family = isIP(named) as 4 | 6
  const [bare, zone] = named.split('%') as [string, string | undefined]
  const names = new Set(
    ours
      .filter((our) => (zone === undefined ? isWithin(bare, our.cidr) : zone === our.interfaceName))
      .map(({ interfaceName }) => interfaceName),
  )
  const near = ours.filter(({ interfaceName }) => names.has(interfaceName))
  const found = reachable(family, near, bind, isLoopback(bare))
  if (found.length === 0) {
    return none(`no address that is listened on is in one network with the gateway ${named}`)
  }
  return {
    gateways: found.map((local) => ({ family, address: named, local })),
    lack: undefined,
  }
}

/** Of these addresses those that a gateway can send others to. */
function reachable(
  family: 4 | 6,
  near: readonly OurAddress[],
  bind: readonly string[],
  onLoopback = false,
): string[] {
  const wildcard = family === 4 ? '0.0.0.0' : '::'
  const found = near
    .map(({ address }) => address)
    .filter((address) => isIP(address) === family)
    .filter((address) => bind.includes(wildcard) || bind.includes(address))
    .filter((address) => isLoopback(address) === onLoopback)
    // Of IPv6 the ones that others see: a firewall opens for each of them.
    .filter((address) => family === 4 || onLoopback || /^[23]/.test(address))
  return found.slice(0, family === 4 ? 1 : MAX_ADDRESSES)
}

function isWithin(address: string, cidr: string): boolean {
  const [network, length] = cidr.split('/') as [string, string]
  const family = isIP(network)
  if (isIP(address) !== family) return false
  const list = new BlockList()
  list.addSubnet(network, Number(length), family === 6 ? 'ipv6' : 'ipv4')
  return list.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

/** A link-local address means nothing without its interface. */
function withZone(gateway: string, interfaceName: string): string {
  return /^fe[89ab]/.test(gateway) ? `${gateway}%${interfaceName}` : gateway
}

function none(lack: string): FoundGateways {
  return { gateways: [], lack }
}
