/**
 * Peers that meet on the local network alone (BEP 14): no tracker in the magnet, nobody named, no DHT. On loopback, so that nothing
 * is said to any other network.
 */
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { nodeNetwork } from '../../src/engine/index.ts'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { downloadWithSeedbed, MIB } from './swarm.ts'

const host = '127.0.0.1'
const GROUP = '239.192.152.143'

/** Whether loopback carries what is said to a group. */
async function carriesMulticast(): Promise<boolean> {
  const port = 40_000 + (process.pid % 20_000)
  try {
    const socket = await nodeNetwork().openMulticast(GROUP, port, [host])
    let heard = false
    socket.onMessage = () => {
      heard = true
    }
    for (let tries = 0; tries < 20 && !heard; tries++) {
      socket.send(new Uint8Array(1))
      await delay(50)
    }
    socket.close()
    return heard
  } catch {
    return false
  }
}

test('peers meet on the local network alone', async (t) => {
  if (!(await carriesMulticast())) {
    t.skip('loopback carries no multicast here')
    return
  }
  const scratch = await scratchDirectory(t)
  const content = join(scratch, 'near.bin')
  await makeFile(content, 4 * MIB, 'near')
  const data = join(scratch, 'data')
  const node = await up({ paths: [content], data, host, more: ['--lsd'] })
  t.after(() => node.child.kill())
  const { infoHash } = await shared(node.child, 'near.bin', 60_000)
  const source = { magnet: `magnet:?xt=urn:btih:${infoHash}` }
  const directory = join(scratch, 'out')
  const expected = await digest(content)
  await downloadWithSeedbed({ source, directory, host, name: 'near.bin', expected }, undefined, [
    '--lsd',
  ])
  await drain(node.child)
})
