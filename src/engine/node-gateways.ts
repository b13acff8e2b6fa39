/** The gateways of this machine: its routes, where the system is one that tells them in files, and its addresses. */
import { open } from 'node:fs/promises'
import { endianness, networkInterfaces } from 'node:os'
import { findGateways, type OurAddress } from './gateway/find.ts'
import { type DefaultRoute, parseRoutes, parseRoutes6 } from './gateway/routes.ts'
import type { FoundGateways } from './network.ts'

/** A router of the Internet has a million routes; default ones come first, and a home has some ten. */
const MAX_TABLE_BYTES = 256 * 1024

export async function gatewaysOf(
  bind: readonly string[],
  named: string | undefined,
): Promise<FoundGateways> {
  const routes = new Map<4 | 6, DefaultRoute>()
  if (named === undefined) {
    if (process.platform !== 'linux') {
      const lack = 'the gateway is found by itself on Linux alone: name it with --gateway'
      return { gateways: [], lack }
    }
    const v4 = parseRoutes(await readTable('/proc/net/route'), endianness() === 'LE')
    const v6 = parseRoutes6(await readTable('/proc/net/ipv6_route'))
    if (v4 !== undefined) routes.set(4, v4)
    if (v6 !== undefined) routes.set(6, v6)
  }
  try {
    return findGateways({ routes, ours: ourAddresses(), bind, named })
  } catch (error) {
    // Some systems do not let a program see the interfaces.
    return { gateways: [], lack: `the addresses of this machine are not told: ${error}` }
  }
}

function ourAddresses(): OurAddress[] {
  const ours: OurAddress[] = []
  for (const [interfaceName, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, cidr } of addresses ?? []) {
      if (cidr !== null) ours.push({ interfaceName, address, cidr })
    }
  }
  return ours
}

/** The beginning of a file of /proc, which comes a page at a time; empty when there is none. */
async function readTable(path: string): Promise<string> {
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return ''
  try {
    const bytes = Buffer.alloc(MAX_TABLE_BYTES)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length)
      length += bytesRead
      if (bytesRead === 0 || length === bytes.length) break
    }
    return bytes.toString('latin1', 0, length)
  } catch {
    return ''
  } finally {
    await file.close()
  }
}
