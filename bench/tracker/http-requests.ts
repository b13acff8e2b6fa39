/**
 * HTTP announces as clients send them: the query and the head of qBittorrent, info-hashes at random, so most of their
 * bytes are escaped. Made from a seed: every server of a run gets the same.
 */
import { seededRandom } from '../../src/base/index.ts'

/** Of a swarm. */
export const PEERS = 50
export const CONNECTIONS = 64
/** Connections that are kept, and a new one for each announce. */
export const MODES = ['keep', 'close'] as const
export type Mode = (typeof MODES)[number]

export interface RequestShape {
  /** How many, each of another info-hash. */
  readonly count: number
  readonly keepAlive: boolean
  /** Peers wanted. */
  readonly wanted: number
}

/** The info-hashes of all shapes, in order: 20 bytes each. */
export function infoHashes(count: number): Uint8Array {
  const hashes = new Uint8Array(20 * count)
  seededRandom(0xbeef).fill(hashes)
  return hashes
}

export function announceRequests(shape: RequestShape): readonly Buffer[] {
  const hashes = infoHashes(shape.count)
  return Array.from({ length: shape.count }, (_, n) => {
    const hash = escaped(hashes.subarray(n * 20, n * 20 + 20))
    const query =
      `info_hash=${hash}&peer_id=-qB4640-${String(n).padStart(12, 'x')}&port=${1024 + (n % 60_000)}` +
      `&uploaded=${n * 16_384}&downloaded=${n * 32_768}&left=${n * 65_536 + 1}&corrupt=0&key=A1B2C3D4` +
      `&numwant=${shape.wanted}&compact=1&no_peer_id=1&supportcrypto=1&redundant=0`
    const head = `GET /announce?${query} HTTP/1.1\r\nHost: 127.0.0.1:6969\r\nUser-Agent: qBittorrent/4.6.4\r\nAccept-Encoding: gzip\r\n`
    return Buffer.from(`${head}${shape.keepAlive ? '' : 'Connection: close\r\n'}\r\n`, 'latin1')
  })
}

/** An announce of every peer of every swarm, by its port; two in three are leechers. They ask for nobody. */
export function fillRequests(swarms: number, peers: number): readonly Buffer[] {
  const bases = announceRequests({ count: swarms, keepAlive: true, wanted: 0 }).map((request) =>
    request.toString('latin1'),
  )
  return Array.from({ length: peers }, (_, peer) =>
    bases.map((text) =>
      Buffer.from(
        text
          .replace(/port=\d+/, `port=${2000 + peer}`)
          .replace(/left=\d+/, peer % 3 === 0 ? 'left=0' : 'left=1'),
        'latin1',
      ),
    ),
  ).flat()
}

/** As clients write it: letters, digits and `-_.~` stand for themselves. */
function escaped(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    const character = String.fromCharCode(byte)
    text += /[\w.~-]/.test(character)
      ? character
      : `%${byte.toString(16).padStart(2, '0').toUpperCase()}`
  }
  return text
}
