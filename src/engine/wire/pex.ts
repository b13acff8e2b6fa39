/**
 * What peers tell each other of third ones: peer exchange, ut_pex (BEP 11).
 *
 * ```
 * { added, added.f, dropped, added6, added6.f, dropped6 }    compact peers; one byte of flags for each that was added
 * ```
 *
 * Invariant: `parsePex` reads at most MAX_PEX_PEERS of each family; the rest, and what was dropped, is not looked at.
 */
import { decodeDictionary, type Encodable, encode, getBytes } from '../../bencode/index.ts'
import { parseCompactPeers } from '../announce/compact.ts'
import type { PeerAddress } from '../announce/types.ts'
import { writeEndpoint } from '../dht/contact.ts'
import { protocolError } from '../errors.ts'

/** In one message, of each family and kind (BEP 11). */
export const MAX_PEX_PEERS = 50
const LIMITS = { ordered: false, depthMax: 4, valuesMax: 64 } as const

/** Flags of BEP 11. */
export const PEX_ENCRYPTION = 0x01
export const PEX_SEED = 0x02
export const PEX_UTP = 0x04
export const PEX_HOLEPUNCH = 0x08
export const PEX_REACHABLE = 0x10

export interface PexPeer extends PeerAddress {
  readonly flags: number
}

/** At most MAX_PEX_PEERS of each family; the rest waits for the next message, so the caller passes no more. */
export function encodePex(added: readonly PexPeer[], dropped: readonly PeerAddress[]): Uint8Array {
  const message: Record<string, Encodable> = {}
  for (const [suffix, bytes] of [
    ['', 6],
    ['6', 18],
  ] as const) {
    const inFamily = <T extends PeerAddress>(peers: readonly T[]): [T, Uint8Array][] =>
      peers.flatMap((peer): [T, Uint8Array][] => {
        const endpoint = writeEndpoint(peer.host, peer.port)
        return endpoint?.length === bytes ? [[peer, endpoint]] : []
      })
    const ours = inFamily(added).slice(0, MAX_PEX_PEERS)
    message[`added${suffix}`] = Buffer.concat(ours.map(([, endpoint]) => endpoint))
    message[`added${suffix}.f`] = Uint8Array.from(ours, ([peer]) => peer.flags)
    message[`dropped${suffix}`] = Buffer.concat(
      inFamily(dropped)
        .slice(0, MAX_PEX_PEERS)
        .map(([, endpoint]) => endpoint),
    )
  }
  return encode(message)
}

/** The peers that were added. Throws ENGINE_PROTOCOL when the payload is no dictionary. */
export function parsePex(payload: Uint8Array): PeerAddress[] {
  let message: ReturnType<typeof decodeDictionary>
  try {
    message = decodeDictionary(payload, LIMITS)
  } catch {
    throw protocolError('a peer exchange that is not bencoded')
  }
  const added = (key: string, family: 4 | 6): PeerAddress[] =>
    parseCompactPeers(getBytes(message, key) ?? new Uint8Array(0), 0, family).slice(
      0,
      MAX_PEX_PEERS,
    )
  return [...added('added', 4), ...added('added6', 6)]
}
