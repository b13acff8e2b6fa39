/**
 * The load on a tracker of WebTorrent: `node websocket-load.js OPTIONS`, OPTIONS in JSON. Clients in swarms; what is sent was made and
 * masked before; what comes is looked at as little as can be. Prints a LoadResult as JSON.
 *
 * Clients announce again and again on a connection that stays, the next request going out when the answer has come. Or they live as the
 * client of WebTorrent does (bittorrent-tracker's), one after the other in each place, with a pause behind each announce:
 *
 *     connect, upgrade   a connection for each, under a peer id that was not there a moment ago
 *     scrape             one of ten: WebTorrent itself never does, pages that list torrents do
 *     started            with five offers, as many as the client makes however many peers it wants
 *     announce           four times with five offers: who stays ten minutes, and trackers ask for one in two
 *     completed          every second one, without offers
 *     stopped, close     without offers; three of four. The fourth is just gone, as who closes its lid
 *
 * Every offer that comes before `stopped` is answered at once, also while the one who heard it waits for something else. How fast they live is
 * the pauses' doing, not the tracker's: without them most clients of a busy tracker wait to be let in, its swarms are nearly empty, and it is
 * measured at passing on a part of the offers.
 */
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { DescriptorSockets } from '../../src/tracker/linux/descriptor-socket.ts'
import { FAMILY_CODE, sockaddrOf } from '../../src/tracker/linux/layouts.ts'
import {
  errnoError,
  IPPROTO_TCP,
  probeLibc,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  TCP_NODELAY,
} from '../../src/tracker/linux/libc.ts'
import { openWake, Poller } from '../../src/tracker/linux/poller.ts'
import { setOption } from '../../src/tracker/linux/socket.ts'
import type { SignalSocket, SocketOwner } from '../../src/tracker/websocket/signal-socket.ts'
import { cpuSecondsOf } from './cpu-seconds.ts'
import { CLOSE, ID_BYTES, OPCODE_CLOSE, Script } from './websocket-script.ts'

export interface LoadOptions {
  readonly port: number
  /** Whose CPU time is read. */
  readonly pid: number
  readonly connections: number
  readonly peersPerSwarm: number
  readonly offers: number
  /** Whether offers that come are answered. */
  readonly answers: boolean
  /** Whether clients come and go. */
  readonly lives: boolean
  /** Behind each announce of a life: between half of it and one and a half. */
  readonly pauseMs: number
  /** At least so long, and so many announces: compiled code is measured, also where a busy machine leaves little time. */
  readonly warmMs: number
  readonly warmAnnounces: number
  readonly measureMs: number
  readonly measureAnnounces: number
}

export interface LoadResult {
  readonly lives: number
  readonly announces: number
  readonly offers: number
  readonly answers: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** Of these, outside of the kernel. */
  readonly userSeconds: number
  readonly ownCpuSeconds: number
}

/** A server that is so much too slow is measured as it is. */
const MOST_TIMES = 10
/** Peer ids that a place has in turn: the last but one is long forgotten. */
const IDS_PER_PLACE = 8
const INTERVALS_PER_LIFE = 4
const UPGRADE: Buffer = Buffer.from(
  'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
)
/** Announces of a life. */
const STEPS: number = INTERVALS_PER_LIFE + 3

/** Of all peers. */
const heard = { lives: 0, announces: 0, offers: 0, answers: 0 }

/** Sockets are the tracker's own kind: node's would leave a processor to make half as many clients. */
const { libc, reason } = probeLibc()
if (libc === undefined) throw new Error(`the load needs koffi on Linux: ${reason}`)
const poller = new Poller(libc, openWake(libc))
const sockets = new DescriptorSockets(libc, poller)
const connectTo = createRequire(import.meta.url)('koffi')
  .load(null)
  .func('int connect(int, void*, uint32_t)') as (fd: number, to: Uint8Array, n: number) => number
const EINPROGRESS = 115
/** What is sent lies here: one after the other, as what the kernel does not take is copied. */
const output: Buffer = Buffer.allocUnsafeSlow(65_536)

class Link implements SocketOwner {
  /** Resolves when the connection is no more. */
  readonly gone: Promise<void>
  onBytes: (memory: Buffer, bytes: number) => void = () => {}
  readonly #socket: SignalSocket
  #onClosed: () => void = () => {}

  constructor(port: number) {
    const flags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
    const fd = libc!.socket(FAMILY_CODE[4], flags, 0)
    if (fd < 0) throw errnoError('socket', libc!.errno())
    const to = sockaddrOf(Uint8Array.of(127, 0, 0, 1), port)
    if (connectTo(fd, to, to.length) !== 0 && libc!.errno() !== EINPROGRESS) {
      throw errnoError('connect', libc!.errno())
    }
    setOption(libc!, fd, IPPROTO_TCP, TCP_NODELAY, 1)
    this.gone = new Promise((resolve) => {
      this.#onClosed = resolve
    })
    this.#socket = sockets.adopt(fd)
    this.#socket.attach(this)
    this.#socket.resume()
  }

  write(bytes: Buffer): void {
    output.set(bytes)
    this.#socket.send(output, 0, bytes.length)
  }

  finish(): void {
    this.#socket.finish()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  received(memory: Buffer, bytes: number): void {
    this.onBytes(memory, bytes)
  }

  ended(): void {
    this.#socket.destroy()
  }

  drained(): void {}

  closed(): void {
    this.#onClosed()
  }
}

class Peer {
  readonly script: Script
  readonly #link: Link
  /** Who has stopped answers no more. */
  answers: boolean
  #rest: Buffer = Buffer.alloc(0)
  #onReply: () => void = () => {}

  constructor(link: Link, script: Script, answers: boolean) {
    this.#link = link
    this.script = script
    this.answers = answers
    link.onBytes = (memory, count) => this.#receive(memory.subarray(0, count))
  }

  /** Calls back when it is answered. */
  ask(request: Buffer, onReply: () => void): void {
    this.#onReply = onReply
    this.#link.write(request)
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (bytes.length - at >= 2) {
      const short = bytes[at + 1]!
      if (short === 126 && bytes.length - at < 4) break
      const start = at + (short === 126 ? 4 : 2)
      const end = start + (short === 126 ? bytes.readUInt16BE(at + 2) : short)
      if (end > bytes.length) break
      if ((bytes[at]! & 15) === OPCODE_CLOSE) this.#link.finish()
      else this.#take(bytes, start, end)
      at = end
    }
    this.#rest = at === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at))
  }

  /** What answers a request is short, an offer is not, and only offers have the word. */
  #take(bytes: Buffer, start: number, end: number): void {
    const text = bytes.toString('latin1', start, end)
    if (end - start < 400) {
      if (text.includes('"interval":')) heard.announces++
      else if (!text.includes('"files":')) throw new Error(`unexpected: ${text}`)
      this.#onReply()
      return
    }
    if (!text.includes('"type":"offer"')) return
    heard.offers++
    if (!this.answers) return
    const answer = this.script.answerTo(idAfter(text, '"peer_id":"'), idAfter(text, '"offer_id":"'))
    this.#link.write(answer)
    heard.answers++
  }
}

function idAfter(text: string, key: string): string {
  const at = text.indexOf(key) + key.length
  return text.slice(at, at + ID_BYTES)
}

/** Announces for ever. */
async function stay(script: Script, options: LoadOptions): Promise<void> {
  const peer = new Peer(await open(options.port), script, options.answers)
  const announce = (): void => peer.ask(script.announce, announce)
  announce()
}

/** One after the other, for ever. */
async function live(
  scripts: readonly Script[],
  place: number,
  options: LoadOptions,
): Promise<void> {
  const { pauseMs } = options
  const pause = (): Promise<void> => wait(pauseMs * (0.5 + Math.random()))
  // Not all at once.
  await wait(pauseMs * STEPS * Math.random())
  for (let life = place; ; life++) {
    const script = scripts[life % scripts.length]!
    const link = await open(options.port)
    const peer = new Peer(link, script, options.answers)
    const ask = (request: Buffer): Promise<void> =>
      new Promise((resolve) => peer.ask(request, resolve))
    if (life % 10 === 0) await ask(script.scrape)
    await ask(script.started)
    await pause()
    for (let n = 0; n < INTERVALS_PER_LIFE; n++) {
      await ask(script.announce)
      await pause()
    }
    if (life % 2 === 0) {
      await ask(script.completed)
      await pause()
    }
    if (life % 4 === 3) {
      link.destroy()
    } else {
      peer.answers = false
      await ask(script.stopped)
      link.write(CLOSE)
    }
    await link.gone
    heard.lives++
  }
}

async function open(port: number): Promise<Link> {
  const link = new Link(port)
  link.write(UPGRADE)
  const answer = await new Promise<string>((resolve) => {
    link.onBytes = (memory, count) => resolve(memory.toString('latin1', 0, count))
  })
  if (!answer.startsWith('HTTP/1.1 101')) throw new Error(answer)
  return link
}

/** Serves the sockets for ever; between two rounds node does what is due. */
function serve(): void {
  poller.wait(1)
  setImmediate(serve)
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function main(options: LoadOptions): Promise<LoadResult> {
  const { connections, peersPerSwarm, offers } = options
  serve()
  const failed = new Promise<never>((_, reject) => {
    let infoHash = ''
    for (let n = 0; n < connections; n++) {
      if (n % peersPerSwarm === 0) infoHash = randomBytes(ID_BYTES).toString('latin1')
      const scriptOf = (id: number): Script => new Script(infoHash, n + id * connections, offers)
      const begun = options.lives
        ? live(
            Array.from({ length: IDS_PER_PLACE }, (_, id) => scriptOf(id)),
            n,
            options,
          )
        : stay(scriptOf(0), options)
      begun.catch(reject)
    }
  })
  return Promise.race([failed, measure(options)])
}

async function measure(options: LoadOptions): Promise<LoadResult> {
  const last = async (ms: number, announces: number): Promise<void> => {
    const begunMs = performance.now()
    const before = heard.announces
    await wait(ms)
    while (heard.announces - before < announces) {
      if (performance.now() - begunMs > MOST_TIMES * ms) return
      await wait(ms / 10)
    }
  }
  const snapshot = () => ({
    ...heard,
    atMs: performance.now(),
    cpu: cpuSecondsOf(options.pid),
    own: process.cpuUsage(),
  })
  await last(options.warmMs, options.warmAnnounces)
  const before = snapshot()
  await last(options.measureMs, options.measureAnnounces)
  const after = snapshot()
  const own = after.own.user + after.own.system - before.own.user - before.own.system
  return {
    lives: after.lives - before.lives,
    announces: after.announces - before.announces,
    offers: after.offers - before.offers,
    answers: after.answers - before.answers,
    seconds: (after.atMs - before.atMs) / 1000,
    cpuSeconds: after.cpu.all - before.cpu.all,
    userSeconds: after.cpu.user - before.cpu.user,
    ownCpuSeconds: own / 1e6,
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  console.log(JSON.stringify(await main(JSON.parse(process.argv[2]!) as LoadOptions)))
  process.exit(0)
}
