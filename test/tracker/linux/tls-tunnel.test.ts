/** The way between a socket of node and a descriptor of another thread. Plain sockets stand for those of TLS. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { openTunnel } from '../../../src/tracker/linux/tls-tunnel.ts'
import { libc, onLinux } from './linux.ts'

interface Tunnel {
  readonly client: Socket
  /** The server's end of the client's connection. */
  readonly socket: Socket
  /** What is at the other end of the pair. */
  readonly far: Socket
}

async function open(t: TestContext, stuckMs?: number): Promise<Tunnel> {
  const server = createServer({ allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const accepted = once(server, 'connection')
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  client.on('error', () => {})
  const [socket] = (await accepted) as [Socket]
  const far = new Socket({
    fd: openTunnel(libc, socket, stuckMs),
    readable: true,
    writable: true,
    allowHalfOpen: true,
  })
  far.on('error', () => {})
  t.after(() => {
    for (const one of [client, socket, far]) one.destroy()
    server.close()
  })
  return { client, socket, far }
}

async function hear(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let heard = 0
  while (heard < bytes) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    chunks.push(chunk)
    heard += chunk.length
  }
  return Buffer.concat(chunks)
}

test('bytes arrive whole in both directions, more than fits in between', onLinux, async (t) => {
  const { client, far } = await open(t)
  const there = Buffer.alloc(3_000_000, 'there')
  const back = Buffer.alloc(2_000_000, 'back')
  client.write(there)
  far.write(back)
  const [heardThere, heardBack] = await Promise.all([
    hear(far, there.length),
    hear(client, back.length),
  ])
  assert.ok(heardThere.equals(there))
  assert.ok(heardBack.equals(back))
})

test('a client that goes ends the other side', onLinux, async (t) => {
  const { client, socket, far } = await open(t)
  const closed = once(socket, 'close')
  far.resume()
  client.end('last words')
  await once(far, 'end')
  far.destroy()
  await closed
})

test('a client that is cut off ends the other side', onLinux, async (t) => {
  const { client, far } = await open(t)
  far.resume()
  client.resetAndDestroy()
  await once(far, 'end')
})

test('what was said last reaches the client before its end', onLinux, async (t) => {
  const { client, socket, far } = await open(t)
  const closed = once(socket, 'close')
  const said = Buffer.alloc(1_000_000, 'farewell')
  far.end(said, () => far.destroy())
  assert.equal((await hear(client, said.length)).length, said.length)
  await once(client, 'end')
  client.end()
  await closed
})

test('a client that takes nothing is let go after a while, another is not', onLinux, async (t) => {
  const { client, socket, far } = await open(t, 100)
  far.write('hello')
  assert.equal(String(await hear(client, 5)), 'hello')
  await once(socket, 'timeout')
  assert.ok(!socket.destroyed)
  client.pause()
  const closed = once(socket, 'close')
  // More than all buffers on the way hold.
  far.write(Buffer.alloc(2 ** 26))
  await closed
})
