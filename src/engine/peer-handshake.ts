/**
 * The two handshakes of a connection: who the peer is, what it can, and by which of its names the torrent is meant.
 *
 * ```
 * we connect       ours, by the name that we know the peer by ---> its own, by any name of the torrent
 * the peer does    its own, by any name of the torrent        ---> ours: by v2's name when it knows v2, else by the one that it said
 * ```
 *
 * Invariants: the torrent's name in our handshake is one of the torrent's own; nothing is known of the peer until its handshake has come.
 */
import { bytesEqual } from '../base/index.ts'
import { protocolError } from './errors.ts'
import type { PeerWriter } from './peer-writer.ts'
import type { TorrentNames } from './torrent-names.ts'
import { HANDSHAKE_BYTES, type Handshake, writeHandshake } from './wire/handshake.ts'

/** The torrent as our handshake names it. */
export interface HandshakeTorrent {
  readonly names: TorrentNames
  readonly peerId: Uint8Array
  /** Where the DHT reaches us from this address; undefined when it is not to be spoken of. */
  dhtPort(host: string): number | undefined
}

export class PeerHandshake {
  /** We connected. */
  readonly outgoing: boolean
  /** 20 bytes; undefined until the peer's handshake. */
  peerId: Uint8Array | undefined
  /** BEP 6. */
  supportsFast = false
  readonly #torrent: HandshakeTorrent
  /** The torrent's name in our handshake. */
  #name: Uint8Array | undefined
  #supportsV2 = false

  /** `name` is the torrent's when we connect; undefined when the peer did, which names it then. */
  constructor(torrent: HandshakeTorrent, name: Uint8Array | undefined) {
    this.#torrent = torrent
    this.#name = name
    this.outgoing = name !== undefined
  }

  /** Sends ours to the peer, which is at `host`. */
  send(writer: PeerWriter, host: string): void {
    const bytes = Buffer.allocUnsafe(HANDSHAKE_BYTES)
    const { names, peerId } = this.#torrent
    const infoHash = this.#name ?? names.primary
    writeHandshake(bytes, {
      infoHash,
      peerId,
      supportsV2: names.v2 !== undefined,
      supportsDht: this.#torrent.dhtPort(host) !== undefined,
    })
    writer.send(bytes)
  }

  /** The peer's has come. Throws ENGINE_PROTOCOL when it is for another torrent; who sent it is known even so. */
  receive(theirs: Handshake): void {
    this.peerId = theirs.peerId
    this.supportsFast = theirs.supportsFast
    const { names } = this.#torrent
    const infoHash = names.own(theirs.infoHash)
    if (infoHash === undefined) throw protocolError('a handshake for another torrent')
    const { v2 } = names
    this.#supportsV2 = theirs.supportsV2 || (v2 !== undefined && bytesEqual(infoHash, v2))
    if (!this.outgoing) this.#name = this.speaksV2 ? v2 : infoHash
  }

  /** The peer knows v2 (BEP 52), and the torrent has a v2 part, as far as we know. */
  get speaksV2(): boolean {
    return this.#supportsV2 && this.#torrent.names.v2 !== undefined
  }
}
