/**
 * The load on a tracker of WebTorrent: `node websocket-load.js OPTIONS`, OPTIONS in JSON. Connections in swarms, each with one announce
 * under way: when its answer has come the next goes out. What is sent was made and masked before; what comes is looked at as little
 * as can be. Prints a LoadResult as JSON.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'

export interface LoadOptions {
  readonly port: number
  /** Whose CPU time is read. */
  readonly pid: number
  readonly connections: number
  readonly peersPerSwarm: number
  readonly offers: number
  /** Whether offers that come are answered. */
  readonly answers: boolean
  /** At least so long, and so many announces: compiled code is measured, also where a busy machine leaves little time. */
  readonly warmMs: number
  readonly warmAnnounces: number
  readonly measureMs: number
  readonly measureAnnounces: number
}

export interface LoadResult {
  readonly announces: number
  readonly offers: number
  readonly answers: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** Of these, outside of the kernel. */
  readonly userSeconds: number
  readonly ownCpuSeconds: number
}

const TICKS_PER_SECOND = 100
/** A server that is so much too slow is measured as it is. */
const MOST_TIMES = 10
const MASK = Buffer.of(0x5a, 0x17, 0xc3, 0x88)
const ID_BYTES = 20

/** What a browser offers for a data channel, with three candidates. */
const SDP: string = [
  'v=0',
  'o=- 4611731400430051336 2 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0',
  'a=extmap-allow-mixed',
  'a=msid-semantic: WMS',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'c=IN IP4 0.0.0.0',
  ...['host', 'srflx raddr 0.0.0.0 rport 0', 'host'].map(
    (type, n) =>
      `a=candidate:${1467250027 + n} 1 udp 2122260223 192.0.2.${n + 1} 5${n}462 typ ${type} generation 0 network-id ${n + 1} network-cost 10`,
  ),
  'a=ice-ufrag:Wg3t',
  'a=ice-pwd:Y2PpRmbKfoLkWY3ezk9sXjzr',
  'a=ice-options:trickle',
  `a=fingerprint:sha-256 ${Array.from({ length: 32 }, (_, n) => (n * 7 + 16).toString(16).toUpperCase()).join(':')}`,
  'a=setup:actpass',
  'a=mid:0',
  'a=sctp-port:5000',
  'a=max-message-size:262144',
  '',
].join('\r\n')

function mask(payload: Buffer, from = 0): Buffer {
  for (let i = 0; i < payload.length; i++) payload[i]! ^= MASK[(from + i) & 3]!
  return payload
}

/** A masked frame of a text. */
function frameOf(text: string): Buffer {
  const payload = Buffer.from(text)
  const head =
    payload.length < 126
      ? Buffer.of(0x81, 0x80 | payload.length)
      : Buffer.of(0x81, 0xfe, payload.length >>> 8, payload.length & 255)
  return Buffer.concat([head, MASK, mask(payload)])
}

const PLACE = 'PLACE-OF-A-LATER-ID_'

class Peer {
  announces = 0
  offersHeard = 0
  answersSent = 0
  running = true
  readonly #socket: Socket
  readonly #announce: Buffer
  readonly #answer: Buffer
  readonly #toPeerAt: number
  readonly #offerAt: number
  #rest: Buffer = Buffer.alloc(0)

  constructor(socket: Socket, infoHash: string, number: number, options: LoadOptions) {
    this.#socket = socket
    const peerId = `-LD0001-${String(number).padStart(12, '0')}`
    const offers = Array.from({ length: options.offers }, (_, n) => ({
      offer: { type: 'offer', sdp: SDP },
      offer_id: `${number}-${n}`.padEnd(ID_BYTES, 'o'),
    }))
    const common = { action: 'announce', info_hash: infoHash, peer_id: peerId }
    const counts = { uploaded: 0, downloaded: 0, left: number % 4 === 0 ? 0 : 1_000_000 }
    this.#announce = frameOf(
      JSON.stringify({ numwant: options.offers, ...counts, offers, ...common }),
    )
    const answer = JSON.stringify({
      ...common,
      to_peer_id: PLACE,
      answer: { type: 'answer', sdp: SDP.replace('actpass', 'active') },
      offer_id: PLACE,
    })
    this.#answer = frameOf(answer)
    const inHead = 8
    this.#toPeerAt = inHead + Buffer.byteLength(answer.slice(0, answer.indexOf(PLACE)))
    this.#offerAt = inHead + Buffer.byteLength(answer.slice(0, answer.lastIndexOf(PLACE)))
    socket.on('data', (chunk) => this.#receive(chunk, options.answers))
  }

  announce(): void {
    this.#socket.write(this.#announce)
  }

  #receive(chunk: Buffer, answers: boolean): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (bytes.length - at >= 4) {
      const short = bytes[at + 1]!
      const start = at + (short === 126 ? 4 : 2)
      const end = start + (short === 126 ? bytes.readUInt16BE(at + 2) : short)
      if (end > bytes.length) break
      this.#take(bytes, start, end, answers)
      at = end
    }
    this.#rest = at === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at))
  }

  /** The answer to an announce is short, an offer is not, and only offers have the word. */
  #take(bytes: Buffer, start: number, end: number, answers: boolean): void {
    if (end - start < 400) {
      const text = bytes.toString('latin1', start, end)
      if (!text.includes('"interval":')) throw new Error(`unexpected: ${text}`)
      this.announces++
      if (this.running) this.announce()
      return
    }
    const text = bytes.toString('latin1', start, end)
    if (!text.includes('"type":"offer"')) return
    this.offersHeard++
    if (answers) this.#say(idAfter(text, '"peer_id":"'), idAfter(text, '"offer_id":"'))
  }

  #say(toPeerId: string, offerId: string): void {
    const out = Buffer.from(this.#answer)
    out.write(toPeerId, this.#toPeerAt, 'latin1')
    out.write(offerId, this.#offerAt, 'latin1')
    for (const at of [this.#toPeerAt, this.#offerAt]) mask(out.subarray(at, at + ID_BYTES), at - 8)
    this.#socket.write(out)
    this.answersSent++
  }
}

function idAfter(text: string, key: string): string {
  const at = text.indexOf(key) + key.length
  return text.slice(at, at + ID_BYTES)
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.write(
    'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  if (!chunk.toString('latin1').startsWith('HTTP/1.1 101')) throw new Error(String(chunk))
  return socket
}

function cpuSecondsOf(pid: number): { readonly all: number; readonly user: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [user, system] = [Number(fields[11]), Number(fields[12])]
  return { all: (user + system) / TICKS_PER_SECOND, user: user / TICKS_PER_SECOND }
}

async function main(options: LoadOptions): Promise<LoadResult> {
  const peers: Peer[] = []
  let infoHash = ''
  for (let n = 0; n < options.connections; n++) {
    if (n % options.peersPerSwarm === 0) infoHash = randomBytes(ID_BYTES).toString('latin1')
    peers.push(new Peer(await open(options.port), infoHash, n, options))
  }
  for (const peer of peers) peer.announce()
  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
  const sum = (of: (peer: Peer) => number): number => peers.reduce((all, one) => all + of(one), 0)
  const last = async (ms: number, announces: number): Promise<void> => {
    const begunMs = performance.now()
    const before = sum((peer) => peer.announces)
    await wait(ms)
    while (sum((peer) => peer.announces) - before < announces) {
      if (performance.now() - begunMs > MOST_TIMES * ms) return
      await wait(ms / 10)
    }
  }
  const snapshot = () => ({
    atMs: performance.now(),
    announces: sum((peer) => peer.announces),
    offers: sum((peer) => peer.offersHeard),
    answers: sum((peer) => peer.answersSent),
    cpu: cpuSecondsOf(options.pid),
    own: process.cpuUsage(),
  })
  await last(options.warmMs, options.warmAnnounces)
  const before = snapshot()
  await last(options.measureMs, options.measureAnnounces)
  const after = snapshot()
  const own = after.own.user + after.own.system - before.own.user - before.own.system
  return {
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
