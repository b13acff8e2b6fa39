/** Live connections of a worker: what is sent arrives whole and in order, and what happens is told once. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { seededRandom } from '../../../src/base/index.ts'
import { DescriptorSockets } from '../../../src/tracker/linux/descriptor-socket.ts'
import { type Libc, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../../src/tracker/linux/libc.ts'
import { openWake, Poller } from '../../../src/tracker/linux/poller.ts'
import { openTcpListener } from '../../../src/tracker/linux/socket.ts'
import type { SignalSocket, SocketOwner } from '../../../src/tracker/websocket/signal-socket.ts'
import { libc, onLinux } from './linux.ts'

/** Notes what it is told. */
class Owner implements SocketOwner {
  heard: Buffer = Buffer.alloc(0)
  readonly told: string[] = []

  received(memory: Buffer, bytes: number): void {
    this.heard = Buffer.concat([this.heard, memory.subarray(0, bytes)])
  }

  ended(): void {
    this.told.push('ended')
  }

  drained(): void {
    this.told.push('drained')
  }

  closed(): void {
    this.told.push('closed')
  }
}

interface Pair {
  readonly ours: SignalSocket
  readonly owner: Owner
  readonly theirs: Socket
  /** One round of the epoll, and one of node. */
  round(): Promise<void>
  until(done: () => boolean): Promise<void>
}

/** Both ends of a connection; ours, of which `calls` are made, is served while the test waits. */
async function pair(t: TestContext, calls: Libc = libc): Promise<Pair> {
  const { fd, port } = openTcpListener(libc, '127.0.0.1', 0, false)
  const theirs = connect(port, '127.0.0.1')
  theirs.on('error', () => {})
  await once(theirs, 'connect')
  // A listener that waits for the first bytes.
  theirs.write('?')
  let accepted = -1
  while (accepted < 0) {
    accepted = libc.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC)
    await turn()
  }
  libc.close(fd)
  const wakeFd = openWake(libc)
  const poller = new Poller(libc, wakeFd)
  const ours = new DescriptorSockets(calls, poller).adopt(accepted)
  const owner = new Owner()
  ours.attach(owner)
  t.after(() => {
    ours.destroy()
    theirs.destroy()
    poller.close()
    libc.close(wakeFd)
  })
  const round = async (): Promise<void> => {
    poller.wait(0)
    await turn()
  }
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await round()
  }
  return { ours, owner, theirs, round, until }
}

/** A send of the system that takes as much as `taken` says of a length, -1 for nothing. */
function libcThatTakes(taken: (bytes: number) => number): Libc & { readonly sends: number } {
  const own = {
    ...libc,
    sends: 0,
    send(fd: number, source: bigint, bytes: number, flags: number): number {
      own.sends++
      const part = taken(bytes)
      // A length of the system's own refusal: no room.
      return libc.send(part < 0 ? -1 : fd, source, part < 0 ? bytes : part, flags)
    },
    errno: (): number => (libc.errno() === EBADF ? EAGAIN : libc.errno()),
  }
  return own as unknown as Libc & { readonly sends: number }
}

const EBADF = 9
const EAGAIN = 11

const say = (socket: SignalSocket, text: string): void => {
  const bytes = Buffer.from(text)
  socket.send(bytes, 0, bytes.length)
}

test('what the system takes in part arrives whole and in order', onLinux, async (t) => {
  const random = seededRandom(4)
  const calls = libcThatTakes((bytes) => {
    const dice = random.uint32() % 4
    return dice === 0 ? -1 : dice === 1 ? bytes : 1 + (random.uint32() % bytes)
  })
  const { ours, theirs, until, round } = await pair(t, calls)
  const heard: Buffer[] = []
  let heardBytes = 0
  theirs.on('data', (chunk: Buffer) => {
    heard.push(chunk)
    heardBytes += chunk.length
  })
  ours.resume()
  const said: Buffer[] = []
  // As an arena is: used again when nothing of it waits, and the frames somewhere in it.
  const memory = Buffer.alloc(50_000)
  let saidBytes = 0
  for (let n = 0; n < 300; n++) {
    const start = random.uint32() % 5000
    const end = start + 1 + (random.uint32() % 40_000)
    memory.fill(n, start, end)
    said.push(Buffer.from(memory.subarray(start, end)))
    saidBytes += end - start
    ours.send(memory, start, end)
    memory.fill(0)
    if (n % 7 === 0) await round()
  }
  assert.ok(ours.unsentBytes > 0)
  await until(() => heardBytes === saidBytes && ours.unsentBytes === 0)
  assert.ok(Buffer.concat(heard).equals(Buffer.concat(said)))
})

test(
  'who reads again gets all of what waited, and it is told when nothing waits',
  onLinux,
  async (t) => {
    const { ours, owner, theirs, until, round } = await pair(t)
    ours.resume()
    theirs.pause()
    const block = Buffer.alloc(2 ** 20, 1)
    let saidBytes = 0
    while (ours.unsentBytes < 2 ** 22) {
      ours.send(block, 0, block.length)
      saidBytes += block.length
      await round()
    }
    assert.deepEqual(owner.told, [])
    let heardBytes = 0
    theirs.on('data', (chunk: Buffer) => {
      heardBytes += chunk.length
    })
    theirs.resume()
    await until(() => heardBytes === saidBytes)
    assert.equal(ours.unsentBytes, 0)
    assert.deepEqual(owner.told, ['drained'])
  },
)

test(
  'what waits leaves before the end of our side, and the other may still speak',
  onLinux,
  async (t) => {
    const { ours, owner, theirs, until } = await pair(t)
    ours.resume()
    theirs.pause()
    const block = Buffer.alloc(2 ** 23, 1)
    ours.send(block, 0, block.length)
    assert.ok(ours.unsentBytes > 0)
    ours.finish()
    say(ours, 'too late')
    let heardBytes = 0
    let ended = false
    theirs.on('data', (chunk: Buffer) => {
      heardBytes += chunk.length
    })
    theirs.on('end', () => {
      ended = true
      theirs.write('!')
    })
    theirs.resume()
    await until(() => owner.heard.includes('!'))
    assert.ok(ended)
    assert.equal(heardBytes, block.length)
  },
)

test('nothing is told while it is paused, and nothing is lost', onLinux, async (t) => {
  const { ours, owner, theirs, until, round } = await pair(t)
  await round()
  assert.equal(owner.heard.length, 0)
  ours.resume()
  await until(() => owner.heard.length === 1)
  ours.pause()
  theirs.write('more')
  theirs.end('end')
  for (let n = 0; n < 20; n++) await round()
  assert.deepEqual([owner.heard.length, owner.told], [1, []])
  ours.resume()
  await until(() => owner.told.length > 0)
  assert.equal(String(owner.heard), '?moreend')
  assert.deepEqual(owner.told, ['ended'])
})

test('more than one read takes is heard to its end', onLinux, async (t) => {
  const { ours, owner, theirs, until } = await pair(t)
  ours.resume()
  const block = Buffer.alloc(2 ** 20, 7)
  theirs.end(block)
  await until(() => owner.told.includes('ended'))
  assert.equal(owner.heard.length, 1 + block.length)
})

test('a connection that the other side resets is closed, told once', onLinux, async (t) => {
  const { ours, owner, theirs, until, round } = await pair(t)
  ours.resume()
  await until(() => owner.heard.length === 1)
  theirs.resetAndDestroy()
  await until(() => owner.told.length > 0)
  say(ours, 'who reads this?')
  ours.finish()
  ours.resume()
  ours.destroy()
  await round()
  assert.deepEqual(owner.told, ['closed'])
  assert.equal(ours.unsentBytes, 0)
})

test('a send that fails is no end, an event tells of that', onLinux, async (t) => {
  const { ours, owner, theirs, until } = await pair(t)
  theirs.resetAndDestroy()
  await once(theirs, 'close')
  for (let n = 0; n < 3; n++) say(ours, 'anybody?')
  assert.deepEqual([owner.told, ours.unsentBytes], [[], 0])
  ours.resume()
  // Whether the error or the end is seen depends on who saw the error before.
  await until(() => owner.told.length > 0)
})

test('a descriptor that is given back is not written to', onLinux, async (t) => {
  const calls = libcThatTakes((bytes) => bytes)
  const { ours, owner } = await pair(t, calls)
  ours.destroy()
  say(ours, 'who reads this?')
  assert.equal(calls.sends, 0)
  assert.deepEqual(owner.told, ['closed'])
})
