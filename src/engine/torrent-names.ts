/**
 * What a torrent is called: by one info-hash, or a hybrid by two, each of which is a swarm.
 *
 * Invariants: `all` are distinct, 20 bytes each, `primary` the first; names are learnt and never lost. A
 * hybrid that was added by its v2 name alone keeps that as its primary: the volume has it under it.
 */
import { createHash } from 'node:crypto'
import { bytesEqual } from '../base/index.ts'
import { HASH_BYTES, type TorrentInfo } from '../metainfo/index.ts'

export class TorrentNames {
  readonly primary: Uint8Array
  readonly all: Uint8Array[]
  /** SHA-256 of the info dictionary, where it is known or was asked for. */
  #sha256: Uint8Array | undefined
  #v2: Uint8Array | undefined
  /** SHA-1 of the info dictionary; undefined where only v2 was asked for. */
  readonly #sha1: Uint8Array | undefined

  /** `infoHashV2`: 32 bytes. `infoHash` is its beginning when the torrent is known by v2 alone. */
  constructor(infoHash: Uint8Array, infoHashV2?: Uint8Array) {
    this.primary = infoHash
    this.all = [infoHash]
    const alone = infoHashV2 !== undefined && bytesEqual(infoHash, truncated(infoHashV2))
    this.#sha1 = alone ? undefined : infoHash
    if (infoHashV2 !== undefined) this.#learnV2(infoHashV2)
  }

  /** The name in the swarm of v2; undefined when there is none, or it is not known. */
  get v2(): Uint8Array | undefined {
    return this.#v2
  }

  has(name: Uint8Array): boolean {
    return this.own(name) !== undefined
  }

  /** The one of `all` that equals `name`: to be kept in place of another copy. */
  own(name: Uint8Array): Uint8Array | undefined {
    return this.all.find((own) => bytesEqual(own, name))
  }

  /** The dictionary is known: a hybrid has both names. Returns those that are new. */
  learn(info: TorrentInfo): Uint8Array[] {
    const before = this.all.length
    if (info.infoHashV2 !== undefined) this.#learnV2(info.infoHashV2)
    this.#add(info.infoHash)
    return this.all.slice(before)
  }

  /** Whether a dictionary has all the hashes that were asked for; `torn`: one of two. */
  judge(infoBytes: Uint8Array): 'right' | 'wrong' | 'torn' {
    const verdicts: boolean[] = []
    if (this.#sha1 !== undefined) {
      verdicts.push(bytesEqual(createHash('sha1').update(infoBytes).digest(), this.#sha1))
    }
    if (this.#sha256 !== undefined) {
      verdicts.push(bytesEqual(createHash('sha256').update(infoBytes).digest(), this.#sha256))
    }
    if (verdicts.every((right) => right)) return 'right'
    return verdicts.some((right) => right) ? 'torn' : 'wrong'
  }

  #learnV2(infoHashV2: Uint8Array): void {
    this.#sha256 = infoHashV2
    this.#v2 = truncated(infoHashV2)
    this.#add(this.#v2)
  }

  #add(name: Uint8Array): void {
    if (!this.has(name)) this.all.push(name)
  }
}

function truncated(infoHashV2: Uint8Array): Uint8Array {
  return infoHashV2.slice(0, HASH_BYTES)
}
