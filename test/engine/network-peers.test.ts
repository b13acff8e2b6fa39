/** Connections to peers and listening for them, over the loopback. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { bytesEqual, errnoOf, SeedbedError, seededRandom } from '../../src/base/index.ts'
import type { Network, PeerListener, PeerSocket } from '../../src/engine/network.ts'
import { nodeNetwork } from '../../src/engine/node-network.ts'

const network: Network = nodeNetwork()
const LOOPBACK = '127.0.0.1'
/** For documentation (RFC 5737): no machine has it. */
const NOT_OURS = '192.0.2.1'

/** Those of `addresses` that this machine has. */
async function present(addresses: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const address of addresses) {
    const listener = await network.listen([address], 0, () => {}).catch(() => undefined)
    if (listener !== undefined) found.push(address)
    await listener?.close()
  }
  return found
}

async function listening(
  t: TestContext,
  accept: (socket: PeerSocket) => void,
  addresses: readonly string[] = [LOOPBACK],
): Promise<PeerListener> {
  const listener = await network.listen(addresses, 0, (socket) => {
    t.after(() => socket.destroy())
    accept(socket)
  })
  t.after(() => listener.close())
  return listener
}

/** A connection, both ends. */
async function pair(
  t: TestContext,
): Promise<{ near: PeerSocket; far: PeerSocket; listener: PeerListener }> {
  let accept: (socket: PeerSocket) => void = () => {}
  const accepted = new Promise<PeerSocket>((resolve) => {
    accept = resolve
  })
  const listener = await listening(t, accept)
  const near = connecting(t, LOOPBACK, listener.port)
  return { near, far: await accepted, listener }
}

function connecting(t: TestContext, host: string, port: number): ReturnType<Network['connect']> {
  const socket = network.connect(host, port)
  t.after(() => socket.destroy())
  return socket
}

async function assertNobodyListens(port: number): Promise<void> {
  const error = await closed(network.connect(LOOPBACK, port))
  assert.equal(errnoOf(error), 'ECONNREFUSED')
}

const closed = (socket: PeerSocket): Promise<Error | undefined> =>
  new Promise((resolve) => {
    socket.onClose = resolve
  })

for (const direction of ['near to far', 'far to near'] as const) {
  test(`what is written ${direction} arrives in order, through back-pressure and pauses`, async (t) => {
    const { near, far } = await pair(t)
    const [from, to] = direction === 'near to far' ? [near, far] : [far, near]
    const total = 24 * 1024 * 1024
    // Shared memory, as stripes are.
    const source = new Uint8Array(new SharedArrayBuffer(total))
    seededRandom(3).fill(source)
    const received = new Uint8Array(total)
    let at = 0
    let queued = 0
    let sent = 0
    let pauses = 0
    const done = new Promise<void>((resolve) => {
      to.onData = (bytes) => {
        received.set(bytes, at)
        at += bytes.length
        if (at === total) resolve()
        if (pauses < 10 && at > pauses * 1_000_000) {
          pauses++
          to.pause()
          setImmediate(() => to.resume())
        }
      }
    })
    const chunk = 300_000
    const pump = (): void => {
      while (sent < total) {
        const bytes = source.subarray(sent, sent + chunk)
        sent += bytes.length
        if (!from.write(bytes)) {
          queued++
          return
        }
      }
    }
    from.onDrain = pump
    pump()
    await done
    assert.ok(bytesEqual(received, source))
    assert.ok(queued > 0, 'the receiver never held the sender back')
    assert.ok(pauses > 0)
  })
}

test('corked writes leave together, after uncork', async (t) => {
  const { near, far } = await pair(t)
  const slices: number[] = []
  const done = new Promise<void>((resolve) => {
    far.onData = (bytes) => {
      slices.push(bytes.length)
      if (slices.reduce((a, b) => a + b) === 30) resolve()
    }
  })
  near.cork()
  for (let i = 0; i < 3; i++) near.write(new Uint8Array(10))
  await new Promise(setImmediate)
  assert.deepEqual(slices, [])
  near.uncork()
  await done
  assert.deepEqual(slices, [30])
})

test('both ends know each other by plain addresses', async (t) => {
  const { near, far } = await pair(t)
  assert.equal(near.remoteAddress, LOOPBACK)
  assert.equal(far.remoteAddress, LOOPBACK)
  assert.ok(far.remotePort > 0 && near.remotePort > 0)
})

test('a destroyed connection closes at both ends, once each', async (t) => {
  const { near, far } = await pair(t)
  let closes = 0
  const nearClosed = closed(near)
  const farClosed = new Promise<void>((resolve) => {
    far.onClose = () => {
      closes++
      resolve()
    }
  })
  near.destroy()
  near.destroy()
  assert.equal(await nearClosed, undefined)
  await farClosed
  await new Promise(setImmediate)
  assert.equal(closes, 1)
})

test('a paused end that is destroyed says so', async (t) => {
  const { near, far } = await pair(t)
  near.pause()
  far.write(new Uint8Array(100_000))
  const wasClosed = closed(near)
  near.destroy()
  assert.equal(await wasClosed, undefined)
})

test('writing after the close is harmless and owes no drain', async (t) => {
  const { near } = await pair(t)
  const wasClosed = closed(near)
  near.destroy()
  await wasClosed
  near.onDrain = () => assert.fail('drained')
  near.write(new Uint8Array(10))
  await new Promise(setImmediate)
})

test('nobody there: the connection closes with the reason and never connects', async (t) => {
  const listener = await listening(t, () => {})
  await listener.close()
  const socket = network.connect(LOOPBACK, listener.port)
  socket.onConnect = () => assert.fail('connected')
  assert.equal(errnoOf(await closed(socket)), 'ECONNREFUSED')
})

test('connecting is told before anything is received', async (t) => {
  const listener = await listening(t, (socket) => socket.write(Uint8Array.of(1)))
  const socket = connecting(t, LOOPBACK, listener.port)
  const events: string[] = []
  await new Promise<void>((resolve) => {
    socket.onConnect = () => events.push('connect')
    socket.onData = () => {
      events.push('data')
      resolve()
    }
  })
  assert.deepEqual(events, ['connect', 'data'])
})

test('every address listens on the one port', async (t) => {
  const addresses = await present(['127.0.0.1', '127.0.0.2', '::1'])
  let accepted = 0
  const listener = await listening(t, () => accepted++, addresses)
  for (const address of addresses) {
    const socket = connecting(t, address, listener.port)
    await new Promise<void>((resolve) => {
      socket.onConnect = resolve
    })
  }
  while (accepted < addresses.length) await new Promise(setImmediate)
})

test('an IPv4 and an IPv6 wildcard share a port, and IPv4 peers keep their IPv4 address', async (t) => {
  let accept: (socket: PeerSocket) => void = () => {}
  const accepted = new Promise<PeerSocket>((resolve) => {
    accept = resolve
  })
  const listener = await listening(t, accept, ['::', '0.0.0.0'])
  connecting(t, LOOPBACK, listener.port)
  assert.equal((await accepted).remoteAddress, LOOPBACK)
})

test('a port in use is named, with what to do about it', async (t) => {
  const listener = await listening(t, () => {})
  await assert.rejects(
    network.listen([LOOPBACK], listener.port, () => {}),
    (error) => {
      assert.ok(error instanceof SeedbedError)
      assert.equal(error.code, 'ENGINE_PORT_TAKEN')
      assert.match(error.message, new RegExp(String(listener.port)))
      assert.match(error.mend!, /--peer-port/)
      return true
    },
  )
})

test('when one address fails, none listens', async () => {
  const listener = await network.listen([LOOPBACK], 0, () => {})
  await listener.close()
  const attempt = network.listen([LOOPBACK, NOT_OURS], listener.port, () => {})
  await assert.rejects(attempt, { code: 'ENGINE_LISTEN_FAILED' })
  await assertNobodyListens(listener.port)
})

test('an address of another machine, or no address, is refused', async () => {
  const elsewhere = network.listen([NOT_OURS], 0, () => {})
  await assert.rejects(elsewhere, { code: 'ENGINE_LISTEN_FAILED' })
  await assert.rejects(
    network.listen([], 0, () => {}),
    { code: 'ENGINE_LISTEN_FAILED' },
  )
})

test('a closed listener is gone at once, and its connections live on', async (t) => {
  const { near, far, listener } = await pair(t)
  await listener.close()
  await assertNobodyListens(listener.port)
  const arrived = new Promise<Uint8Array>((resolve) => {
    near.onData = (bytes) => resolve(Uint8Array.from(bytes))
  })
  far.write(Uint8Array.of(7))
  assert.deepEqual(await arrived, Uint8Array.of(7))
})

test('an end that the other side left closes, whichever it is', async (t) => {
  const first = await pair(t)
  const farClosed = closed(first.far)
  first.near.destroy()
  await farClosed
  const second = await pair(t)
  const nearClosed = closed(second.near)
  second.far.destroy()
  await nearClosed
})

test('connections that read into one buffer do not see each other', async (t) => {
  const SIZE = 300_000
  const listener = await listening(t, (socket) => {
    socket.onData = (id) => socket.write(new Uint8Array(SIZE).fill(id[0]!))
  })
  const connections = Array.from({ length: 20 }, async (_, i) => {
    const socket = connecting(t, LOOPBACK, listener.port)
    let received = 0
    await new Promise<void>((resolve, reject) => {
      socket.onConnect = () => socket.write(Uint8Array.of(i))
      socket.onData = (bytes) => {
        if (bytes.some((byte) => byte !== i)) reject(new Error(`another's bytes at ${i}`))
        received += bytes.length
        if (received === SIZE) resolve()
      }
    })
  })
  await Promise.all(connections)
})

test('connections are made from the address that was asked for', async (t) => {
  const from = '127.9.8.7'
  // Others than Linux have one address of loopback.
  if ((await present([from])).length === 0) {
    t.skip(`this machine has no ${from}`)
    return
  }
  const accepted = new Promise<PeerSocket>((resolve, reject) => {
    listening(t, resolve).then(({ port }) => {
      const socket = nodeNetwork({ localAddress: from }).connect(LOOPBACK, port)
      t.after(() => socket.destroy())
    }, reject)
  })
  assert.equal((await accepted).remoteAddress, from)
})
