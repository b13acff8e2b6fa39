/** aria2 as a peer: one process for one torrent, without DHT and local discovery. */
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child } from './child.ts'
import type { Source } from './libtorrent.ts'
import type { Within } from './namespace.ts'

export const ARIA2: string = process.env.ARIA2 ?? 'aria2c'

// This file runs as dist/test/interop/peers/aria2.js; the script stays in the source tree.
const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../../../..')
const completionHook = resolve(repository, 'test/interop/peers/complete.sh')

/** That aria2 may choose from. */
const PORTS = 20

export interface Aria2Options {
  readonly source: Source
  /** Parent of the torrent's file or folder. */
  readonly directory: string
  /**
   * `leech` ends with exit code 0 when all is verified; `stay` leeches and then seeds until it is
   * stopped; `seed` checks what is there and seeds it.
   */
  readonly mode: 'leech' | 'stay' | 'seed'
  /** `required`: RC4 or nothing. `preferred`: encrypted connections are tried and taken, plaintext as well. Absent: its default. */
  readonly encryption?: 'required' | 'preferred'
  readonly within?: Within
  /** Speak to the DHT, beginning with this `HOST:PORT`. */
  readonly dhtNode?: string
  /** aria2 speaks to trackers over UDP only where its DHT runs; one that knows nobody is enough. */
  readonly udpTrackers?: boolean
}

/** Emits the event `complete` when every piece is verified, in every mode. */
export async function aria2(options: Aria2Options): Promise<Child> {
  const { source, mode, encryption } = options
  mkdirSync(options.directory, { recursive: true })
  const hasDht = options.udpTrackers === true || options.dhtNode !== undefined
  // aria2 wants to be told its ports. One that was free may be taken since: it tries the ones behind it.
  const [port, dhtPort] = [await freePort(), hasDht ? await freePort() : 0]
  const parameters = [
    '--no-conf=true',
    `--dir=${options.directory}`,
    `--listen-port=${range(port)}`,
    ...(hasDht
      ? [
          '--enable-dht=true',
          `--dht-listen-port=${range(dhtPort)}`,
          // It replaces this file by renaming: in the place of /dev/null it would put an ordinary file.
          `--dht-file-path=${join(options.directory, '..', `aria2-${dhtPort}.dht`)}`,
        ]
      : ['--enable-dht=false']),
    ...(options.dhtNode === undefined ? [] : [`--dht-entry-point=${options.dhtNode}`]),
    '--enable-dht6=false',
    '--bt-enable-lpd=false',
    '--enable-peer-exchange=false',
    '--file-allocation=none',
    '--quiet=true',
    '--show-console-readout=false',
    '--console-log-level=notice',
    `--stop-with-process=${process.pid}`,
    `--on-bt-download-complete=${completionHook}`,
    ...(encryption === 'required'
      ? ['--bt-require-crypto=true', '--bt-min-crypto-level=arc4']
      : []),
    ...(encryption === 'preferred' ? ['--bt-min-crypto-level=arc4'] : []),
    ...(mode === 'leech' ? ['--seed-time=0'] : ['--seed-ratio=0.0']),
    ...(mode === 'seed' ? ['--check-integrity=true'] : []),
    'torrent' in source ? source.torrent : source.magnet,
  ]
  const [command, words] = options.within?.wrap(ARIA2, parameters) ?? [ARIA2, parameters]
  return new Child(`aria2 (${mode})`, command, words)
}

function range(port: number): string {
  return `${port}-${Math.min(port + PORTS - 1, 65_535)}`
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '::', () => {
      const address = server.address()
      server.close(() => {
        if (typeof address === 'object' && address !== null) resolve(address.port)
        else reject(new Error('no port'))
      })
    })
  })
}
