/** HTTPS and the PROXY protocol: whose connection it is, and new certificates under old connections. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import fc from 'fast-check'
import {
  type Clock,
  type Logger,
  ManualClock,
  seededRandom,
  silentLogger,
  systemClock,
} from '../../src/base/index.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import {
  loadConfig,
  type Reloaded,
  startTracker,
  startTrackerService,
  type TrackerService,
} from '../../src/tracker/index.ts'
import { parseProxyHeader } from '../../src/tracker/proxy-protocol.ts'
import { type Certificate, FIRST, SECOND } from './certificates.ts'

const ANNOUNCE = `GET /announce?info_hash=${'a'.repeat(20)}&peer_id=-SE0100-000000000000&uploaded=0&downloaded=0&left=1&port=258 HTTP/1.1\r\n\r\n`

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

function proxyHeader(source: readonly number[], command = 1, more = 0): Buffer {
  const addresses = Buffer.concat([Buffer.from(source), Buffer.alloc(source.length + 4 + more)])
  const head = Buffer.of(0x20 | command, source.length === 4 ? 0x11 : 0x21, 0, addresses.length)
  return Buffer.concat([SIGNATURE, head, addresses])
}

const YAML = (dir: string, more = '') => `
tracker:
  http:
    addr: ""
    https_addr: 127.0.0.1:0
    tls_cert_path: ${join(dir, 'cert.pem')}
    tls_key_path: ${join(dir, 'key.pem')}
    external_ip: true
    ${more}
  udp: {addr: ""}
`

interface SecureSetUp {
  readonly service: TrackerService
  install(certificate: Certificate, key?: string): void
  dial(): Promise<TLSSocket>
  /** By the same configuration; and more. */
  reload(hooks?: string): Promise<Reloaded>
}

async function setUp(
  t: TestContext,
  more = '',
  clock: Clock = systemClock,
  logger: Logger = silentLogger,
): Promise<SecureSetUp> {
  const dir = mkdtempSync(join(tmpdir(), 'seedbed-https-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const install = ({ cert, key: own }: Certificate, key = own): void => {
    writeFileSync(join(dir, 'cert.pem'), cert)
    writeFileSync(join(dir, 'key.pem'), key)
  }
  install(FIRST)
  const load = (hooks = '') => loadConfig({ text: `${YAML(dir, more)}${hooks}` }).config
  const tools = { clock, random: seededRandom(1), logger }
  const service = await startTrackerService({ config: load(), ...tools })
  t.after(() => service.stop())
  return {
    service,
    install,
    reload: (hooks) => service.reload(load(hooks)),
    async dial() {
      const { address, port } = service.https[0]!
      const socket = connectTls({ host: address, port, rejectUnauthorized: false })
      t.after(() => socket.destroy())
      await once(socket, 'secureConnect')
      return socket
    },
  }
}

async function ask(socket: Socket): Promise<string> {
  socket.write(ANNOUNCE)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  return answer.toString('latin1')
}

/** However it ends: a reset is an end too. */
const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.resume().once('close', () => resolve()))

const nameOf = (socket: TLSSocket): string => String(socket.getPeerCertificate().subject.CN)

test('a new certificate is for new connections; the old ones, and the peers, stay', async (t) => {
  const { service, install, dial, reload } = await setUp(t)
  const old = await dial()
  assert.equal(nameOf(old), 'first')
  assert.ok((await ask(old)).includes('e11:external ip4:\x7f\0\0\x0110:incompletei1e'))
  install(SECOND)
  assert.deepEqual(await reload(), { restart: [], kept: [] })
  const fresh = await dial()
  assert.equal(nameOf(fresh), 'second')
  assert.match(await ask(fresh), /10:incompletei1e/)
  assert.match(await ask(old), /10:incompletei1e/)
  assert.equal(service.stats().store.leechers4, 1)
})

test('files that change are read again by the clock, as soon as they are a pair', async (t) => {
  const clock = new ManualClock()
  const lines: string[] = []
  const note = (_: object, line: string): number => lines.push(line)
  const logger = { ...silentLogger, info: note, error: note }
  const { install, dial } = await setUp(t, 'idle_timeout: 1h', clock, logger)
  const old = await dial()
  const look = async (): Promise<string> => {
    lines.length = 0
    clock.advance(60_000)
    while (!lines.some((line) => line.startsWith('certificate'))) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return lines.find((line) => line.startsWith('certificate'))!
  }
  install(SECOND, FIRST.key)
  assert.equal(await look(), 'certificate not loaded: that before stays')
  assert.equal(nameOf(await dial()), 'first')
  install(SECOND)
  assert.equal(await look(), 'certificate loaded anew')
  assert.equal(nameOf(await dial()), 'second')
  assert.match(await ask(old), /10:incompletei1e/)
})

test('a certificate without its key is refused, and the one before stays', async (t) => {
  const { install, dial, reload } = await setUp(t)
  install(SECOND, FIRST.key)
  await assert.rejects(reload(), { code: 'TRACKER_TLS' })
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  install(SECOND, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  await assert.rejects(
    reload(),
    { code: 'TRACKER_TLS' },
    'of another kind, which OpenSSL would take',
  )
  install({ cert: 'nonsense', key: 'nonsense' })
  await assert.rejects(reload(), { code: 'TRACKER_TLS' })
  assert.equal(nameOf(await dial()), 'first')
})

test('hooks that were made for a reload that failed are stopped', async (t) => {
  const looks = new Set<object>()
  const clock: Clock = {
    ...systemClock,
    after(delayMs, task, background) {
      const cancel = systemClock.after(delayMs, task, background)
      const look = {}
      // That of the list, which is looked at every 5 s.
      if (delayMs === 5000) looks.add(look)
      return () => {
        looks.delete(look)
        cancel()
      }
    },
  }
  const { install, reload } = await setUp(t, '', clock)
  const dir = mkdtempSync(join(tmpdir(), 'seedbed-https-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const list = join(dir, 'list')
  writeFileSync(list, '')
  const hooks = `  prehooks: [{name: torrent approval, options: {blacklist_file: ${list}}}]\n`
  install(SECOND, FIRST.key)
  await assert.rejects(reload(hooks), { code: 'TRACKER_TLS' })
  assert.equal(looks.size, 0)
  install(SECOND)
  await reload(hooks)
  assert.equal(looks.size, 1)
})

test('who does not speak TLS is let go', async (t) => {
  const { service } = await setUp(t)
  const socket = connect(service.https[0]!)
  socket.on('error', () => {})
  socket.write(ANNOUNCE)
  await closed(socket)
  while (service.stats().httpConnections > 0) await new Promise((resolve) => setImmediate(resolve))
})

test('https_addr needs certificate and key', () => {
  assert.throws(
    () => loadConfig({ text: 'tracker: {http: {https_addr: ":1"}}' }),
    /needs http.tls_cert_path/,
  )
})

async function startBehindProxy(t: TestContext, trusted: string) {
  const clock = systemClock
  const tracker = await startTracker({
    store: createPeerStore({ clock, random: seededRandom(1) }),
    clock,
    random: seededRandom(2),
    logger: silentLogger,
    bind: ['127.0.0.1'],
    http: { proxyProtocol: true, trustedProxies: [trusted], externalIp: true },
  })
  t.after(() => tracker.stop())
  const dial = (): Socket => {
    const socket = connect(tracker.port, '127.0.0.1')
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    return socket
  }
  return { tracker, dial }
}

test('a PROXY header says whose connection it is, in however many pieces it comes', async (t) => {
  const { dial } = await startBehindProxy(t, '127.0.0.0/8')
  for (const [source, expected] of [
    [[9, 8, 7, 6], '4:\x09\x08\x07\x06'],
    [[0x20, 1, ...Array(13).fill(0), 5], `16:\x20\x01${'\0'.repeat(13)}\x05`],
    [[...Array(10).fill(0), 255, 255, 9, 8, 7, 5], '4:\x09\x08\x07\x05'],
  ] as const) {
    const whole = dial()
    whole.write(Buffer.concat([proxyHeader(source, 1, 20), Buffer.from(ANNOUNCE)]))
    const [answer] = (await once(whole, 'data')) as [Buffer]
    assert.ok(answer.toString('latin1').includes(`external ip${expected}`))
    assert.ok((await ask(whole)).includes(`external ip${expected}`), 'for all of the connection')
    const slow = dial()
    slow.setNoDelay(true)
    for (const byte of proxyHeader(source)) {
      slow.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok((await ask(slow)).includes(`external ip${expected}`))
  }
  const local = dial()
  local.write(proxyHeader([9, 9, 9, 9], 0))
  assert.ok((await ask(local)).includes('external ip4:\x7f\0\0\x01'), 'the proxy for itself')
})

test('without a PROXY header, or from who is not trusted, there is no answer', async (t) => {
  const { tracker, dial } = await startBehindProxy(t, '127.0.0.1')
  const plain = dial()
  plain.write(ANNOUNCE)
  await closed(plain)
  assert.equal(plain.bytesRead, 0)
  assert.equal(tracker.stats().transports.http4.dropped, 1)
  const strict = await startBehindProxy(t, '10.0.0.1')
  const stranger = strict.dial()
  await closed(stranger)
  assert.equal(strict.tracker.stats().transports.http4.dropped, 1)
})

test('TLS comes behind the PROXY header', async (t) => {
  const { service } = await setUp(t, 'proxy_protocol: true\n    trusted_proxies: [127.0.0.1]')
  for (const pause of [false, true]) {
    const raw = connect(service.https[0]!)
    raw.write(proxyHeader([9, 8, 7, 6]))
    if (pause) await new Promise((resolve) => setTimeout(resolve, 20))
    const socket = connectTls({ socket: raw, rejectUnauthorized: false })
    t.after(() => socket.destroy())
    await once(socket, 'secureConnect')
    assert.ok((await ask(socket)).includes('external ip4:\x09\x08\x07\x06'))
  }
})

test('any bytes are a header, the begin of one, or none', () => {
  const good = proxyHeader([1, 2, 3, 4])
  assert.deepEqual(parseProxyHeader(good), { length: 28, source: Buffer.of(1, 2, 3, 4) })
  for (let end = 0; end < good.length; end++)
    assert.equal(parseProxyHeader(good.subarray(0, end)), 'more')
  const mutated = (at: number, value: number): Buffer => {
    const bytes = Buffer.from(good)
    bytes[at] = value
    return bytes
  }
  assert.equal(parseProxyHeader(mutated(12, 0x11)), 'invalid', 'version 1')
  assert.equal(parseProxyHeader(mutated(12, 0x22)), 'invalid', 'command 2')
  assert.equal(parseProxyHeader(mutated(14, 0x10)), 'invalid', 'too long')
  assert.equal(parseProxyHeader(mutated(13, 0x21)), 'invalid', 'too short for IPv6')
  assert.deepEqual(parseProxyHeader(mutated(13, 0)), { length: 28, source: null })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (tail) => {
      const bytes = Buffer.concat([SIGNATURE, tail])
      const found = parseProxyHeader(bytes)
      if (typeof found === 'object') assert.ok(found.length <= bytes.length)
    }),
  )
})
