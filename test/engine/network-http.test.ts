/** The HTTP GET for trackers, against a server on the loopback. */
import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ManualClock, SeedbedError, toLatin1 } from '../../src/base/index.ts'
import { nodeNetwork } from '../../src/engine/node-network.ts'
import { originOf, rawPath } from '../../src/engine/url.ts'

const network = nodeNetwork()
const BOUNDS = { timeoutMs: 10_000, maxBytes: 1000 }

async function serving(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const failsWith =
  (pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof SeedbedError && error.code === 'ENGINE_HTTP_FAILED', String(error))
    assert.match(error.message, pattern)
    return true
  }

test('path and query arrive letter for letter', async (t) => {
  const base = await serving(t, (request, response) => response.end(request.url))
  const path = `/a/../b//announce?info_hash=%12%ab%AB%7e~%20!'()*%FF%00&x=%zz|^{}"<>`
  const answer = await network.httpGet(base + path, BOUNDS)
  assert.equal(answer.status, 200)
  assert.equal(toLatin1(answer.body), path)
})

const PATHS: readonly (readonly [string, string])[] = [
  ['http://host', '/'],
  ['http://host?x=1', '/?x=1'],
  ['http://host/a#b', '/a'],
  ['http://u:p@host:80/a?b=%41', '/a?b=%41'],
  ['http://host/a b\né', '/a%20b%0A%C3%A9'],
]
for (const [url, path] of PATHS) {
  test(`the path of ${JSON.stringify(url)} is ${path}`, () => assert.equal(rawPath(url), path))
}

test('the origin of a URL tells no secret', () => {
  assert.equal(originOf('https://user:word@host:81/passkey?x=y'), 'https://host:81')
  assert.equal(originOf('secret'), 'an unreadable URL')
})

test('a status that is no success is an answer', async (t) => {
  const base = await serving(t, (_request, response) => {
    response.statusCode = 404
    response.end('no')
  })
  const answer = await network.httpGet(base, BOUNDS)
  assert.equal(answer.status, 404)
  assert.equal(toLatin1(answer.body), 'no')
})

test('redirects are followed, relative ones too, and not without end', async (t) => {
  const base = await serving(t, (request, response) => {
    const step = Number(request.url!.slice(2))
    if (step === 0) {
      response.end('there')
      return
    }
    response.writeHead(302, { location: `?${step - 1}` })
    response.end()
  })
  assert.equal(toLatin1((await network.httpGet(`${base}/?5`, BOUNDS)).body), 'there')
  await assert.rejects(network.httpGet(`${base}/?6`, BOUNDS), failsWith(/too often/))
})

test('a body over the bound is not read to its end', async (t) => {
  const base = await serving(t, (request, response) => {
    if (request.url === '/exact') response.end('x'.repeat(1000))
    else {
      const more = (): void => {
        if (response.write('x'.repeat(50_000))) setImmediate(more)
        else response.once('drain', more)
      }
      more()
    }
  })
  assert.equal((await network.httpGet(`${base}/exact`, BOUNDS)).body.length, 1000)
  await assert.rejects(network.httpGet(`${base}/endless`, BOUNDS), failsWith(/larger than 1000/))
})

test('a compressed body is unpacked, within the bound', async (t) => {
  const base = await serving(t, (request, response) => {
    response.setHeader('content-encoding', 'gzip')
    response.end(gzipSync('x'.repeat(request.url === '/bomb' ? 100_000 : 900)))
  })
  assert.equal((await network.httpGet(`${base}/`, BOUNDS)).body.length, 900)
  await assert.rejects(network.httpGet(`${base}/bomb`, BOUNDS), failsWith(/GET http/))
})

test('no answer in time, at any stage, is a failure', async (t) => {
  for (const stage of ['nothing', 'half'] as const) {
    const clock = new ManualClock()
    const patient = nodeNetwork({ clock })
    let reached: () => void = () => {}
    const atServer = new Promise<void>((resolve) => {
      reached = resolve
    })
    const base = await serving(t, (_request, response) => {
      if (stage === 'half') response.write('half', () => reached())
      else reached()
    })
    const pending = patient.httpGet(base, BOUNDS)
    const rejected = assert.rejects(pending, failsWith(/within 10000 ms/))
    await atServer
    clock.advance(9_999)
    clock.advance(1)
    await rejected
  }
})

test('the caller can give up, before and during', async (t) => {
  const abort = new AbortController()
  const base = await serving(t, () => abort.abort())
  const options = { ...BOUNDS, signal: abort.signal }
  await assert.rejects(network.httpGet(base, options), failsWith(/given up/))
  await assert.rejects(network.httpGet(base, options), failsWith(/given up/))
})

test('the family can be forced', async (t) => {
  const base = await serving(t, (_request, response) => response.end('4'))
  const byName = base.replace('127.0.0.1', 'localhost')
  assert.equal(toLatin1((await network.httpGet(byName, { ...BOUNDS, family: 4 })).body), '4')
  await assert.rejects(network.httpGet(byName, { ...BOUNDS, family: 6 }), failsWith(/GET/))
})

test('what is no http address fails in the same way, and no message tells a passkey', async () => {
  const urls = [
    '',
    'nonsense',
    'ftp://host/x',
    'http://',
    'http://[::1',
    'http://127.0.0.1:1/secret',
  ]
  for (const url of urls) {
    await assert.rejects(network.httpGet(url, BOUNDS), (error) => {
      failsWith(/GET/)(error)
      assert.doesNotMatch((error as Error).message, /secret/)
      return true
    })
  }
})
