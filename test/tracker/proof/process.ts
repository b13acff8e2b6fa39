/** A tracker as a process, for proofs. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Child } from '../../interop/peers/child.ts'
import { READY_LIMIT_MS, seedbed } from '../../interop/peers/seedbed.ts'
import type { FrontEndName } from '../../interop/peers/tracker-process.ts'
import { HOSTILE_CONFIG } from './hostile.ts'
import type { Ports } from './load.ts'

export interface Tracked {
  readonly child: Child
  readonly ports: Ports
}

export async function startTrackerProcess(
  scratch: string,
  frontEnd: FrontEndName,
  config: string,
): Promise<Tracked> {
  const file = join(scratch, `${frontEnd}.yaml`)
  writeFileSync(file, `tracker:\n  front_end: ${frontEnd}\n  workers: 2\n${config}`)
  const child = seedbed(['tracker', '--config', file, '--json'])
  const ready = await child.event('ready', READY_LIMIT_MS)
  const { http, udp } = ready.tracker as Record<'http' | 'udp', readonly { port: number }[]>
  return { child, ports: { http: http[0]!.port, udp: udp[0]!.port } }
}

export function startHostile(scratch: string, frontEnd: FrontEndName): Promise<Tracked> {
  return startTrackerProcess(scratch, frontEnd, HOSTILE_CONFIG)
}
