/** Addresses that mean something on a network of one's own alone. */
import { BlockList, isIP } from 'node:net'

function listOf(subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [network, length] = subnet.split('/') as [string, string]
    list.addSubnet(network, Number(length), network.includes(':') ? 'ipv6' : 'ipv4')
  }
  return list
}

/** Where a router at home is: RFC 1918, link-local. */
const HOME = listOf([
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  'fe80::/10',
])
const LOOPBACK = listOf(['127.0.0.0/8', '::1/128'])
/** Behind a provider's NAT (RFC 6598), nowhere at all, and unique local (RFC 4193). */
const OTHERS = listOf(['100.64.0.0/10', '0.0.0.0/8', 'fc00::/7', '::/128'])

function isIn(list: BlockList, address: string): boolean {
  const bare = address.replace(/%.*$/, '')
  const family = isIP(bare)
  return family !== 0 && list.check(bare, family === 6 ? 'ipv6' : 'ipv4')
}

/** RFC 1918 or link-local; false for what is no address. */
export function isHomeAddress(address: string): boolean {
  return isIn(HOME, address)
}

export function isLoopback(address: string): boolean {
  return isIn(LOOPBACK, address)
}

/** Reached without a router that maps ports of ours: also by the name of this machine itself. */
export function isLocal(host: string): boolean {
  return host === 'localhost' || isHomeAddress(host) || isLoopback(host) || isIn(OTHERS, host)
}
