/**
 * Which foreign peers this machine has. A missing one is a skip with its name, except in CI where
 * the package manager could have installed it: there a missing peer is a failure, so that a run is
 * never green because it tested nothing.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ARIA2 } from './aria2.ts'
import { MINIUPNPD, NFT } from './home-network.ts'
import { LIBTORRENT_PYTHON } from './libtorrent.ts'
import { TRANSMISSION } from './transmission.ts'

export type PeerName = 'libtorrent' | 'aria2' | 'transmission'
/** Of a router, beside them. */
type ProgramName = PeerName | 'miniupnpd' | 'nft'

interface Peer {
  readonly debianPackage: string
  readonly versionCommand: readonly [string, ...string[]]
  readonly versionPattern: RegExp
}

const PEERS: Readonly<Record<ProgramName, Peer>> = {
  libtorrent: {
    debianPackage: 'python3-libtorrent',
    versionCommand: [LIBTORRENT_PYTHON, '-c', 'import libtorrent; print(libtorrent.version)'],
    versionPattern: /^(\d[\d.]*)/,
  },
  aria2: {
    debianPackage: 'aria2',
    versionCommand: [ARIA2, '--version'],
    versionPattern: /^aria2 version (\S+)/,
  },
  transmission: {
    debianPackage: 'transmission-cli',
    versionCommand: [TRANSMISSION, '--version'],
    versionPattern: /^transmission-cli (\S+)/,
  },
  miniupnpd: {
    debianPackage: 'miniupnpd-nftables',
    versionCommand: [MINIUPNPD, '--version'],
    versionPattern: /^miniupnpd (\S+)/,
  },
  nft: {
    debianPackage: 'nftables',
    versionCommand: [NFT, '--version'],
    versionPattern: /^nftables v(\S+)/,
  },
}

/** The peer's version, or undefined where it is not installed. */
export function peerVersion(name: ProgramName): string | undefined {
  const [command, ...parameters] = PEERS[name].versionCommand
  const result = spawnSync(command, parameters, { encoding: 'utf8', timeout: 20_000 })
  if (result.status !== 0) return undefined
  return PEERS[name].versionPattern.exec(result.stdout + result.stderr)?.[1]
}

function couldInstall(): boolean {
  if (process.getuid?.() !== 0) return false
  return spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0
}

/** True when all are there; else the test is skipped (or failed, see above) and must return. */
export function havePeers(t: TestContext, ...names: readonly ProgramName[]): boolean {
  const missing = names.filter((name) => peerVersion(name) === undefined)
  if (missing.length === 0) return true
  const packages = missing.map((name) => PEERS[name].debianPackage).join(' ')
  const message = `${missing.join(' and ')} not installed (Debian: apt-get install ${packages})`
  if (process.env.CI === 'true' && couldInstall()) throw new Error(message)
  t.skip(message)
  return false
}

/** The folder of programs from npm. */
export const NPM_FOLDER: string = fileURLToPath(
  new URL('../../../../test/interop/npm', import.meta.url),
)

/** As `havePeers`, for what `npm ci --ignore-scripts` installs there. */
export function haveFromNpm(t: TestContext, name: string): boolean {
  if (existsSync(join(NPM_FOLDER, 'node_modules', name))) return true
  const message = `${name} not installed (cd test/interop/npm && npm ci --ignore-scripts)`
  if (process.env.CI === 'true') throw new Error(message)
  t.skip(message)
  return false
}
