/**
 * A network in memory, on a clock that the test advances: hosts with addresses, TCP streams with a
 * latency and a rate. Bytes are read from the writer's memory when they leave, not when they are
 * written, so a buffer that changes too early shows as corruption.
 */
import { type Clock, seededRandom } from '../../src/base/index.ts'
import type {
  DatagramSocket,
  FoundGateways,
  HttpAnswer,
  MulticastSocket,
  Network,
  OpenDatagramSocket,
  PeerListener,
  PeerSocket,
} from '../../src/engine/index.ts'

export interface FakeLink {
  readonly latencyMs: number
  /** Bytes a millisecond from each host. */
  readonly bytesPerMs: number
  /**
   * Whether a host is behind a NAT that lets in datagrams from those addresses alone that it has sent to in the last
   * NAT_MS, and no connection over TCP.
   */
  readonly isBehindNat?: (host: string) => boolean
  /** Whether a host takes no connection over TCP. */
  readonly refusesTcp?: (host: string) => boolean
  /** Share of datagrams that are lost. */
  readonly datagramLoss?: number
  /** Changes what a host sends, in place; for corrupting peers. `stream` is one direction of a connection. */
  readonly tamper?: (from: string, bytes: Uint8Array, stream: object) => void
  /** Whether what a host sends is lost, though it thinks that it was sent. */
  readonly swallow?: (from: string, bytes: Uint8Array) => boolean
}

const NAT_MS = 10_000

export class FakeInternet {
  /** When hosts sent to others last, by both. */
  readonly #sentMs = new Map<string, number>()
  readonly #clock: Clock
  readonly #link: FakeLink
  readonly #listeners = new Map<string, (socket: PeerSocket) => void>()
  readonly #sockets = new Set<FakeSocket>()
  readonly #datagramSockets = new Map<string, OpenDatagramSocket>()
  readonly #random = seededRandom(99)
  #nextPort = 20_000
  connections = 0
  /** Of a host; none by default. */
  gatewaysOf: (host: string) => FoundGateways = () => ({ gateways: [], lack: 'there is none' })
  readonly #groups = new Map<string, Set<MulticastSocket>>()
  /** What was said to groups. */
  readonly multicasts: { host: string; group: string; bytes: Uint8Array }[] = []
  /** Datagrams sent, by host. */
  readonly datagramsFrom: Map<string, number> = new Map()

  constructor(clock: Clock, link: FakeLink) {
    this.#clock = clock
    this.#link = link
  }

  /** The network as the host with this address sees it. */
  host(address: string): Network {
    return {
      connect: (host, port) => this.#connect(address, host, port),
      listen: async (_addresses, port, accept): Promise<PeerListener> => {
        const chosen = port === 0 ? this.#nextPort++ : port
        const key = `${address} ${chosen}`
        this.#listeners.set(key, accept)
        return {
          port: chosen,
          close: async () => {
            this.#listeners.delete(key)
          },
        }
      },
      resolve: async (host) => [{ address: host, family: 4 }],
      datagram: async (host, port, from = address): Promise<DatagramSocket> =>
        this.#connectDatagram(from, host, port),
      gateways: async () => this.gatewaysOf(address),
      openDatagram: async (_address, port): Promise<OpenDatagramSocket> =>
        this.#openDatagram(address, port === 0 ? this.#nextPort++ : port),
      openMulticast: async (group, port): Promise<MulticastSocket> =>
        this.#openMulticast(address, `${group} ${port}`),
      httpGet: async (): Promise<HttpAnswer> => {
        throw new Error('no HTTP in this network')
      },
    }
  }

  #connectDatagram(from: string, host: string, port: number): DatagramSocket {
    const socket = this.#openDatagram(from, this.#nextPort++)
    const face: DatagramSocket = {
      onMessage: () => {},
      onError: () => {},
      send: (bytes) => socket.send(bytes, host, port),
      close: () => socket.close(),
    }
    socket.onMessage = (bytes, by, byPort) => {
      if (by === host && byPort === port) face.onMessage(bytes)
    }
    return face
  }

  #openDatagram(host: string, port: number): OpenDatagramSocket {
    const key = `${host} ${port}`
    const socket: OpenDatagramSocket = {
      port,
      onMessage: () => {},
      onQuiet: () => {},
      backlog: 0,
      send: (bytes, to, toPort) => {
        const copy = Buffer.from(bytes)
        this.#sentMs.set(`${host} ${to}`, this.#clock.monotonicMs())
        if (
          this.#link.datagramLoss !== undefined &&
          this.#random.uint32() / 2 ** 32 < this.#link.datagramLoss
        ) {
          return
        }
        this.datagramsFrom.set(host, (this.datagramsFrom.get(host) ?? 0) + 1)
        this.#clock.after(this.#link.latencyMs, () => {
          if (!this.#letsIn(to, host)) return
          const receiver = this.#datagramSockets.get(`${to} ${toPort}`)
          receiver?.onMessage(copy, host, port)
          receiver?.onQuiet()
        })
      },
      close: () => {
        this.#datagramSockets.delete(key)
      },
    }
    this.#datagramSockets.set(key, socket)
    return socket
  }

  #letsIn(to: string, from: string): boolean {
    if (this.#link.isBehindNat?.(to) !== true) return true
    const sentMs = this.#sentMs.get(`${to} ${from}`) ?? Number.NEGATIVE_INFINITY
    return this.#clock.monotonicMs() - sentMs < NAT_MS
  }

  #openMulticast(host: string, group: string): MulticastSocket {
    const members = this.#groups.get(group) ?? new Set()
    this.#groups.set(group, members)
    const socket: MulticastSocket = {
      onMessage: () => {},
      send: (bytes) => {
        const copy = Buffer.from(bytes)
        this.multicasts.push({ host, group, bytes: copy })
        this.#clock.after(this.#link.latencyMs, () => {
          for (const member of [...members]) member.onMessage(copy, host)
        })
      },
      close: () => {
        members.delete(socket)
      },
    }
    members.add(socket)
    return socket
  }

  /** The host vanishes: its connections end on the other side after the latency, silently on its own. */
  cut(address: string): void {
    for (const socket of [...this.#sockets]) {
      if (socket.localAddress === address) socket.destroy()
    }
  }

  #connect(from: string, host: string, port: number): FakeSocket {
    const near = new FakeSocket(this.#clock, this.#link, from, host, port)
    this.#clock.after(this.#link.latencyMs, () => {
      const accept = this.#listeners.get(`${host} ${port}`)
      if (near.closed) return
      const { refusesTcp, isBehindNat } = this.#link
      const isShut = refusesTcp?.(host) === true || isBehindNat?.(host) === true
      if (accept === undefined || isShut) {
        near.end(new Error('connection refused'))
        return
      }
      const farPort = 40_000 + (this.#random.uint32() % 20_000)
      const far = new FakeSocket(this.#clock, this.#link, host, from, farPort)
      near.pair(far)
      this.connections++
      for (const socket of [near, far]) {
        this.#sockets.add(socket)
        socket.gone = () => this.#sockets.delete(socket)
      }
      accept(far)
      near.onConnect()
    })
    return near
  }
}

export class FakeSocket implements PeerSocket {
  readonly transport = 'tcp'
  readonly localAddress: string
  readonly remoteAddress: string
  readonly remotePort: number
  onData: (bytes: Uint8Array) => void = () => {}
  onClose: (error: Error | undefined) => void = () => {}
  onDrain: () => void = () => {}
  onConnect: () => void = () => {}
  gone: () => void = () => {}
  closed = false
  readonly #clock: Clock
  readonly #link: FakeLink
  #other: FakeSocket | undefined
  #queue: Uint8Array[] = []
  #corked = 0
  #sending = false

  constructor(clock: Clock, link: FakeLink, local: string, remote: string, remotePort: number) {
    this.#clock = clock
    this.#link = link
    this.localAddress = local
    this.remoteAddress = remote
    this.remotePort = remotePort
  }

  pair(other: FakeSocket): void {
    this.#other = other
    other.#other = this
    this.#send()
  }

  write(bytes: Uint8Array): boolean {
    if (this.closed) return true
    this.#queue.push(bytes)
    this.#send()
    return false
  }

  cork(): void {
    this.#corked++
  }

  uncork(): void {
    this.#corked--
    this.#send()
  }

  pause(): void {}
  resume(): void {}

  destroy(): void {
    this.end(undefined)
  }

  end(error: Error | undefined): void {
    if (this.closed) return
    this.closed = true
    this.#queue = []
    this.gone()
    const other = this.#other
    this.#clock.after(0, () => this.onClose(error))
    this.#clock.after(this.#link.latencyMs, () => other?.end(undefined))
  }

  #send(): void {
    if (this.#sending || this.#corked > 0 || this.#queue.length === 0) return
    if (this.#other === undefined) return
    this.#sending = true
    const batch = this.#queue
    this.#queue = []
    let bytes = 0
    for (const part of batch) bytes += part.length
    this.#clock.after(bytes / this.#link.bytesPerMs, () => {
      this.#sending = false
      if (this.closed) return
      const whole = Buffer.concat(batch)
      this.#link.tamper?.(this.localAddress, whole, this)
      const lost = this.#link.swallow?.(this.localAddress, whole) === true
      const other = this.#other!
      this.#clock.after(this.#link.latencyMs, () => {
        if (!other.closed && !lost) other.onData(whole)
        // The receiver's only during the call.
        whole.fill(0xdd)
      })
      if (this.#queue.length > 0) this.#send()
      else this.onDrain()
    })
  }
}
