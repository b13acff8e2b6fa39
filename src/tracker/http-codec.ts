/**
 * HTTP/1.0 and 1.1 as far as a tracker needs it: heads of requests in, heads of answers out. Bytes only.
 *
 *     GET /announce?info_hash=… HTTP/1.1 CRLF
 *     Name: value CRLF …
 *     CRLF
 *
 * Strict: lines end in CRLF, no control bytes, no folding, no body. What is not understood is refused with a status
 * and the connection closed, because where the next request begins would be a guess.
 * Query parameters are read by http-query.ts.
 */
import { writeDecimal } from './addresses.ts'

/** Bytes of a request's head; 74 info-hashes, all escaped, are 5.3 KB. */
export const MAX_HEAD_BYTES = 8192
const MAX_HEADERS = 64

/** `more`: not whole yet. A number is a status to refuse with, and the connection to be closed. */
export type HttpParse = 'more' | 'request' | 400 | 405 | 431 | 501 | 505

/** Lines of the noted header that are kept: of a chain of proxies, each may add one. */
const MAX_NOTED = 8

/** A parsed head; one object is filled again and again. */
export class HttpHead {
  /** A header (lower case) whose values are wanted. */
  note: Uint8Array | null = null
  /** Bounds of its values, start and end each; where there are too many the last are kept. */
  readonly noted: Int32Array = new Int32Array(2 * MAX_NOTED)
  notedCount = 0
  /** Bytes of the whole head. */
  length = 0
  /** How far the search for the end of the head has come: pass it on while there is more. */
  scanned = 0
  /** Bounds of the path in the buffer. */
  pathStart = 0
  pathEnd = 0
  /** Bounds of the query in the buffer, without the question mark. */
  queryStart = 0
  queryEnd = 0
  keepAlive = false
  /** HTTP/1.0 clients must be told that the connection stays. */
  version10 = false
  isHead = false
  /** It asks to go on as WebSocket. */
  upgrade = false
}

const CR = 0x0d
const LF = 0x0a
const SPACE = 0x20
const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const GET = ascii('GET ')
const HEAD = ascii('HEAD ')
const HTTP = ascii('HTTP/')
const ABSOLUTE = ascii('http://')
const CONNECTION = ascii('connection')
const CONTENT_LENGTH = ascii('content-length')
const TRANSFER_ENCODING = ascii('transfer-encoding')
const CLOSE = ascii('close')
const KEEP_ALIVE = ascii('keep-alive')
const UPGRADE = ascii('upgrade')
const WEBSOCKET = ascii('websocket')

/** Reads the head that begins at `bytes[start]`. Allocates nothing, throws nothing. */
export function parseHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: HttpHead,
): HttpParse {
  const stop = findEnd(bytes, start, end, head)
  const size = (stop < 0 ? end : stop) - start
  head.isHead = startsWith(bytes, start, end, HEAD)
  if (size > MAX_HEAD_BYTES) return 431
  if (stop < 0) return 'more'
  head.length = size
  head.scanned = 0
  const lineEnd = indexOf(bytes, CR, start, stop)
  const status = parseRequestLine(bytes, start, lineEnd, head)
  return status === 'request' ? parseHeaders(bytes, lineEnd + 2, stop - 2, head) : status
}

/** Behind the empty line, or -1. */
function findEnd(bytes: Uint8Array, start: number, end: number, head: HttpHead): number {
  for (let at = start + head.scanned; at + 3 < end; at++) {
    if (bytes[at + 2] === CR && bytes[at] === CR && bytes[at + 1] === LF && bytes[at + 3] === LF) {
      return at + 4
    }
  }
  head.scanned = Math.max(0, end - start - 3)
  return -1
}

function parseRequestLine(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: HttpHead,
): HttpParse {
  for (let at = start; at < end; at++) if (bytes[at]! < SPACE || bytes[at]! >= 0x7f) return 400
  const methodEnd = indexOf(bytes, SPACE, start, end)
  let target = methodEnd + 1
  const targetEnd = indexOf(bytes, SPACE, target, end)
  if (methodEnd === start || target >= targetEnd || targetEnd + 9 !== end) return 400
  const version = targetEnd + 1
  if (!startsWith(bytes, version, end, HTTP) || bytes[end - 2] !== 0x2e) return 400
  if (bytes[end - 3] !== 0x31) return 505
  head.version10 = bytes[end - 1] === 0x30
  head.keepAlive = !head.version10
  if (!startsWith(bytes, start, end, GET)) return 405
  if (startsWith(bytes, target, targetEnd, ABSOLUTE)) {
    target = indexOf(bytes, 0x2f, target + ABSOLUTE.length, targetEnd)
  }
  const pathEnd = indexOf(bytes, 0x3f, target, targetEnd)
  head.pathStart = target
  head.pathEnd = pathEnd
  head.queryStart = Math.min(pathEnd + 1, targetEnd)
  head.queryEnd = targetEnd
  return 'request'
}

function parseHeaders(bytes: Uint8Array, start: number, end: number, head: HttpHead): HttpParse {
  let count = 0
  head.notedCount = 0
  head.upgrade = false
  for (let line = start; line < end; count++) {
    if (count === MAX_HEADERS) return 431
    const lineEnd = indexOf(bytes, CR, line, end)
    if (lineEnd + 1 >= end || bytes[lineEnd + 1] !== LF) return 400
    const colon = indexOf(bytes, 0x3a, line, lineEnd)
    if (colon === line || colon === lineEnd) return 400
    for (let at = line; at < colon; at++) if (bytes[at]! <= SPACE || bytes[at]! >= 0x7f) return 400
    for (let at = colon + 1; at < lineEnd; at++) {
      const byte = bytes[at]!
      if ((byte < SPACE && byte !== 0x09) || byte === 0x7f) return 400
    }
    if (head.note !== null && isWord(bytes, line, colon, head.note)) {
      noteValue(head, colon + 1, lineEnd)
    }
    if (isWord(bytes, line, colon, CONNECTION)) {
      if (containsWord(bytes, colon + 1, lineEnd, CLOSE)) head.keepAlive = false
      else if (containsWord(bytes, colon + 1, lineEnd, KEEP_ALIVE)) head.keepAlive = true
    } else if (isWord(bytes, line, colon, UPGRADE)) {
      if (containsWord(bytes, colon + 1, lineEnd, WEBSOCKET)) head.upgrade = true
    } else if (isWord(bytes, line, colon, TRANSFER_ENCODING)) {
      return 501
    } else if (isWord(bytes, line, colon, CONTENT_LENGTH)) {
      for (let at = colon + 1; at < lineEnd; at++) {
        // Zero is no body; anything else would be one.
        if (bytes[at] !== SPACE && bytes[at] !== 0x30) return 400
      }
    }
    line = lineEnd + 2
  }
  return 'request'
}

function noteValue(head: HttpHead, start: number, end: number): void {
  if (head.notedCount === MAX_NOTED) {
    head.noted.copyWithin(0, 2)
    head.notedCount--
  }
  head.noted[head.notedCount * 2] = start
  head.noted[head.notedCount * 2 + 1] = end
  head.notedCount++
}

function indexOf(bytes: Uint8Array, byte: number, start: number, end: number): number {
  for (let at = start; at < end; at++) if (bytes[at] === byte) return at
  return end
}

function startsWith(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  if (end - start < text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false
  return true
}

/** Whether the bytes are `word` (lower case), in whatever case. */
export function isWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  if (end - start !== word.length) return false
  for (let i = 0; i < word.length; i++) {
    const byte = bytes[start + i]!
    if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== word[i]) return false
  }
  return true
}

/** Whether a comma-separated list has `word`. */
function containsWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  for (let from = start; from < end; ) {
    const comma = indexOf(bytes, 0x2c, from, end)
    let first = from
    let last = comma
    while (first < last && bytes[first]! <= SPACE) first++
    while (last > first && bytes[last - 1]! <= SPACE) last--
    if (isWord(bytes, first, last, word)) return true
    from = comma + 1
  }
  return false
}

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  505: 'HTTP Version Not Supported',
}

export type Persistence = 'keep' | 'keep10' | 'close'

interface HeadTemplate {
  readonly before: Uint8Array
  readonly after: Uint8Array
}

const templates = new Map<string, HeadTemplate>()

function template(status: number, persistence: Persistence): HeadTemplate {
  const key = `${status} ${persistence}`
  const known = templates.get(key)
  if (known !== undefined) return known
  const connection = {
    keep: '',
    keep10: 'Connection: keep-alive\r\n',
    close: 'Connection: close\r\n',
  }
  const allow = status === 405 ? 'Allow: GET\r\n' : ''
  const made = {
    before: ascii(
      `HTTP/1.1 ${status} ${REASONS[status]}\r\nContent-Type: text/plain\r\n${allow}${connection[persistence]}Content-Length: `,
    ),
    after: ascii('\r\n\r\n'),
  }
  templates.set(key, made)
  return made
}

/** Longest head that `writeHead` writes. */
export const MAX_ANSWER_HEAD_BYTES = 160

/** Writes the head of an answer at `target[0…]`; returns how many bytes. */
export function writeHead(
  target: Uint8Array,
  status: number,
  persistence: Persistence,
  bodyBytes: number,
): number {
  const { before, after } = template(status, persistence)
  target.set(before, 0)
  const at = writeDecimal(bodyBytes, target, before.length)
  target.set(after, at)
  return at + after.length
}

export function reasonOf(status: number): string {
  return REASONS[status] ?? ''
}
