/**
 * Transmission as a peer. Version 3.00 refuses peers in 127.0.0.0/8, tells peers apart by address
 * alone, and starts to ask for pieces about ten seconds after it has found somebody: it gets a network
 * of its own, an address of its own, and patience.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child } from './child.ts'
import type { Source } from './libtorrent.ts'
import type { Namespace } from './namespace.ts'

export const TRANSMISSION: string = process.env.TRANSMISSION ?? 'transmission-cli'

// This file runs as dist/test/interop/peers/transmission.js; the script stays in the source tree.
const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../../../..')
const completionHook = resolve(repository, 'test/interop/peers/complete.sh')

export interface TransmissionOptions {
  readonly source: Source
  /** Parent of the torrent's file or folder. */
  readonly directory: string
  /** For its settings and state; not shared with another one. */
  readonly stateDirectory: string
  readonly address: string
  readonly namespace: Namespace
  /** `required`: encrypted or nothing. Absent: plaintext is preferred, both are taken. */
  readonly encryption?: 'required' | 'preferred'
  readonly address6?: string
  /** Speak to the DHT, beginning with the node at this host and port. */
  readonly dhtNode?: { readonly host: string; readonly port: number }
}

/**
 * Downloads what is missing, then seeds until it is stopped; `complete` when a download has ended. With
 * the content there from the start it checks it and seeds at once, and says nothing.
 */
export function transmission(options: TransmissionOptions): Child {
  const { source, directory, stateDirectory, namespace, dhtNode } = options
  mkdirSync(directory, { recursive: true })
  mkdirSync(stateDirectory, { recursive: true })
  writeFileSync(
    join(stateDirectory, 'settings.json'),
    JSON.stringify({
      'bind-address-ipv4': options.address,
      ...(options.address6 === undefined ? {} : { 'bind-address-ipv6': options.address6 }),
      'dht-enabled': dhtNode !== undefined,
      encryption: { required: 2, preferred: 1, offered: 0 }[options.encryption ?? 'offered'],
      'lpd-enabled': false,
      'pex-enabled': false,
      'port-forwarding-enabled': false,
      preallocation: 0,
      'rpc-enabled': false,
      'speed-limit-down-enabled': false,
      'speed-limit-up-enabled': false,
      'utp-enabled': false,
    }),
  )
  if (dhtNode !== undefined) {
    writeFileSync(join(stateDirectory, 'dht.bootstrap'), `${dhtNode.host} ${dhtNode.port}\n`)
  }
  const [command, parameters] = namespace.wrap(TRANSMISSION, [
    '--config-dir',
    stateDirectory,
    '--download-dir',
    directory,
    '--finish',
    completionHook,
    '--no-portmap',
    'torrent' in source ? source.torrent : source.magnet,
  ])
  return new Child('transmission', command, parameters)
}
