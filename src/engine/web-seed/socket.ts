/**
 * A web server that holds a torrent's files (BEP 19), in the shape of a peer: to the engine it is a seed that speaks the wire
 * protocol, so that the picker, the bounds and the bans of peers are its own.
 *
 * ```
 * requests of chunks -> gathered into runs of neighbours -> GET with Range, file by file -> chunks
 * ```
 *
 * Invariants: at most MAX_FETCHES runs of at most MAX_RUN_BYTES are fetched or held; nothing is said while the engine reads
 * nothing; filler (BEP 47) is zeros, not asked for; after `destroy` nothing is said but `onClose`, once.
 */
import { createHash } from 'node:crypto'
import type { Clock } from '../../base/index.ts'
import { fileSpans, type TorrentInfo } from '../../metainfo/index.ts'
import { engineError } from '../errors.ts'
import type { Network, PeerSocket } from '../network.ts'
import { HANDSHAKE_BYTES, writeHandshake } from '../wire/handshake.ts'
import * as messages from '../wire/messages.ts'
import { WireReader } from '../wire/reader.ts'
import { DeafSink } from '../wire/sink.ts'
import { fileUrl, webSeedHost } from './url.ts'

const MAX_RUN_BYTES = 2 * 1024 * 1024
const MAX_FETCHES = 2
const TIMEOUT_MS = 60_000
const PARTIAL_CONTENT = 206
const OK = 200

interface Request {
  readonly piece: number
  readonly begin: number
  readonly length: number
}

export interface WebSeedTools {
  readonly network: Network
  readonly clock: Clock
}

export class WebSeedSocket extends DeafSink implements PeerSocket {
  readonly transport = 'web'
  readonly remoteAddress: string
  /** None that other peers could connect to. */
  readonly remotePort = 0
  onData: (bytes: Uint8Array) => void = () => {}
  onClose: (error: Error | undefined) => void = () => {}
  onDrain: () => void = () => {}
  onConnect: () => void = () => {}
  readonly #url: string
  readonly #info: TorrentInfo
  readonly #tools: WebSeedTools
  readonly #reader = new WireReader(this)
  readonly #abort = new AbortController()
  #waiting: Request[] = []
  /** Chunks that are there and not said yet. */
  #ready: { readonly request: Request; readonly bytes: Uint8Array }[] = []
  #fetching = 0
  #pumping = false
  #paused = false
  #closed = false

  /** Throws RangeError when the URL is not http(s). */
  constructor(url: string, info: TorrentInfo, tools: WebSeedTools) {
    super()
    const host = webSeedHost(url)
    if (host === undefined) throw new RangeError(`${url} is not http`)
    this.remoteAddress = host
    this.#url = url
    this.#info = info
    this.#tools = tools
    tools.clock.after(0, () => {
      if (!this.#closed) this.onConnect()
    })
  }

  // --- As a socket ---

  write(bytes: Uint8Array): boolean {
    if (!this.#closed) this.#reader.push(bytes)
    return true
  }

  cork(): void {}
  uncork(): void {}

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#pumpLater()
  }

  destroy(): void {
    this.#end(undefined)
  }

  #end(error: Error | undefined): void {
    if (this.#closed) return
    this.#closed = true
    this.#reader.stop()
    this.#abort.abort()
    this.#waiting = []
    this.#ready = []
    this.#tools.clock.after(0, () => this.onClose(error))
  }

  // --- As the peer at its other end ---

  override onHandshake({ infoHash }: { readonly infoHash: Uint8Array }): void {
    const peerId = new Uint8Array(20)
    peerId.set(Buffer.from('-WS0100-'))
    peerId.set(createHash('sha1').update(this.#url).digest().subarray(0, 12), 8)
    const hello = new Uint8Array(HANDSHAKE_BYTES + messages.BARE_BYTES)
    writeHandshake(hello, { infoHash, peerId })
    messages.writeHaveAll(hello, HANDSHAKE_BYTES)
    this.#sayLater(hello)
  }

  override onInterested(): void {
    const unchoke = new Uint8Array(messages.BARE_BYTES)
    messages.writeUnchoke(unchoke, 0)
    this.#sayLater(unchoke)
  }

  override onRequest(piece: number, begin: number, length: number): void {
    this.#waiting.push({ piece, begin, length })
    this.#pumpLater()
  }

  override onCancel(piece: number, begin: number, length: number): void {
    const isMeant = (request: Request): boolean =>
      request.piece === piece && request.begin === begin
    const left = this.#waiting.filter((request) => !isMeant(request))
    if (left.length === this.#waiting.length) return
    this.#waiting = left
    const reject = new Uint8Array(messages.REQUEST_BYTES)
    messages.writeReject(reject, 0, piece, begin, length)
    this.#sayLater(reject)
  }

  /** The engine may be in the middle of writing to us. */
  #sayLater(bytes: Uint8Array): void {
    this.#tools.clock.after(0, () => {
      if (!this.#closed) this.onData(bytes)
    })
  }

  // --- Fetching ---

  /** What is asked for in one go is fetched together. */
  #pumpLater(): void {
    if (this.#pumping || this.#closed) return
    this.#pumping = true
    this.#tools.clock.after(0, () => {
      this.#pumping = false
      this.#pump()
    })
  }

  #pump(): void {
    while (!this.#paused && !this.#closed && this.#ready.length > 0) {
      const { request, bytes } = this.#ready.shift()!
      this.#say(request, bytes)
    }
    while (!this.#paused && !this.#closed && this.#waiting.length > 0) {
      if (this.#fetching >= MAX_FETCHES) return
      const run = this.#takeRun()
      this.#fetching++
      this.#fetch(run).then(
        (bytes) => {
          this.#fetching--
          this.#arrived(run, bytes)
        },
        (error: Error) => this.#end(error),
      )
    }
  }

  /** The first request, and those after it that go on where it ends. */
  #takeRun(): Request[] {
    let end = this.#offsetOf(this.#waiting[0]!)
    const start = end
    let count = 0
    for (const request of this.#waiting) {
      const goesOn = this.#offsetOf(request) === end
      if (!goesOn || end + request.length - start > MAX_RUN_BYTES) break
      end += request.length
      count++
    }
    // A request larger than a run is no run of ours: nobody asks for as much.
    return this.#waiting.splice(0, Math.max(1, count))
  }

  #offsetOf({ piece, begin }: Request): number {
    return piece * this.#info.pieceBytes + begin
  }

  async #fetch(run: readonly Request[]): Promise<Uint8Array> {
    const start = this.#offsetOf(run[0]!)
    const last = run.at(-1)!
    const bytes = new Uint8Array(this.#offsetOf(last) + last.length - start)
    let at = 0
    for (const span of fileSpans(this.#info, start, bytes.length)) {
      if (this.#info.files[span.fileIndex]!.padding) {
        at += span.bytes
        continue
      }
      const url = fileUrl(this.#url, this.#info, span.fileIndex)
      const { status, body } = await this.#tools.network.httpGet(url, {
        timeoutMs: TIMEOUT_MS,
        maxBytes: span.bytes,
        range: { offset: span.fileOffset, bytes: span.bytes },
        signal: this.#abort.signal,
      })
      const isWhole = status === OK && span.fileOffset === 0
      if ((status !== PARTIAL_CONTENT && !isWhole) || body.length !== span.bytes) {
        const what = `${status} with ${body.length} bytes instead of ${span.bytes} from ${span.fileOffset}`
        throw engineError('ENGINE_HTTP_FAILED', `${url}: ${what}`)
      }
      bytes.set(body, at)
      at += span.bytes
    }
    return bytes
  }

  #arrived(run: readonly Request[], bytes: Uint8Array): void {
    if (this.#closed) return
    let at = 0
    for (const request of run) {
      this.#ready.push({ request, bytes: bytes.subarray(at, at + request.length) })
      at += request.length
    }
    this.#pump()
  }

  #say({ piece, begin }: Request, bytes: Uint8Array): void {
    const message = new Uint8Array(messages.PIECE_HEADER_BYTES + bytes.length)
    messages.writePieceHeader(message, 0, piece, begin, bytes.length)
    message.set(bytes, messages.PIECE_HEADER_BYTES)
    this.onData(message)
  }
}
