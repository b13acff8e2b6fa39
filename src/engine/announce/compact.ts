/**
 * Peers as trackers pack them, address and port, back to back: 6 bytes each for IPv4 (BEP 23), 18 for
 * IPv6 (BEP 7).
 */
import { readU16BE } from '../../base/index.ts'
import { formatAddress } from '../wire/address.ts'
import type { PeerAddress } from './types.ts'

/** More peers in one reply are left out: no client asks for as many. */
export const MAX_PEERS = 1000

/** Peers in `bytes` from `offset` on. A rest too short for a peer, and peers without a port, are left out. */
export function parseCompactPeers(bytes: Uint8Array, offset: number, family: 4 | 6): PeerAddress[] {
  const addressBytes = family === 4 ? 4 : 16
  const peers: PeerAddress[] = []
  for (let at = offset; at + addressBytes + 2 <= bytes.length; at += addressBytes + 2) {
    if (peers.length === MAX_PEERS) break
    const port = readU16BE(bytes, at + addressBytes)
    if (port !== 0) peers.push({ host: formatAddress(bytes, at, addressBytes), port })
  }
  return peers
}
