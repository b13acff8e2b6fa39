/** A connection that node took over from the epoll: short ways in and out, and node's own beside them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { seededRandom } from '../../../src/base/index.ts'
import { AdoptedConnection } from '../../../src/tracker/linux/adopted-connection.ts'
import { type Libc, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../../src/tracker/linux/libc.ts'
import { openTcpListener } from '../../../src/tracker/linux/socket.ts'
import { libc, onLinux } from './linux.ts'

/** Both ends of a connection; what is ours calls `calls`. */
async function pair(
  t: TestContext,
  calls: Libc,
): Promise<{ readonly ours: AdoptedConnection; readonly theirs: Socket }> {
  const { fd, port } = openTcpListener(libc, '127.0.0.1', 0, false)
  const theirs = connect(port, '127.0.0.1')
  await once(theirs, 'connect')
  // A listener that waits for the first bytes.
  theirs.write('?')
  let accepted = -1
  while (accepted < 0) {
    accepted = libc.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC)
    await turn()
  }
  libc.close(fd)
  const ours = new AdoptedConnection(calls, accepted)
  t.after(() => {
    ours.destroy()
    theirs.destroy()
  })
  return { ours, theirs }
}

/** A send of the system that takes as much as `taken` says of a length, -1 for nothing. */
function libcThatTakes(taken: (bytes: number) => number): Libc & { readonly sends: number } {
  const own = {
    ...libc,
    sends: 0,
    send(fd: number, source: Uint8Array, bytes: number, flags: number): number {
      own.sends++
      const part = taken(bytes)
      return part < 0 ? -1 : libc.send(fd, source, Math.min(part, bytes), flags)
    },
  }
  return own as unknown as Libc & { readonly sends: number }
}

test('what the system takes in part arrives whole and in order', onLinux, async (t) => {
  const random = seededRandom(4)
  const calls = libcThatTakes((bytes) => {
    const dice = random.uint32() % 4
    return dice === 0 ? -1 : dice === 1 ? bytes : 1 + (random.uint32() % bytes)
  })
  const { ours, theirs } = await pair(t, calls)
  const said: Buffer[] = []
  const heard: Buffer[] = []
  let heardBytes = 0
  theirs.on('data', (chunk: Buffer) => {
    heard.push(chunk)
    heardBytes += chunk.length
  })
  let saidBytes = 0
  for (let n = 0; n < 300; n++) {
    const out = Buffer.alloc(1 + (random.uint32() % 40_000), n)
    said.push(out)
    saidBytes += out.length
    const sent = ours.sendNow(out)
    assert.ok(sent >= 0 && sent <= out.length)
    if (sent < out.length) ours.write(Buffer.from(out.subarray(sent)))
    if (n % 7 === 0) await turn()
  }
  while (heardBytes < saidBytes) await once(theirs, 'data')
  assert.ok(Buffer.concat(heard).equals(Buffer.concat(said)))
  assert.ok(calls.sends > 10)
})

test('what waits is not overtaken', onLinux, async (t) => {
  const calls = libcThatTakes((bytes) => bytes)
  const { ours, theirs } = await pair(t, calls)
  // More than the buffers of both ends hold, while nobody reads.
  theirs.pause()
  while (ours.write(Buffer.alloc(2 ** 20)) || ours.writableLength < 2 ** 24) await turn()
  assert.equal(ours.sendNow(Buffer.from('late')), 0)
  assert.equal(calls.sends, 0)
})

test('a descriptor that is given back is not written to', onLinux, async (t) => {
  const calls = libcThatTakes((bytes) => bytes)
  const { ours } = await pair(t, calls)
  ours.destroy()
  assert.equal(ours.sendNow(Buffer.from('who reads this?')), 0)
  assert.equal(calls.sends, 0)
})

test('bytes come by the short way or as data', onLinux, async (t) => {
  const { ours, theirs } = await pair(t, libc)
  const chunk = once(ours, 'data')
  ours.resume()
  assert.equal(String((await chunk)[0]), '?')
  const heard = new Promise<string>((resolve) => {
    ours.onBytes = (memory, bytes) => resolve(memory.toString('latin1', 0, bytes))
  })
  theirs.write('over here')
  assert.equal(await heard, 'over here')
})
