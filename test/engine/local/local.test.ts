/** Local peer discovery (BEP 14): the message, the pace, swarms in virtual time, and a real group on loopback. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromLatin1, SeedbedError, toLatin1 } from '../../../src/base/index.ts'
import { nodeNetwork } from '../../../src/engine/index.ts'
import { LOCAL_GROUPS, LOCAL_PORT } from '../../../src/engine/local/local-discovery.ts'
import {
  encodeLocal,
  MAX_DATAGRAM_BYTES,
  MAX_HASHES,
  parseLocal,
} from '../../../src/engine/local/message.ts'
import { buildInfo, type TorrentInfo } from '../../../src/metainfo/index.ts'
import { assertSame, type Content, Swarm } from '../swarm.ts'

const none = { trackers: [] }
const MINUTE_MS = 60_000

test('a message is these lines, and is read as it was written', () => {
  const infoHash = new Uint8Array(20).fill(0xab)
  const message = { port: 6881, infoHashes: [infoHash], cookie: 'us' }
  const bytes = encodeLocal('239.192.152.143:6771', message)
  assert.equal(
    toLatin1(bytes),
    `BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: ${'ab'.repeat(20)}\r\ncookie: us\r\n\r\n\r\n`,
  )
  assert.deepEqual(parseLocal(bytes), message)
  const full = { ...message, infoHashes: Array.from({ length: MAX_HASHES }, () => infoHash) }
  const longest = encodeLocal('[ff15::efc0:988f]:6771', {
    ...full,
    port: 65_535,
    cookie: 'x'.repeat(16),
  })
  assert.ok(longest.length <= MAX_DATAGRAM_BYTES)
  assert.equal(parseLocal(longest)?.infoHashes.length, MAX_HASHES)
})

test('what others write is read: other cases, no cookie, unknown lines', () => {
  const text = `BT-SEARCH * HTTP/1.1\r\nHOST:[ff15::efc0:988f]:6771\r\nport: 51413\r\nX-y: 1\r\nInfoHash: ${'AB'.repeat(20)}\r\n\r\n`
  const message = parseLocal(fromLatin1(text))
  assert.equal(message?.port, 51_413)
  assert.deepEqual(message?.infoHashes, [new Uint8Array(20).fill(0xab)])
  for (const wrong of [
    text.replace('51413', '0'),
    text.replace('51413', '70000'),
    text.replace('SEARCH', 'FIND'),
    text.replace('ABAB', 'AB'),
    `${text}${' '.repeat(MAX_DATAGRAM_BYTES)}`,
  ]) {
    assert.equal(parseLocal(fromLatin1(wrong)), null, wrong)
  }
})

test('any datagram is a message or none', () => {
  const good = toLatin1(
    encodeLocal('h', { port: 1, infoHashes: [new Uint8Array(20)], cookie: 'c' }),
  )
  const mutated = fc
    .tuple(fc.nat(good.length), fc.nat(20), fc.string({ maxLength: 30 }))
    .map(([at, cut, put]) => good.slice(0, at) + put + good.slice(at + cut))
  fc.assert(
    fc.property(fc.oneof(mutated, fc.string({ maxLength: 2_000 })), (text) => {
      const message = parseLocal(Buffer.from(text, 'latin1'))
      if (message === null) return
      assert.ok(message.port >= 1 && message.port <= 65_535)
      for (const infoHash of message.infoHashes) assert.equal(infoHash.length, 20)
    }),
    { numRuns: 2_000 },
  )
})

function hidden({ info, bytes }: Content): Content {
  const { name, files, pieceBytes, pieceHashes } = info
  const made: TorrentInfo = buildInfo({
    ...{ name, multiFile: false, files, pieceBytes, pieceHashes },
    private: true,
  })
  return { info: made, bytes }
}

test('peers meet on the local network alone', async () => {
  const swarm = new Swarm(90)
  const content = swarm.content(1_000_000, 65_536)
  const volume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', volume, { lsd: true, bind: ['0.0.0.0', '::'] })
  seeder.open(volume.get(content.info.infoHash)!, content.info, none)
  const mute = await swarm.engine('10.0.0.3', swarm.volume())
  const without = await mute.add(content.info, none)
  const target = swarm.volume()
  const leecher = await swarm.engine('10.0.0.2', target, { lsd: true })
  const torrent = await leecher.add(content.info, none)
  await swarm.until(() => torrent.progress().state === 'seeding', MINUTE_MS)
  assertSame(target, content)
  assert.equal(without.progress().peers, 0)
  assert.deepEqual(
    [...new Set(swarm.internet.multicasts.map(({ group }) => group))].sort(),
    LOCAL_GROUPS.map((group) => `${group} ${LOCAL_PORT}`).sort(),
  )
  assert.ok(swarm.internet.multicasts.every(({ host }) => host !== '10.0.0.3'))
  await swarm.stop()
})

test('of a private torrent nothing is told, nor is anybody believed', async () => {
  const swarm = new Swarm(91)
  const content = hidden(swarm.content(200_000, 65_536))
  const volume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', volume, { lsd: true })
  seeder.open(volume.get(content.info.infoHash)!, content.info, none)
  const leecher = await swarm.engine('10.0.0.2', swarm.volume(), { lsd: true })
  const torrent = await leecher.add(content.info, none)
  const group = await swarm.internet
    .host('10.0.0.1')
    .openMulticast(LOCAL_GROUPS[0]!, LOCAL_PORT, [])
  const { infoHash } = content.info
  group.send(encodeLocal('h', { port: 6881, infoHashes: [infoHash], cookie: undefined }))
  const endMs = swarm.clock.monotonicMs() + 10_000
  await swarm.until(() => swarm.clock.monotonicMs() > endMs, MINUTE_MS, 100)
  assert.equal(torrent.progress().peers, 0)
  assert.equal(swarm.internet.multicasts.length, 1)
  await swarm.stop()
})

test('each torrent is told every five minutes, a datagram a second at most, none that is gone', async () => {
  const swarm = new Swarm(92)
  const engine = await swarm.engine('10.0.0.1', swarm.volume(), { lsd: true })
  const count = 2 * MAX_HASHES + 5
  for (let i = 0; i < count; i++) {
    engine.addMagnet(
      {
        infoHash: new Uint8Array(20).fill(i),
        name: undefined,
        trackers: [],
        peers: [],
        totalBytes: undefined,
      },
      none,
    )
  }
  const beganMs = swarm.clock.monotonicMs()
  const pass = (ms: number): Promise<void> =>
    swarm.until(() => swarm.clock.monotonicMs() >= beganMs + ms, 20 * MINUTE_MS, 500)
  await pass(10_000)
  const said = swarm.internet.multicasts
  const hashes = (): number =>
    said.reduce((sum, { bytes }) => sum + parseLocal(bytes)!.infoHashes.length, 0)
  assert.equal(said.length, 3)
  assert.equal(hashes(), count)
  await swarm.settled(engine.remove(new Uint8Array(20).fill(3)))
  await pass(6 * MINUTE_MS)
  assert.equal(hashes(), 2 * count - 1)
  engine.addMagnet(
    {
      infoHash: new Uint8Array(20).fill(99),
      name: undefined,
      trackers: [],
      peers: [],
      totalBytes: undefined,
    },
    none,
  )
  await pass(6 * MINUTE_MS + 5_000)
  assert.equal(hashes(), 2 * count, 'a new one does not wait')
  await swarm.stop()
})

test('a flood of datagrams costs a bounded number of looks', async () => {
  const swarm = new Swarm(93)
  const engine = await swarm.engine('10.0.0.1', swarm.volume(), { lsd: true })
  const infoHash = new Uint8Array(20).fill(5)
  const torrent = engine.addMagnet(
    { infoHash, name: undefined, trackers: [], peers: [], totalBytes: undefined },
    none,
  )
  const group = await swarm.internet
    .host('10.0.9.9')
    .openMulticast(LOCAL_GROUPS[0]!, LOCAL_PORT, [])
  for (let port = 1; port <= 5_000; port++) {
    group.send(encodeLocal('h', { port, infoHashes: [infoHash], cookie: undefined }))
  }
  await swarm.until(() => torrent.progress().peers > 0, 5_000)
  assert.ok(torrent.progress().peers <= 16, 'no more than may be half-open')
  await swarm.stop()
})

for (const [group, address] of [
  [LOCAL_GROUPS[0]!, '127.0.0.1'],
  [LOCAL_GROUPS[1]!, '::1'],
] as const) {
  test(`what is said to ${group} on loopback is heard there by others`, async (t) => {
    const network = nodeNetwork()
    const port = 40_000 + (process.pid % 20_000)
    const open = () => network.openMulticast(group, port, [address])
    let ear: Awaited<ReturnType<typeof open>>
    try {
      ear = await open()
    } catch (error) {
      if (!(error instanceof SeedbedError)) throw error
      t.skip(`no multicast on loopback here: ${error.message}`)
      return
    }
    const mouth = await open()
    const heard = new Promise<[string, string]>((resolve) => {
      ear.onMessage = (bytes, host) => resolve([toLatin1(bytes), host])
    })
    // What loopback drops for want of a route is not ours to mend: the socket says nothing of it.
    const timer = setTimeout(() => ear.onMessage(fromLatin1('nothing'), ''), 5_000)
    mouth.send(fromLatin1('hello'))
    const [text, host] = await heard
    clearTimeout(timer)
    ear.close()
    mouth.close()
    if (text === 'nothing') t.skip('loopback carries no multicast here')
    else assert.deepEqual([text, host], ['hello', address])
  })
}
