/**
 * The extension protocol with one peer (BEP 10): what each side takes, and under which number of its own.
 *
 * Invariants:
 * - Nothing is sent that the peer's handshake has no number for; 0 takes back an offer.
 * - Another handshake of the peer takes the place of the one before; one that cannot be read changes nothing.
 * - A private torrent offers no gossip.
 */
import type { PeerWriter } from './peer-writer.ts'
import { MAX_REQUESTS } from './upload-queue.ts'
import { DONT_HAVE } from './wire/dont-have.ts'
import {
  EXTENDED_HANDSHAKE_ID,
  type ExtendedHandshake,
  encodeExtendedHandshake,
  parseExtendedHandshake,
} from './wire/extended.ts'
import { EXTENDED_HEADER_BYTES, writeExtended } from './wire/messages.ts'

export type Extension = 'ut_metadata' | 'ut_pex' | typeof DONT_HAVE | 'ut_holepunch'

/** Our numbers for the extensions that we speak. */
export const OUR_IDS: Readonly<Record<Extension, number>> = {
  ut_metadata: 1,
  ut_pex: 2,
  [DONT_HAVE]: 3,
  ut_holepunch: 4,
}

/** A private torrent (BEP 27) gossips about nobody. */
const PRIVATE_EXTENSIONS = offer('ut_metadata', DONT_HAVE)
const OUR_EXTENSIONS = offer('ut_metadata', DONT_HAVE, 'ut_pex')
/** Holes are punched over uTP alone. */
const UTP_EXTENSIONS = offer('ut_metadata', DONT_HAVE, 'ut_pex', 'ut_holepunch')
const CLIENT = 'seedbed 0.1'

/** The torrent as our handshake speaks of it. */
export interface ExtensionsTorrent {
  /** Where a peer with this address reaches us. */
  portTowards(host: string): number
  /** Of those who connect to us. */
  readonly prefersEncryption: boolean
  readonly infoBytes: Uint8Array | undefined
  /** BEP 21: nothing will be downloaded. */
  readonly uploadOnly: boolean
  readonly isPrivate: boolean
  readonly speaksUtp: boolean
}

export class PeerExtensions {
  /** The peer's handshake, the last; undefined until there was one. */
  theirs: ExtendedHandshake | undefined
  readonly #torrent: ExtensionsTorrent
  readonly #writer: PeerWriter
  readonly #host: string

  /** `host` is where the peer is. */
  constructor(torrent: ExtensionsTorrent, writer: PeerWriter, host: string) {
    this.#torrent = torrent
    this.#writer = writer
    this.#host = host
  }

  /** Says what we take: at first, and whenever something of it has changed. */
  sendHandshake(): void {
    const { isPrivate, speaksUtp } = this.#torrent
    this.#send(
      EXTENDED_HANDSHAKE_ID,
      encodeExtendedHandshake({
        messages: isPrivate ? PRIVATE_EXTENSIONS : speaksUtp ? UTP_EXTENSIONS : OUR_EXTENSIONS,
        client: CLIENT,
        port: this.#torrent.portTowards(this.#host),
        prefersEncryption: this.#torrent.prefersEncryption,
        requestQueue: MAX_REQUESTS,
        metadataBytes: this.#torrent.infoBytes?.length,
        yourAddress: this.#host,
        uploadOnly: this.#torrent.uploadOnly,
      }),
    )
  }

  /** Throws ENGINE_PROTOCOL. */
  onHandshake(payload: Uint8Array): ExtendedHandshake {
    this.theirs = parseExtendedHandshake(payload)
    return this.theirs
  }

  takes(extension: Extension): boolean {
    return this.#idOf(extension) > 0
  }

  /** Sends nothing when the peer does not take it. */
  send(extension: Extension, payload: Uint8Array): void {
    const id = this.#idOf(extension)
    if (id > 0) this.#send(id, payload)
  }

  /** The size of the info dictionary that it offers (BEP 9), a claim. */
  get metadataBytes(): number | undefined {
    return this.takes('ut_metadata') ? this.theirs?.metadataBytes : undefined
  }

  #idOf(extension: Extension): number {
    return this.theirs?.messages.get(extension) ?? 0
  }

  #send(id: number, payload: Uint8Array): void {
    this.#writer.message(EXTENDED_HEADER_BYTES + payload.length, (bytes, at) =>
      writeExtended(bytes, at, id, payload),
    )
  }
}

function offer(...extensions: readonly Extension[]): ReadonlyMap<string, number> {
  return new Map(extensions.map((extension) => [extension, OUR_IDS[extension]]))
}
