/**
 * What every piece of a torrent must be, in whichever way that torrent says it, and how much of it is
 * content.
 *
 * ```
 * v1       SHA-1 of the piece, filler included
 * v2       root over the leaves of the piece; of a file of one piece, over those of the file
 * hybrid   both, as BEP 52 asks; SHA-1 alone as long as the layer of its file is not known
 * ```
 *
 * Invariants: filler is at the end of a piece, and no piece is filler alone; where a v1 torrent has it
 * otherwise, `contentLength` counts it as content, which it then is for everybody: zeros to be fetched.
 */
import { bytesEqual, toHex } from '../base/index.ts'
import { countPieces } from './info.ts'
import { HASH_BYTES } from './limits.ts'
import { MERKLE_HASH_BYTES, MERKLE_LEAF_BYTES, merkleHeight, merkleLeaves } from './merkle.ts'
import { PieceDigester, type PieceDigests, type PieceRecipe } from './piece-digester.ts'
import type { PieceLayers, TorrentInfo } from './types.ts'

/** `unknown`: the hash that would tell has not been fetched. `torn`: one hash is right, the other is not. */
export type Verdict = 'right' | 'wrong' | 'torn' | 'unknown'

/** Bytes of content of the pieces that end in filler; the other pieces are left out. */
export function shortPieces(
  info: Pick<TorrentInfo, 'files' | 'pieceBytes' | 'totalBytes' | 'format'>,
): ReadonlyMap<number, number> {
  return info.format === 'v1' ? shortByFiller(info) : shortByFiles(info)
}

/** With v2 every file begins a piece: what its last one lacks is filler. */
function shortByFiles({
  files,
  pieceBytes,
}: Pick<TorrentInfo, 'files' | 'pieceBytes'>): ReadonlyMap<number, number> {
  const lengths = new Map<number, number>()
  for (const { padding, offset, bytes } of files) {
    if (padding || bytes % pieceBytes === 0) continue
    lengths.set(Math.floor((offset + bytes) / pieceBytes), bytes % pieceBytes)
  }
  return lengths
}

function shortByFiller({
  files,
  pieceBytes,
  totalBytes,
}: Pick<TorrentInfo, 'files' | 'pieceBytes' | 'totalBytes'>): ReadonlyMap<number, number> {
  const lengths = new Map<number, number>()
  if (!Number.isInteger(Math.log2(pieceBytes)) || pieceBytes < MERKLE_LEAF_BYTES) return lengths
  for (const { padding, offset, bytes } of files) {
    if (!padding || bytes === 0) continue
    const end = offset + bytes
    const before = offset % pieceBytes
    const ends = end % pieceBytes === 0 || end === totalBytes
    // Filler elsewhere than at the end of a piece is content like any other.
    if (!ends || before === 0 || before + bytes > pieceBytes) return new Map<number, number>()
    lengths.set(Math.floor(offset / pieceBytes), before)
  }
  return lengths
}

/** Where in the address space filler lies, in order: at the ends of pieces. */
export function fillerOf(
  info: Pick<TorrentInfo, 'files' | 'pieceBytes' | 'totalBytes' | 'format'>,
): { offset: number; bytes: number }[] {
  const filler: { offset: number; bytes: number }[] = []
  for (const [piece, length] of shortPieces(info)) {
    const start = piece * info.pieceBytes
    const end = Math.min(start + info.pieceBytes, info.totalBytes)
    if (end > start + length) filler.push({ offset: start + length, bytes: end - start - length })
  }
  return filler
}

export class PieceHashes {
  readonly info: TorrentInfo
  readonly #short: ReadonlyMap<number, number>
  /** For v2: the first piece of each file that has bytes, ascending, and the file. */
  readonly #firstPieces: number[] = []
  readonly #fileIndexes: number[] = []
  #layers: PieceLayers
  /** Made when somebody asks: most torrents are never asked. */
  #byRoot: Map<string, number> | undefined

  constructor(info: TorrentInfo, layers: PieceLayers = new Map()) {
    this.info = info
    this.#layers = layers
    this.#short = shortPieces(info)
    if (info.infoHashV2 === undefined) return
    for (const [index, file] of info.files.entries()) {
      if (file.piecesRoot === undefined) continue
      this.#firstPieces.push(file.offset / info.pieceBytes)
      this.#fileIndexes.push(index)
    }
  }

  get layers(): PieceLayers {
    return this.#layers
  }

  /** Layers that have been fetched since; they must have been proven. */
  learn(layers: PieceLayers): void {
    this.#layers = layers
  }

  /** Bytes of the piece that are content; the rest of it is filler. */
  contentLength(piece: number): number {
    return this.#short.get(piece) ?? this.pieceLength(piece)
  }

  /** Bytes of the piece, filler included. */
  pieceLength(piece: number): number {
    const { pieceBytes, totalBytes } = this.info
    return Math.min(pieceBytes, totalBytes - piece * pieceBytes)
  }

  /** The node of the file's tree that the piece is, and its height; undefined where that is not known. */
  merkleOf(piece: number): { readonly digest: Uint8Array; readonly height: number } | undefined {
    const at = this.#fileAt(piece)
    if (at < 0) return undefined
    const { files, pieceBytes } = this.info
    const file = files[this.#fileIndexes[at]!]!
    if (file.bytes <= pieceBytes) {
      return { digest: file.piecesRoot!, height: merkleHeight(merkleLeaves(file.bytes)) }
    }
    const layer = this.#layers.get(toHex(file.piecesRoot!))
    if (layer === undefined) return undefined
    const from = (piece - this.#firstPieces[at]!) * MERKLE_HASH_BYTES
    const digest = layer.subarray(from, from + MERKLE_HASH_BYTES)
    return { digest, height: merkleHeight(merkleLeaves(pieceBytes)) }
  }

  /** The file of v2 that a piece belongs to, and which of its pieces it is; undefined for v1. */
  fileOf(piece: number):
    | {
        readonly root: Uint8Array
        readonly index: number
        readonly pieces: number
        readonly bytes: number
      }
    | undefined {
    const at = this.#fileAt(piece)
    if (at < 0) return undefined
    const file = this.info.files[this.#fileIndexes[at]!]!
    return {
      root: file.piecesRoot!,
      index: piece - this.#firstPieces[at]!,
      pieces: countPieces(file.bytes, this.info.pieceBytes),
      bytes: file.bytes,
    }
  }

  /** The first piece of the file whose tree has this root; undefined when there is none. */
  firstPieceOf(root: Uint8Array): number | undefined {
    if (this.#byRoot === undefined) {
      this.#byRoot = new Map()
      for (const [at, index] of this.#fileIndexes.entries()) {
        this.#byRoot.set(toHex(this.info.files[index]!.piecesRoot!), this.#firstPieces[at]!)
      }
    }
    return this.#byRoot.get(toHex(root))
  }

  /** Hashes a piece as it comes. */
  begin(piece: number): PieceCheck {
    return new PieceCheck(this, piece)
  }

  /** `content` is all of the piece but filler. */
  judge(piece: number, content: Uint8Array): Verdict {
    const check = this.begin(piece)
    check.update(content)
    return check.verdict()
  }

  /** What has to be computed of the piece's content for a `verdict`, as far as its hashes are known. */
  recipe(piece: number): PieceRecipe {
    const merkle = this.merkleOf(piece)
    const contentBytes = this.contentLength(piece)
    return {
      sha1: this.sha1Of(piece) !== undefined,
      fillerBytes: this.pieceLength(piece) - contentBytes,
      leaves: merkle === undefined ? 0 : merkleLeaves(contentBytes),
      height: merkle?.height ?? 0,
    }
  }

  /** `digests` are what the piece's `recipe` made of it. */
  verdict(piece: number, { sha1, root }: PieceDigests): Verdict {
    if (sha1 === undefined && root === undefined) return 'unknown'
    const isSha1Right = sha1 === undefined || bytesEqual(sha1, this.sha1Of(piece)!)
    const isRootRight = root === undefined || bytesEqual(root, this.merkleOf(piece)!.digest)
    if (isSha1Right && isRootRight) return 'right'
    const isBoth = sha1 !== undefined && root !== undefined
    return isBoth && isSha1Right !== isRootRight ? 'torn' : 'wrong'
  }

  /** The SHA-1 of a piece of v1; undefined for v2 alone. */
  sha1Of(piece: number): Uint8Array | undefined {
    const { pieceHashes } = this.info
    if (pieceHashes.length === 0) return undefined
    return pieceHashes.subarray(piece * HASH_BYTES, (piece + 1) * HASH_BYTES)
  }

  #fileAt(piece: number): number {
    let low = 0
    let high = this.#firstPieces.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#firstPieces[middle]! <= piece) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

/** The verdict on one piece, in the making: `update` with its content in order, then `verdict`, once. */
export class PieceCheck {
  readonly #hashes: PieceHashes
  readonly #piece: number
  readonly #digester: PieceDigester

  constructor(hashes: PieceHashes, piece: number) {
    this.#hashes = hashes
    this.#piece = piece
    this.#digester = new PieceDigester(hashes.recipe(piece))
  }

  update(bytes: Uint8Array): void {
    this.#digester.update(bytes)
  }

  verdict(): Verdict {
    return this.#hashes.verdict(this.#piece, this.#digester.digests())
  }
}
