/**
 * UDP over node:dgram: one socket an address. What is said on it is udp-handler.ts.
 *
 * Invariant: replies that the kernel does not take pile up only to a bound; beyond it they are dropped, as the
 * network would have done.
 */
import { createSocket, type Socket } from 'node:dgram'
import type { Clock } from '../base/index.ts'
import { parseAddress } from './addresses.ts'
import type { Counters } from './counters.ts'
import type { UdpHandler } from './udp-handler.ts'

const MAX_QUEUED_BYTES = 1 << 20

export class UdpServer {
  readonly #counters: Counters
  readonly #clock: Clock
  #handler: UdpHandler
  #timed: boolean
  readonly #sockets: Socket[] = []

  constructor(clock: Clock, handler: UdpHandler, counters: Counters, timed: boolean) {
    this.#clock = clock
    this.#handler = handler
    this.#counters = counters
    this.#timed = timed
  }

  /** For packets from now on. */
  reconfigure(handler: UdpHandler, timed: boolean): void {
    this.#handler = handler
    this.#timed = timed
  }

  /** Binds; resolves to the port. Rejects with node's error. */
  listen(address: string, port: number, _secure = false, fd?: number): Promise<number> {
    const isIpv6 = address.includes(':')
    const socket = createSocket({
      type: isIpv6 ? 'udp6' : 'udp4',
      ipv6Only: isIpv6,
      // Peers are addresses already: the default would ask the resolver and wait a tick for each reply.
      lookup: (host, _options, callback) => callback(null, host, isIpv6 ? 6 : 4),
    })
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      const place = { address, port, exclusive: true }
      socket.bind(fd === undefined ? place : { fd, exclusive: true }, () => {
        socket.off('error', reject)
        // ICMP errors of earlier replies come here; they concern nobody.
        socket.on('error', () => {})
        socket.on('message', (packet, from) => {
          this.#receive(socket, packet, from.address, from.port)
        })
        this.#sockets.push(socket)
        resolve(socket.address().port)
      })
    })
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#sockets
        .splice(0)
        .map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
    )
  }

  #receive(socket: Socket, packet: Buffer, host: string, port: number): void {
    const address = parseAddress(host)
    // Port 0 cannot be answered; it is forged.
    if (address === null || port === 0) return
    const handler = this.#handler
    const begunMs = this.#timed ? this.#clock.monotonicMs() : 0
    const length = handler.handle(packet, address)
    if (handler.action >= 0) {
      const family = address.length === 4 ? 4 : 6
      const elapsedMs = this.#timed ? this.#clock.monotonicMs() - begunMs : -1
      this.#counters.responses.note('udp', handler.action, family, handler.reason, elapsedMs)
    }
    if (length === 0) return
    if (socket.getSendQueueSize() > MAX_QUEUED_BYTES) {
      this.#counters.transports[address.length === 4 ? 'udp4' : 'udp6'].unsent++
      return
    }
    // A copy: when the kernel is busy, node reads it after the next packet has been handled.
    socket.send(Buffer.from(handler.reply.subarray(0, length)), port, host, ignore)
  }
}

/** With a callback, a failed send is not an error of the socket. */
function ignore(): void {}
