/** `seedbed tracker` as a process, on ports that the system chooses; and the client of the npm package bittorrent-tracker. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Child, type ChildEvent } from './child.ts'
import type { Within } from './namespace.ts'
import { NPM_FOLDER } from './presence.ts'
import { READY_LIMIT_MS, seedbed } from './seedbed.ts'

export interface TrackerProcess {
  readonly child: Child
  /** Announce URL of a protocol at a host that it was told. */
  url(protocol: 'http' | 'udp' | 'ws', host: string): string
}

export const FRONT_ENDS = ['fast', 'portable'] as const
export type FrontEndName = (typeof FRONT_ENDS)[number]

interface Endpoint {
  readonly address: string
  readonly port: number
}

/** Listens on each of `hosts`. `more` is YAML below `tracker:`, indented by two. */
export async function trackerProcess(
  scratch: string,
  frontEnd: FrontEndName,
  hosts: readonly string[],
  more = '',
  within?: Within,
): Promise<TrackerProcess> {
  const file = join(scratch, `tracker-${frontEnd}.yaml`)
  const addresses = hosts
    .map((host) => JSON.stringify(host.includes(':') ? `[${host}]:0` : `${host}:0`))
    .join(', ')
  writeFileSync(
    file,
    `tracker:
  front_end: ${frontEnd}
  workers: 2
  retry_interval: 5s
  http: {addr: [${addresses}]}
  udp: {addr: [${addresses}]}
${more}`,
  )
  const child = seedbed(['tracker', '--config', file, '--json'], within)
  const ready = await child.event('ready', READY_LIMIT_MS)
  const listening = ready.tracker as Record<'http' | 'udp', readonly Endpoint[]>
  return {
    child,
    url(protocol, host) {
      const { port } = listening[protocol === 'ws' ? 'http' : protocol].find(
        (one) => one.address === host,
      )!
      const place = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
      return `${protocol}://${place}${protocol === 'ws' ? '' : '/announce'}`
    },
  }
}

export interface NpmClientOptions {
  /** Hexadecimal, 40 digits each. */
  readonly infoHash: string
  readonly peerId: string
  readonly announce: readonly string[]
  readonly port?: number
  readonly left?: number
}

/** Commands are lines on its stdin: start, update, complete, stop, scrape (of many), end. */
export async function npmClient(options: NpmClientOptions): Promise<Child> {
  const script = join(NPM_FOLDER, 'client.mjs')
  const child = new Child('bittorrent-tracker client', process.execPath, [
    script,
    JSON.stringify(options),
  ])
  await child.event('ready', READY_LIMIT_MS)
  return child
}

/** Says a command; the event of that name that comes behind it. */
export function ask(client: Child, command: string, event: string): Promise<ChildEvent> {
  const seen = client.events.length
  client.say(command)
  return client.event(event, READY_LIMIT_MS, seen)
}
