/** What proofs put on a tracker over real sockets of this host: UDP from many addresses, HTTP, WebSocket, and clients that misbehave. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { delay, type Random, systemClock } from '../../../src/base/index.ts'

/** For a packet to be taken for lost. */
const REPLY_MS = 2000
/** For others to be taken for not served: not how fast it is, but whether it is. */
const SERVED_MS = 15_000

export interface Ports {
  readonly udp: number
  readonly http: number
}

/** Address n of 127.0.0.0/8, from 127.1.0.1 on. */
export function sourceOf(n: number): string {
  return `127.${1 + ((n >>> 16) & 127)}.${(n >>> 8) & 255}.${1 + (n % 254)}`
}

export function hashOf(n: number): Buffer {
  const hash = Buffer.alloc(20, 0x5a)
  hash.writeUInt32BE(n)
  return hash
}

/** One client over UDP from an address of its own: proves itself, announces `announces` times to swarms. Returns replies heard. */
export async function udpClient(
  ports: Ports,
  source: string,
  announces: number,
  random: Random,
  swarms: number,
): Promise<number> {
  const socket = createSocket('udp4')
  socket.on('error', () => {})
  try {
    socket.bind(0, source)
    await once(socket, 'listening')
    const ask = async (packet: Buffer): Promise<Buffer | null> => {
      const answer = new Promise<Buffer | null>((resolve) => {
        const cancel = systemClock.after(REPLY_MS, () => resolve(null))
        socket.once('message', (message) => {
          cancel()
          resolve(message)
        })
      })
      socket.send(packet, ports.udp, '127.0.0.1')
      return answer
    }
    const hello = Buffer.alloc(16)
    hello.writeBigUInt64BE(0x41727101980n)
    const id = await ask(hello)
    if (id === null || id.length !== 16) return 0
    let heard = 1
    for (let n = 0; n < announces; n++) {
      const packet = Buffer.alloc(98)
      id.copy(packet, 0, 8, 16)
      packet.writeUInt32BE(1, 8)
      hashOf(random.uint32() % swarms).copy(packet, 16)
      packet.writeUInt32BE(random.uint32() % 3, 68)
      packet.writeUInt32BE(random.uint32() % 4, 80)
      packet.writeInt32BE(-1, 92)
      packet.writeUInt16BE(6881, 96)
      if ((await ask(packet)) !== null) heard++
    }
    return heard
  } finally {
    socket.close()
  }
}

/** Runs `work` for n from 0 to `count`, so many at a time. */
export async function inParallel(
  count: number,
  atOnce: number,
  work: (n: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const one = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, one))
}

export async function openTcp(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Milliseconds until a plain request is answered, -1 when it is not at all. */
export async function timeOfRequest(port: number, path = '/'): Promise<number> {
  const begunMs = systemClock.monotonicMs()
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  const heard = await Promise.race([
    once(socket, 'data').then(() => true),
    delay(systemClock, SERVED_MS).then(() => false),
  ])
  socket.destroy()
  return heard ? systemClock.monotonicMs() - begunMs : -1
}

export function announcePath(random: Random, swarms: number): string {
  const hash = hashOf(random.uint32() % swarms)
  const escaped = hash.toString('hex').replaceAll(/../g, '%$&')
  return `/announce?info_hash=${escaped}&peer_id=-PR0001-000000000000&port=6881&uploaded=0&downloaded=0&left=${random.uint32() % 2}`
}

const HANDSHAKE =
  'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

export async function openWebSocket(port: number): Promise<Socket> {
  const socket = await openTcp(port)
  socket.write(HANDSHAKE)
  await once(socket, 'data')
  return socket
}

/** A masked text frame; the mask is all zeros. */
export function frameOf(text: string): Buffer {
  const payload = Buffer.from(text)
  const head =
    payload.length < 126
      ? Buffer.of(0x81, 0x80 | payload.length)
      : Buffer.of(0x81, 0xfe, payload.length >>> 8, payload.length & 255)
  return Buffer.concat([head, Buffer.alloc(4), payload])
}

export function webSocketAnnounce(peer: number, swarm: number, offers: number): Buffer {
  return frameOf(
    JSON.stringify({
      action: 'announce',
      info_hash: hashOf(swarm).toString('latin1'),
      peer_id: `-PR0001-${String(peer).padStart(12, '0')}`,
      numwant: offers,
      left: peer % 3,
      offers: Array.from({ length: offers }, (_, n) => ({
        offer: { type: 'offer', sdp: 'v=0\r\n'.repeat(150) },
        offer_id: `${peer}-${n}`.padEnd(20, '.'),
      })),
    }),
  )
}
