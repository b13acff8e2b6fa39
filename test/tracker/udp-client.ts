/** A client of BEP 15 that waits for each answer. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import type { TestContext } from 'node:test'

/** What it announces unless it is told otherwise. */
export const HASH: string = 'a'.repeat(20)

/** With a path and query (BEP 41) as options behind an announce. */
export function withUrl(packet: Buffer, url: string): Buffer {
  const options: Buffer[] = []
  for (let at = 0; at < url.length; at += 255) {
    const piece = Buffer.from(url.slice(at, at + 255), 'latin1')
    options.push(Buffer.of(2, piece.length), piece)
  }
  return Buffer.concat([packet, ...options])
}

export class UdpClient {
  readonly #host: string
  readonly #port: number
  readonly #socket: ReturnType<typeof createSocket>
  readonly #waiting: Buffer[] = []
  readonly #readers: ((packet: Buffer) => void)[] = []

  constructor(t: TestContext, host: string, port: number) {
    this.#host = host
    this.#port = port
    this.#socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    this.#socket.on('message', (packet) => {
      const reader = this.#readers.shift()
      if (reader === undefined) this.#waiting.push(packet)
      else reader(packet)
    })
    t.after(() => this.#socket.close())
  }

  ask(packet: Buffer): Promise<Buffer> {
    this.#socket.send(packet, this.#port, this.#host)
    return this.next()
  }

  /** The next packet that comes. */
  async next(): Promise<Buffer> {
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) return waiting
    return new Promise((resolve) => this.#readers.push(resolve))
  }

  /** Announces without waiting. */
  send(id: Buffer, port: number, left: number): void {
    this.#socket.send(announcePacket(id, port, left, 0, HASH), this.#port, this.#host)
  }

  async connect(): Promise<Buffer> {
    const packet = Buffer.alloc(16)
    packet.writeBigUInt64BE(0x41727101980n)
    packet.writeUInt32BE(99, 12)
    const reply = await this.ask(packet)
    assert.equal(reply.length, 16)
    assert.equal(reply.readUInt32BE(4), 99)
    return reply.subarray(8)
  }

  announce(
    id: Buffer,
    port: number,
    left: number,
    event = 0,
    hash: string = HASH,
  ): Promise<Buffer> {
    return this.ask(announcePacket(id, port, left, event, hash))
  }
}

export function announcePacket(
  id: Buffer,
  port: number,
  left: number,
  event: number,
  hash: string,
): Buffer {
  const packet = Buffer.alloc(98)
  packet.set(id)
  packet.writeUInt32BE(1, 8)
  packet.write(hash, 16, 'latin1')
  packet.writeUInt32BE(left, 68)
  packet.writeUInt32BE(event, 80)
  packet.writeInt32BE(-1, 92)
  packet.writeUInt16BE(port, 96)
  return packet
}
