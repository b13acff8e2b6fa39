/**
 * Behind the router of a home: seedbed has Debian's miniupnpd open its port, and somebody outside downloads through it, over
 * IPv4 (a NAT) and IPv6 (a firewall); then the router has closed everything again.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { GATEWAY_4, GATEWAY_6, HOME_6, HomeNetwork, OUTER_ADDRESS } from './peers/home-network.ts'
import { havePeers } from './peers/presence.ts'
import { drain, seedbed, shared } from './peers/seedbed.ts'
import { downloadWithSeedbed, MIB } from './swarm.ts'

const LIMIT_MS = 60_000

test('a node behind the router of a home is reached from outside, over IPv4 and IPv6', async (t) => {
  if (!havePeers(t, 'miniupnpd', 'nft')) return
  const scratch = await scratchDirectory(t)
  const network = await HomeNetwork.open(scratch)
  if (network === undefined) {
    t.skip('this system allows no routers of our own: user and network namespaces, nftables')
    return
  }
  t.after(() => network.close())
  await network.startDaemon(scratch, LIMIT_MS)
  const content = join(scratch, 'content')
  await makeFile(content, MIB, 'mapping')
  const expected = await digest(content)
  const place = ['--files', join(scratch, 'files'), '--data', join(scratch, 'data')]
  const ports = ['--tracker-port', '0', '--peer-port', '0', '--host', '192.168.77.10']
  const node = seedbed(['up', content, ...place, ...ports, '--json'], network.home)
  const mappingBy = async (gateway: string): Promise<Record<string, unknown>> => {
    const said = await node.event(
      ({ event, gateway: by }) => event === 'port-mapping' && by === gateway,
      LIMIT_MS,
    )
    assert.deepEqual([said.state, said.protocol, said.problem], ['mapped', 'pcp', null])
    return said
  }
  const by4 = await mappingBy(GATEWAY_4)
  const by6 = await mappingBy(GATEWAY_6)
  assert.equal(by4.outerAddress, OUTER_ADDRESS)
  assert.equal(by6.outerAddress, HOME_6)
  const port = Number(by4.innerPort)
  assert.ok((await network.openings(port)) > 0)
  const { infoHash } = await shared(node, 'content', LIMIT_MS)
  for (const [name, host, outside] of [
    ['v4', `${OUTER_ADDRESS}:${by4.outerTcpPort}`, '11.0.0.2'],
    ['v6', `[${HOME_6}]:${by6.outerTcpPort}`, '2a01:88::2'],
  ] as const) {
    // Nobody is known but by the address outside.
    const magnet = `magnet:?xt=urn:btih:${infoHash}&x.pe=${host}`
    const directory = join(scratch, name)
    const download = { source: { magnet }, directory, host: outside, name: 'content', expected }
    await downloadWithSeedbed(download, network.outside)
  }
  await drain(node)
  assert.equal(await network.openings(port), 0)
})
