/**
 * A home and its router, in three network namespaces of one user namespace: seedbed's machine, a router that hides it behind one
 * address and a firewall, and somebody on the Internet. The router runs Debian's miniupnpd with nftables.
 *
 * ```
 * home                            router                               outside
 * 192.168.77.10 -- lan -- 192.168.77.1   11.0.0.1 -- wan -- 11.0.0.2    IPv4: translated
 * 2a01:77::10   --------- fe80::1        2a01:88::1 ------- 2a01:88::2  IPv6: let in by pinholes alone
 * ```
 *
 * Nothing leaves the machine. The addresses outside are those of nobody's test: miniupnpd maps to none of documentation's.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { delay, systemClock } from '../../../src/base/index.ts'
import { GATEWAY_PORT } from '../../../src/engine/gateway/client.ts'
import { Child } from './child.ts'
import { Namespace } from './namespace.ts'

export const MINIUPNPD = '/usr/sbin/miniupnpd'
export const NFT = '/usr/sbin/nft'

const POLL_MS = 50

export const OUTER_ADDRESS = '11.0.0.1'
export const GATEWAY_4 = '192.168.77.1'
export const GATEWAY_6 = 'fe80::1%lan'
export const HOME_6 = '2a01:77::10'

/** As a home has it: from inside everything, from outside what was let in. The chains of miniupnpd are empty. */
const RULES = `table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname "wan" ip saddr 192.168.77.0/24 masquerade
    jump postrouting_miniupnpd
  }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
`

const CONFIGURATION = `ext_ifname=wan
listening_ip=lan
http_port=0
enable_natpmp=yes
enable_upnp=no
ext_ip=${OUTER_ADDRESS}
uuid=00000000-0000-0000-0000-000000000000
allow 1024-65535 192.168.77.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
`

export class HomeNetwork {
  readonly home: Namespace
  readonly outside: Namespace
  readonly #router: Namespace
  #daemon: Child | undefined

  private constructor(home: Namespace, router: Namespace, outside: Namespace) {
    this.home = home
    this.outside = outside
    this.#router = router
  }

  /** Undefined where the system does not allow it. Keeps files in `directory`. */
  static async open(directory: string): Promise<HomeNetwork | undefined> {
    const router = await Namespace.open([])
    const home = await router?.openBeside()
    const outside = await router?.openBeside()
    if (router === undefined || home === undefined || outside === undefined) {
      for (const namespace of [home, outside, router]) await namespace?.close()
      return undefined
    }
    const network = new HomeNetwork(home, router, outside)
    if (await network.#make(directory)) return network
    await network.close()
    return undefined
  }

  async #make(directory: string): Promise<boolean> {
    const rules = join(directory, 'rules.nft')
    writeFileSync(rules, RULES)
    const pids = [this.home, this.outside].map(({ pid }) => pid)
    const cables = [
      `ip link add lan type veth peer name lan netns ${pids[0]}`,
      `ip link add wan type veth peer name wan netns ${pids[1]}`,
      'ip address add 192.168.77.1/24 dev lan',
      'ip address add fe80::1/64 dev lan nodad',
      'ip address add 2a01:77::1/64 dev lan nodad',
      'ip address add 11.0.0.1/24 dev wan',
      'ip address add 2a01:88::1/64 dev wan nodad',
      'ip link set lan up',
      'ip link set wan up',
      'echo 1 >/proc/sys/net/ipv4/ip_forward',
      'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding',
      `${NFT} -f ${rules}`,
      // A rule as miniupnpd makes it: is there all of the kernel that it takes?
      `${NFT} add rule inet filter prerouting_miniupnpd tcp dport 9 dnat ip to 192.168.77.10:9`,
      `${NFT} flush chain inet filter prerouting_miniupnpd`,
    ]
    const inside = [
      'ip address add 192.168.77.10/24 dev lan',
      `ip address add ${HOME_6}/64 dev lan nodad`,
      'ip link set lan up',
      'ip route add default via 192.168.77.1',
      'ip -6 route add default via fe80::1 dev lan',
    ]
    const beyond = [
      'ip address add 11.0.0.2/24 dev wan',
      'ip address add 2a01:88::2/64 dev wan nodad',
      'ip link set wan up',
      'ip -6 route add default via 2a01:88::1',
    ]
    return (
      (await this.#router.run(cables)) &&
      (await this.home.run(inside)) &&
      (await this.outside.run(beyond))
    )
  }

  /** The router speaks PCP and NAT-PMP when this resolves. */
  async startDaemon(directory: string, limitMs: number): Promise<void> {
    const configuration = join(directory, 'miniupnpd.conf')
    writeFileSync(configuration, CONFIGURATION)
    const [command, words] = this.#router.wrap(MINIUPNPD, [
      ...['-d', '-f', configuration, '-P', join(directory, 'miniupnpd.pid')],
    ])
    const daemon = new Child('miniupnpd', command, words)
    this.#daemon = daemon
    for (let leftMs = limitMs; !(await this.#listens()); leftMs -= POLL_MS) {
      if (leftMs <= 0 || daemon.ending !== undefined) {
        throw new Error(`miniupnpd does not listen: ${daemon.output}`)
      }
      await delay(systemClock, POLL_MS)
    }
  }

  /** In both families. */
  async #listens(): Promise<boolean> {
    const port = GATEWAY_PORT.toString(16).toUpperCase()
    const tables = await this.#router.read(['cat /proc/net/udp', 'echo --', 'cat /proc/net/udp6'])
    return tables.split('--').every((table) => table.includes(`:${port} `))
  }

  /** Rules that let others in to this port: as many as there are of them in the router. */
  async openings(port: number): Promise<number> {
    const rules = await this.#router.read([`${NFT} list ruleset`])
    return rules.split('\n').filter((line) => line.includes(`dport ${port} `)).length
  }

  async close(): Promise<void> {
    await this.#daemon?.kill()
    for (const namespace of [this.home, this.outside, this.#router]) await namespace.close()
  }
}
