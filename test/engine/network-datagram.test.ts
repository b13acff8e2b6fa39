/** Datagrams and names. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { test } from 'node:test'
import { nodeNetwork } from '../../src/engine/node-network.ts'

const network = nodeNetwork()

test('datagrams go to the other side and come back from it only', async (t) => {
  const server = createSocket('udp4')
  const stranger = createSocket('udp4')
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    stranger.close()
  })
  server.on('message', (bytes, from) => {
    stranger.send('stranger', from.port, from.address, () => {
      server.send(`echo ${bytes}`, from.port, from.address)
    })
  })
  const socket = await network.datagram('127.0.0.1', server.address().port)
  t.after(() => socket.close())
  const messages: string[] = []
  await new Promise<void>((resolve) => {
    socket.onMessage = (bytes) => {
      messages.push(Buffer.from(bytes).toString())
      if (messages.length === 1) socket.send(Buffer.from('two'))
      else resolve()
    }
    socket.send(Buffer.from('one'))
  })
  assert.deepEqual(messages, ['echo one', 'echo two'])
})

test('an unreachable port is reported, and the socket closes quietly', async () => {
  const closing = createSocket('udp4')
  await new Promise<void>((resolve) => closing.bind(0, '127.0.0.1', resolve))
  const { port } = closing.address()
  await new Promise<void>((resolve) => closing.close(resolve))
  const socket = await network.datagram('127.0.0.1', port)
  const error = await new Promise<Error>((resolve) => {
    socket.onError = resolve
    socket.send(Buffer.from('anyone?'))
  })
  assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED')
  socket.close()
  socket.close()
  socket.send(Buffer.from('nothing'))
})

test('an address resolves to itself, brackets or not', async () => {
  assert.deepEqual(await network.resolve('127.0.0.1'), [{ address: '127.0.0.1', family: 4 }])
  assert.deepEqual(await network.resolve('[::1]'), [{ address: '::1', family: 6 }])
})

test('localhost has an address', async () => {
  const found = await network.resolve('localhost')
  assert.ok(found.some(({ address }) => address === '127.0.0.1' || address === '::1'))
})

test('a name that cannot exist has none', async () => {
  await assert.rejects(network.resolve('no such host'), { code: 'ENGINE_RESOLVE_FAILED' })
})
