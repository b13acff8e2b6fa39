/**
 * One bounded HTTP GET over node:http and node:https, for trackers and web seeds.
 *
 * Invariants: settles within its time; holds at most `maxBytes` of body, also of a compressed one;
 * path and query leave as they were given, since a tracker's `%` escapes stand for raw bytes that a
 * second reading would spoil.
 */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, Agent as SecretAgent } from 'node:https'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Clock } from '../base/index.ts'
import { engineError } from './errors.ts'
import type { HttpAnswer } from './network.ts'
import { originOf, rawPath } from './url.ts'

export interface HttpGetOptions {
  readonly timeoutMs: number
  readonly maxBytes: number
  readonly family?: 4 | 6
  readonly range?: { readonly offset: number; readonly bytes: number }
  readonly signal?: AbortSignal
}

const MAX_REDIRECTS = 5
const IDLE_CONNECTION_MS = 15_000
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const USER_AGENT = 'seedbed/0.1.0'
const openAgent = new Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS })
const secretAgent = new SecretAgent({ keepAlive: true, timeout: IDLE_CONNECTION_MS })
const gunzipBounded = promisify(gunzip)

/** Throws ENGINE_HTTP_FAILED. A status that is no success is an answer all the same. */
export async function httpGet(
  url: string,
  options: HttpGetOptions,
  clock: Clock,
): Promise<HttpAnswer> {
  const deadline = new AbortController()
  const abort = (): void => deadline.abort(new Error('given up by the caller'))
  if (options.signal?.aborted === true) abort()
  options.signal?.addEventListener('abort', abort, { once: true })
  const cancel = clock.after(options.timeoutMs, () =>
    deadline.abort(new Error(`no answer within ${options.timeoutMs} ms`)),
  )
  try {
    return await follow(url, options, deadline.signal)
  } catch (cause) {
    const reason = deadline.signal.aborted ? deadline.signal.reason : cause
    const why = reason instanceof Error ? reason.message : String(reason)
    throw engineError('ENGINE_HTTP_FAILED', `GET ${originOf(url)}: ${why}`, { cause })
  } finally {
    cancel()
    options.signal?.removeEventListener('abort', abort)
  }
}

async function follow(
  first: string,
  options: HttpGetOptions,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  let url = first
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const message = await open(url, options, signal)
    const status = message.statusCode ?? 0
    const location = message.headers.location
    if (!REDIRECTS.has(status) || location === undefined) {
      const body = await bodyOf(message, options.maxBytes)
      return { status, body }
    }
    message.destroy()
    const next = absolute(location, url)
    // The query holds the user's passkey: it is not carried from a secret channel to an open one.
    if (isSecret(url) && !isSecret(next)) throw new Error('redirected from https to http')
    url = next
  }
  throw new Error('redirected too often')
}

function open(url: string, options: HttpGetOptions, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const parsed = new URL(url)
    if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
      throw new Error(`${parsed.protocol} is not http`)
    }
    const user = parsed.username === '' ? undefined : `${parsed.username}:${parsed.password}`
    const request = (isSecret(url) ? httpsRequest : httpRequest)({
      host: parsed.hostname.replace(/^\[|\]$/g, ''),
      port: parsed.port === '' ? undefined : parsed.port,
      path: rawPath(url),
      headers: { 'user-agent': USER_AGENT, ...rangeHeaders(options.range) },
      // Parts of files come in long rows from one server; trackers are asked once in a while.
      agent: options.range === undefined ? false : isSecret(url) ? secretAgent : openAgent,
      signal,
      ...(options.family === undefined ? {} : { family: options.family }),
      ...(user === undefined ? {} : { auth: decodeURIComponent(user) }),
    })
    request.on('response', resolve)
    request.on('error', reject)
    request.end()
  })
}

function rangeHeaders(range: HttpGetOptions['range']): Record<string, string> {
  if (range === undefined) return { 'accept-encoding': 'gzip' }
  // Of what is compressed a part would be a part of something else.
  const last = range.offset + range.bytes - 1
  return { 'accept-encoding': 'identity', range: `bytes=${range.offset}-${last}` }
}

/** The body, decompressed. Rejects as soon as it is known to be larger than `maxBytes`. */
async function bodyOf(message: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  const plain =
    message.headers['content-encoding'] === 'gzip'
      ? await gunzipBounded(body, { maxOutputLength: maxBytes })
      : body
  return new Uint8Array(plain.buffer, plain.byteOffset, plain.byteLength)
}

/** A Location, which may be relative; an absolute one is kept letter for letter. */
function absolute(location: string, base: string): string {
  return /^https?:\/\//i.test(location) ? location : new URL(location, base).href
}

function isSecret(url: string): boolean {
  return /^https:/i.test(url.trim())
}
