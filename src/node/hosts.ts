/**
 * Under which names others reach this machine. Without being told, the addresses of its interfaces
 * that others can route to; the loopback addresses when there are none.
 */
import { isIPv6 } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>

/** At most one IPv4 and one IPv6 address, in this order. */
export function reachableHosts(interfaces: Interfaces): string[] {
  const outward = Object.values(interfaces)
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !/^(169\.254\.|fe[89ab])/i.test(address))
  const v4 = outward.find(({ family }) => family === 'IPv4')
  const v6 = outward.find(({ family }) => family === 'IPv6')
  const hosts = [v4, v6].filter((found) => found !== undefined).map(({ address }) => address)
  return hosts.length > 0 ? hosts : ['127.0.0.1']
}

/**
 * One tier a host. HTTP first: it passes where UDP does not, and aria2 without DHT loses two seconds over each
 * UDP URL that it meets before.
 */
export function announceTiers(hosts: readonly string[], port: number): string[][] {
  return hosts.map((host) => {
    const authority = `${isIPv6(host) ? `[${host}]` : host}:${port}`
    return [`http://${authority}/announce`, `udp://${authority}/announce`]
  })
}
