/** Requests in, answers out, without a socket: validation in its order, bodies by the byte, bytes at random. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { decode, encode } from '../../src/bencode/index.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import { Announcer } from '../../src/tracker/announce.ts'
import { Counters } from '../../src/tracker/counters.ts'
import { failures } from '../../src/tracker/failures.ts'
import { HookList } from '../../src/tracker/hooks/hook.ts'
import { HttpHead, parseHead } from '../../src/tracker/http-codec.ts'
import { HttpHandler, type HttpHandlerOptions } from '../../src/tracker/http-handler.ts'

const HERE = Uint8Array.of(127, 0, 0, 1)
const HERE6 = new Uint8Array(16).fill(0x20)
const HASH = 'aaaaaaaaaaaaaaaaaaaa'
const GOOD = `info_hash=${HASH}&peer_id=-SE0100-000000000000&uploaded=0&downloaded=0&left=1&port=6881`

function setUp(allowIpSpoofing = false, more: Partial<HttpHandlerOptions> = {}, hooks?: HookList) {
  const store = createPeerStore({ clock: new ManualClock(), random: seededRandom(1) })
  const counters = new Counters()
  const announcer = new Announcer(
    store,
    {
      announceIntervalMs: 900_000,
      minAnnounceIntervalMs: 60_000,
      retryIntervalMs: 45_000,
      defaultWanted: 50,
      maxWanted: 100,
    },
    hooks,
  )
  const handler = new HttpHandler({
    store,
    announcer,
    counters,
    allowIpSpoofing,
    maxWanted: 100,
    ...more,
  })
  const head = new HttpHead()
  const raw = (request: Uint8Array, from = HERE): string => {
    const parsed = parseHead(request, 0, request.length, head)
    if (parsed === 'more') return 'more'
    if (parsed === 'request') handler.handle(request, head, from)
    else handler.refuse(parsed, from, 'close', head.isHead)
    return Buffer.from(handler.reply.subarray(handler.start, handler.end)).toString('latin1')
  }
  const get = (target: string, from = HERE): string => {
    const answer = raw(Buffer.from(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`, 'latin1'), from)
    const [top, ...rest] = answer.split('\r\n\r\n')
    const body = rest.join('\r\n\r\n')
    assert.equal(Number(/Content-Length: (\d+)/.exec(top!)![1]), body.length)
    return body
  }
  const announce = (change = '', from = HERE): string => get(`/announce?${GOOD}${change}`, from)
  return { store, counters, raw, get, announce }
}

const failure = (text: string): string => `d14:failure reason${text.length}:${text}e`

/** The good query with a parameter replaced, or taken out. */
function without(name: string, value?: string): string {
  const rest = GOOD.split('&').filter((part) => !part.startsWith(`${name}=`))
  if (value !== undefined) rest.push(`${name}=${value}`)
  return `/announce?${rest.join('&')}`
}

test('an announce is answered in canonical bencode', () => {
  const { announce } = setUp()
  assert.equal(
    announce(),
    'd8:completei0e10:incompletei1e8:intervali45e12:min intervali45e5:peers0:e',
  )
  assert.equal(
    announce('&port=6882'),
    'd8:completei0e10:incompletei2e8:intervali900e12:min intervali60e5:peers6:\x7f\0\0\x01\x1a\xe1e',
  )
  assert.match(
    announce('&port=6883&compact=0&left=0'),
    /^d8:completei1e10:incompletei2e8:intervali900e12:min intervali60e5:peersl(d2:ip9:127.0.0.14:porti688[12]ee){2}ee$/,
  )
  assert.equal(
    announce('', HERE6),
    'd8:completei0e10:incompletei1e8:intervali45e12:min intervali45e5:peers0:6:peers60:e',
  )
  assert.match(announce('&port=1', HERE6), /5:peers0:6:peers618: {16}[^ ]{2}e$/)
  assert.match(
    announce('&port=2&compact=0&numwant=1', HERE6),
    /5:peersld2:ip39:(2020:){7}20204:porti(1|6881)eeee$/,
  )
})

test('every body is canonical bencode, however many peers and hashes', () => {
  const { store, announce, get } = setUp()
  for (let n = 0; n < 300; n++) {
    store.putSeeder(Buffer.from(HASH), Uint8Array.of(n, 255 - (n & 127), 3, n >>> 3), 1 + n * 200)
    store.putLeecher(Buffer.from(HASH), new Uint8Array(16).fill(n).fill(n & 15, 12), n)
  }
  const hashes = Array.from(
    { length: 80 },
    (_, n) => `%${(160 + (n % 60)).toString(16)}${'b'.repeat(19)}`,
  )
  for (const body of [
    announce('&numwant=1000'),
    announce('&numwant=1000&compact=0'),
    announce('&numwant=1000', HERE6),
    announce('&numwant=1000&compact=0', HERE6),
    get(`/scrape?${hashes.map((hash) => `info_hash=${hash}`).join('&')}`),
  ]) {
    const bytes = Buffer.from(body, 'latin1')
    assert.deepEqual(Buffer.from(encode(decode(bytes))), bytes)
  }
})

test('a scrape answers each hash once, in order, with downloads', () => {
  const { announce, get } = setUp()
  announce('&event=completed&left=0')
  const b = 'b'.repeat(20)
  const entry = (complete: number, downloaded: number): string =>
    `d8:completei${complete}e10:downloadedi${downloaded}e10:incompletei0ee`
  assert.equal(
    get(`/scrape?info_hash=${b}&info_hash=${HASH}&info_hash=${b}`),
    `d5:filesd20:${HASH}${entry(1, 1)}20:${b}${entry(0, 0)}ee`,
  )
  assert.equal(get('/scrape'), failure('no info_hash parameter supplied'))
  assert.equal(get('/scrape?info_hash=a'), failure('provided invalid infohash'))
})

test('a wrong request is refused with the words of chihaya', () => {
  const { get, counters } = setUp()
  for (const [target, reason] of [
    ['/announce', 'no info_hash parameter supplied'],
    ['/announce?info_hash=%0%a', 'invalid query escape'],
    ['/announce?x=%', 'invalid query escape'],
    ['/announce?%zz=1', 'invalid query escape'],
    [without('info_hash', 'short'), 'provided invalid infohash'],
    [without('info_hash', 'a'.repeat(21)), 'provided invalid infohash'],
    [without('event', 'finished'), 'failed to provide valid client event'],
    [without('info_hash'), 'no info_hash parameter supplied'],
    [`/announce?${GOOD}&info_hash=${HASH}`, 'multiple info_hash parameters supplied'],
    [`/announce?${GOOD.replace('info_hash', 'INFO_HASH')}`, 'no info_hash parameter supplied'],
    [without('peer_id'), 'failed to parse parameter: peer_id'],
    [without('peer_id', 'short'), 'failed to provide valid peer_id'],
    [without('left'), 'failed to parse parameter: left'],
    [without('left', '-1'), 'failed to parse parameter: left'],
    [without('left', '18446744073709551616'), 'failed to parse parameter: left'],
    [without('downloaded', 'x'), 'failed to parse parameter: downloaded'],
    [without('uploaded', ''), 'failed to parse parameter: uploaded'],
    [without('numwant', '-1'), 'failed to parse parameter: numwant'],
    [without('numwant', '4294967296'), 'failed to parse parameter: numwant'],
    [without('port'), 'failed to parse parameter: port'],
    [without('port', '65536'), 'failed to parse parameter: port'],
    [without('port', '0'), 'invalid port'],
  ] as const) {
    assert.equal(get(target), failure(reason), target)
  }
  assert.equal(counters.errors['failed to parse parameter: numwant'], 2)
  assert.equal(counters.transports.http4.errors, 22)
})

test('what is right in unusual clothes is taken', () => {
  const { announce, get } = setUp()
  for (const change of [
    '&event=',
    '&event=STARTED',
    '&event=None',
    '&event=paused',
    '&left=18446744073709551615',
    '&numwant=0',
    '&x',
    '&=&&;;',
    '&compact=1',
    '&ip=nonsense',
    '&port=1;port=2',
  ]) {
    assert.match(announce(change), /^d8:complete/, change)
  }
  assert.match(
    get(`/announce?${GOOD.replace('port', 'p%6Frt').replace('left', 'LEFT')}`),
    /^d8:comp/,
  )
  assert.match(get(`http://host:1/announce?${GOOD}`), /^d8:comp/)
})

test('numbers of peers: 50 unless said otherwise, never more than the maximum', () => {
  const { store, announce } = setUp()
  for (let n = 0; n < 200; n++) store.putSeeder(Buffer.from(HASH), Uint8Array.of(1, 1, 1, n), 1)
  assert.match(announce(), /5:peers300:/)
  assert.match(announce('&numwant=3'), /5:peers18:/)
  assert.match(announce('&numwant=0'), /5:peers0:/)
  assert.match(announce('&numwant=4294967295'), /5:peers600:/)
})

test('another address is believed only if that is allowed', () => {
  const { announce } = setUp()
  announce('&ip=9.9.9.9')
  assert.ok(announce('&port=2').includes('peers6:\x7f\0\0\x01'))
  const trusting = setUp(true)
  trusting.announce('&ip=9.9.9.9')
  assert.match(trusting.announce('&port=2'), /peers6:\t\t\t\t/)
  assert.equal(trusting.announce('&ip=x'), failure('failed to parse peer IP address'))
  trusting.announce('&ipv6=2020::1')
  assert.match(trusting.announce('&ip=::5'), /peers618:/, 'in the family that it names')
  assert.match(trusting.announce('&ip=::ffff:9.9.9.9&port=5'), /5:peers\d+:(?!.*peers6)/s)
})

test('routes and methods', () => {
  const { raw, get } = setUp()
  assert.match(get('/'), /seedbed/)
  const status = (request: string): string =>
    /^HTTP\/1.1 (\d+)|^more/.exec(raw(Buffer.from(request, 'latin1')))![1] ?? 'more'
  for (const [request, expected] of [
    ['GET /announce2 HTTP/1.1\r\n\r\n', '404'],
    ['GET /favicon.ico HTTP/1.1\r\n\r\n', '404'],
    ['GET * HTTP/1.1\r\n\r\n', '404'],
    ['POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc', '405'],
    ['HEAD / HTTP/1.1\r\n\r\n', '405'],
    ['get / HTTP/1.1\r\n\r\n', '405'],
    ['GET / HTTP/2.0\r\n\r\n', '505'],
    ['GET / HTTX/1.1\r\n\r\n', '400'],
    ['GET /\r\n\r\n', '400'],
    ['GET  / HTTP/1.1\r\n\r\n', '400'],
    ['\r\n\r\n', '400'],
    ['GET /\x01 HTTP/1.1\r\n\r\n', '400'],
    ['GET / HTTP/1.1\nHost: x\r\n\r\n', '400'],
    ['GET / HTTP/1.1\rxHost: x\r\n\r\n', '400'],
    ['GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n', '400'],
    ['GET / HTTP/1.1\r\nHost : x\r\n\r\n', '400'],
    ['GET / HTTP/1.1\r\n folded: x\r\n\r\n', '400'],
    ['GET / HTTP/1.1\r\n: x\r\n\r\n', '400'],
    ['GET / HTTP/1.1\r\nno colon\r\n\r\n', '400'],
    ['GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n', '400'],
    ['GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n', '200'],
    ['GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n', '501'],
    [`GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(65)}\r\n`, '431'],
    [`GET /${'a'.repeat(8192)} HTTP/1.1\r\n\r\n`, '431'],
    [`GET /${'a'.repeat(8192)}`, '431'],
    ['GET / HTTP/1.1\r\n', 'more'],
    ['', 'more'],
  ] as const) {
    assert.equal(status(request), expected, JSON.stringify(request.slice(0, 60)))
  }
  assert.match(raw(Buffer.from('POST / HTTP/1.1\r\n\r\n')), /\r\nAllow: GET\r\n/)
  assert.match(raw(Buffer.from('HEAD / HTTP/1.1\r\n\r\n')), /\r\n\r\n$/, 'no body for HEAD')
})

test('a head that comes in two or more pieces is read as one that came whole', () => {
  const whole = Buffer.from(
    `GET /announce?${GOOD.replace('port', 'p%6Frt')}&event=started HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  )
  const head = new HttpHead()
  for (let cut = 0; cut < whole.length; cut++) {
    for (const first of [0, Math.floor(cut / 2)]) {
      for (const end of [first, cut]) assert.equal(parseHead(whole, 0, end, head), 'more')
      assert.equal(parseHead(whole, 0, whole.length, head), 'request')
      assert.deepEqual([head.length, head.keepAlive, head.scanned], [whole.length, false, 0])
      assert.equal(head.query.infoHashCount, 1)
    }
  }
  for (let end = 0; end < whole.length; end++) {
    assert.equal(parseHead(whole, 0, end, head), 'more', 'byte by byte')
  }
  assert.equal(parseHead(whole, 0, whole.length, head), 'request')
})

test('persistence follows the version and the Connection header', () => {
  const { raw } = setUp()
  const connection = (version: string, header: string): string | undefined =>
    /Connection: (\S+)/.exec(raw(Buffer.from(`GET / HTTP/${version}\r\n${header}\r\n`)))?.[1]
  assert.equal(connection('1.1', ''), undefined)
  assert.equal(connection('1.1', 'Connection: close\r\n'), 'close')
  assert.equal(connection('1.1', 'CONNECTION: foo , CLOSE\r\n'), 'close')
  assert.equal(connection('1.1', 'Connection: disclose\r\n'), undefined)
  assert.equal(connection('1.0', ''), 'close')
  assert.equal(connection('1.0', 'Connection: Keep-Alive\r\n'), 'keep-alive')
})

test('no request makes the parsers throw, and every answer is whole', () => {
  const { raw } = setUp(true)
  const good = Buffer.from(`GET /announce?${GOOD}&ip=1.2.3.4 HTTP/1.1\r\nHost: x\r\n\r\n`)
  const scrape = Buffer.from(`GET /scrape?info_hash=${HASH}&info_hash=${HASH} HTTP/1.0\r\n\r\n`)
  const mutated = fc
    .tuple(
      fc.constantFrom(good, scrape),
      fc.array(
        fc.tuple(
          fc.nat(200),
          fc.oneof(
            fc.integer({ min: 0, max: 255 }),
            fc.constantFrom(...Buffer.from('%&=;+?:\r\n ')),
          ),
        ),
        { maxLength: 5 },
      ),
    )
    .map(([request, changes]) => {
      const copy = Buffer.from(request)
      for (const [at, value] of changes) if (at < copy.length) copy[at] = value
      return copy
    })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), (request) => {
      const answer = raw(request)
      if (answer === 'more') return
      const [head] = answer.split('\r\n\r\n')
      assert.match(answer, /^HTTP\/1\.1 \d{3} /)
      const isHead = Buffer.from(request.subarray(0, 5)).toString() === 'HEAD '
      const length = Number(/Content-Length: (\d+)/.exec(head!)![1])
      if (!isHead) assert.equal(answer.length, head!.length + 4 + length)
    }),
    { numRuns: 20_000, seed: 23 },
  )
})

test('clients are told their address when that is set (BEP 24), in canonical order', () => {
  const { announce } = setUp(false, { externalIp: true })
  for (const from of [HERE, HERE6]) {
    const body = announce('', from)
    const bytes = Buffer.from(body, 'latin1')
    assert.deepEqual(Buffer.from(encode(decode(bytes))), bytes)
    assert.ok(body.includes(`11:external ip${from.length}:${Buffer.from(from).toString('latin1')}`))
  }
})

test('who is refused by a hook is told when to come back (BEP 31), who is wrong is not', () => {
  const hooks = new HookList([{ approve: () => failures.unapprovedTorrent }])
  const refused = (refusalRetry: number | 'never') => setUp(false, { refusalRetry }, hooks)
  assert.equal(refused(15).announce(), 'd14:failure reason18:unapproved torrent8:retry ini15ee')
  assert.equal(
    refused('never').announce(),
    'd14:failure reason18:unapproved torrent8:retry in5:nevere',
  )
  assert.equal(refused(15).get('/announce'), failure('no info_hash parameter supplied'))
  assert.equal(setUp(false, {}, hooks).announce(), failure('unapproved torrent'))
})

test('a paused peer is found by others and gets none that have more than it (BEP 21)', () => {
  const { announce, store } = setUp()
  announce('&port=1&left=0')
  const paused = announce('&port=2&event=paused&compact=0')
  assert.match(paused, /8:intervali900e.*5:peersle/)
  assert.match(announce('&port=3&compact=0'), /porti1e.*porti2e|porti2e.*porti1e/)
  const counts = { seeders: 0, leechers: 0, completed: 0 }
  store.scrapeSwarm(Buffer.from(HASH), 4, counts)
  assert.deepEqual(counts, { seeders: 1, leechers: 2, completed: 0 })
  assert.match(announce('&port=2&event=paused&compact=0'), /porti3e/)
  assert.match(announce('&port=2&compact=0'), /porti1e/, 'goes on')
})
