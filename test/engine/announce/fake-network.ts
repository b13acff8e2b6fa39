/** A network in memory: names, datagrams and HTTP answers come from the test. */
import { SeedbedError } from '../../../src/base/index.ts'
import type {
  DatagramSocket,
  HttpAnswer,
  Network,
  ResolvedAddress,
} from '../../../src/engine/network.ts'

export interface FakeSocket extends DatagramSocket {
  readonly host: string
  readonly port: number
  readonly sent: Uint8Array[]
  closed: boolean
}

export class FakeNetwork implements Network {
  readonly names: Map<string, readonly ResolvedAddress[]> = new Map()
  readonly resolved: string[] = []
  readonly sockets: FakeSocket[] = []
  readonly urls: string[] = []
  /** Answers a datagram at once, or not. */
  onSend: (socket: FakeSocket, bytes: Uint8Array) => void = () => {}
  onGet: (url: string, options: { family?: 4 | 6 }) => Promise<HttpAnswer> = () =>
    Promise.reject(new SeedbedError('ENGINE_HTTP_FAILED', 'nobody there'))

  connect(): never {
    throw new Error('no peers here')
  }
  listen(): never {
    throw new Error('no peers here')
  }
  openMulticast(): never {
    throw new Error('no groups in this network')
  }
  gateways(): never {
    throw new Error('no gateways here')
  }
  openDatagram(): never {
    throw new Error('no other nodes here')
  }

  async resolve(host: string): Promise<readonly ResolvedAddress[]> {
    this.resolved.push(host)
    const found = this.names.get(host)
    if (found === undefined) throw new SeedbedError('ENGINE_RESOLVE_FAILED', `${host}?`)
    return found
  }

  async datagram(host: string, port: number): Promise<DatagramSocket> {
    const socket: FakeSocket = {
      host,
      port,
      sent: [],
      closed: false,
      onMessage: () => {},
      onError: () => {},
      send: (bytes) => {
        socket.sent.push(bytes.slice())
        this.onSend(socket, bytes)
      },
      close: () => {
        socket.closed = true
      },
    }
    this.sockets.push(socket)
    return socket
  }

  httpGet(url: string, options: { family?: 4 | 6 }): Promise<HttpAnswer> {
    this.urls.push(url)
    return this.onGet(url, options)
  }
}
