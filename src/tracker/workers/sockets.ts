/**
 * The sockets of all workers: of each address one for each worker, opened together. A socket that was handed in is one for all
 * of them, because its siblings could be opened only by whoever opened it.
 */
import type { Libc } from '../linux/libc.ts'
import { adoptSocket, type BoundSocket, openTcpListener, openUdpSocket } from '../linux/socket.ts'
import type { WorkerSocket } from './messages.ts'

const OPEN = { udp: openUdpSocket, tcp: openTcpListener } as const

export class WorkerSockets {
  readonly #libc: Libc
  readonly #workers: number
  readonly #protocol: WorkerSocket['protocol']
  readonly #sockets: WorkerSocket[][]

  constructor(libc: Libc, workers: number, protocol: WorkerSocket['protocol']) {
    this.#libc = libc
    this.#workers = workers
    this.#protocol = protocol
    this.#sockets = Array.from({ length: workers }, () => [])
  }

  /** Resolves to the port. Rejects with an error whose code is the errno's name. */
  async listen(address: string, port: number, _secure = false, fd?: number): Promise<number> {
    if (fd !== undefined) {
      adoptSocket(this.#libc, fd)
      const family = address.includes(':') ? 6 : 4
      for (const own of this.#sockets) own.push({ protocol: this.#protocol, fd, family })
      return port
    }
    const bound: BoundSocket[] = []
    try {
      for (let worker = 0; worker < this.#workers; worker++) {
        const { port: taken = port } = bound[0] ?? {}
        bound.push(OPEN[this.#protocol](this.#libc, address, taken, worker > 0))
      }
    } catch (error) {
      for (const { fd } of bound) this.#libc.close(fd)
      throw error
    }
    for (const [worker, { fd, family }] of bound.entries()) {
      this.#sockets[worker]!.push({ protocol: this.#protocol, fd, family })
    }
    return bound[0]!.port
  }

  /** Of a worker; from then on they are whoever's takes them. */
  take(worker: number): readonly WorkerSocket[] {
    return this.#sockets[worker]!.splice(0)
  }

  /** Closes those that nobody took. */
  async close(): Promise<void> {
    const left = this.#sockets.splice(0).flat()
    for (const fd of new Set(left.map((socket) => socket.fd))) this.#libc.close(fd)
  }
}
