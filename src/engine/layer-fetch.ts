/**
 * Fetching the piece layers of a torrent of v2 from its peers (BEP 52): a magnet link brings only their
 * roots, and of a .torrent file some may be wrong.
 *
 * Invariants: a layer is asked for in stretches of at most MAX_HASHES nodes, each of which proves itself
 * against the root before it is kept; memory is what has been proved, at most MAX_LAYERS_BYTES.
 */
import {
  type HashRange,
  type LayeredFile,
  layeredFiles,
  MERKLE_HASH_BYTES,
  merkleHeight,
  type PieceLayers,
  pieceLayerOf,
  proofLayersTo,
  provesRange,
  type TorrentInfo,
} from '../metainfo/index.ts'
import { engineError } from './errors.ts'
import type { HashJob } from './hash-requests.ts'
import { MAX_HASHES } from './wire/hashes.ts'

/** Layers that are fetched from peers: of four million pieces. */
export const MAX_LAYERS_BYTES: number = 128 * 1024 * 1024

export class LayerFetch {
  readonly #layers: Map<string, Uint8Array>
  readonly #parts = new Map<string, { left: number; readonly parts: Uint8Array[] }>()
  readonly #pieceLayer: number
  readonly #jobs: Iterator<HashJob>
  readonly #done: (layers: PieceLayers) => void
  #left = 0

  /** `known` are the layers that are there already. Throws ENGINE_BAD_METADATA when they would be too many. */
  constructor(info: TorrentInfo, known: PieceLayers, done: (layers: PieceLayers) => void) {
    this.#layers = new Map(known)
    this.#done = done
    this.#pieceLayer = pieceLayerOf(info)
    const missing: [string, LayeredFile][] = []
    let bytes = 0
    for (const [name, file] of layeredFiles(info)) {
      if (known.has(name)) continue
      missing.push([name, file])
      bytes += file.pieces * MERKLE_HASH_BYTES
    }
    if (bytes > MAX_LAYERS_BYTES) {
      throw engineError('ENGINE_BAD_METADATA', `the torrent has piece layers of ${bytes} bytes`, {
        mend: 'Use a .torrent file of it, which has them.',
      })
    }
    this.#left = missing.length
    this.#jobs = this.#jobsOf(missing)
  }

  /** The next stretch that nobody has been asked for. */
  next(): HashJob | undefined {
    const { value, done } = this.#jobs.next()
    return done === true ? undefined : value
  }

  *#jobsOf(missing: readonly (readonly [string, LayeredFile])[]): Generator<HashJob> {
    for (const [name, file] of missing) {
      const span = Math.min(MAX_HASHES, 2 ** merkleHeight(file.pieces))
      const stretches = Math.ceil(file.pieces / span)
      this.#parts.set(name, { left: stretches, parts: [] })
      for (let i = 0; i < stretches; i++) yield this.#job(name, file, i, span)
    }
  }

  #job(name: string, file: LayeredFile, stretch: number, span: number): HashJob {
    const range: HashRange = {
      baseLayer: this.#pieceLayer,
      index: stretch * span,
      length: span,
      proofLayers: proofLayersTo(file.height, this.#pieceLayer),
    }
    return {
      root: file.root,
      range,
      proves: (hashes) => provesRange(hashes, range, file.root, file.height),
      take: (hashes) => {
        const nodes = Math.min(span, file.pieces - stretch * span)
        // Not `slice`: of a Buffer, which it may be, that is no copy.
        this.#take(name, stretch, Uint8Array.from(hashes.subarray(0, nodes * MERKLE_HASH_BYTES)))
      },
    }
  }

  #take(name: string, stretch: number, nodes: Uint8Array): void {
    const file = this.#parts.get(name)!
    file.parts[stretch] = nodes
    file.left--
    if (file.left > 0) return
    this.#layers.set(name, new Uint8Array(Buffer.concat(file.parts)))
    this.#parts.delete(name)
    this.#left--
    if (this.#left === 0) this.#done(this.#layers)
  }
}
