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

/** One tier a host: UDP is cheaper for both sides, HTTP passes where UDP does not. */
export function announceTiers(hosts: readonly string[], port: number): string[][] {
  return hosts.map((host) => {
    const authority = `${isIPv6(host) ? `[${host}]` : host}:${port}`
    return [`udp://${authority}/announce`, `http://${authority}/announce`]
  })
}
