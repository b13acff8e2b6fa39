/**
 * HTTP/1.0 and 1.1 as far as a tracker needs it: heads of requests in, heads of answers out. Bytes only.
 *
 *     GET /announce?info_hash=… HTTP/1.1 CRLF
 *     Name: value CRLF …
 *     CRLF
 *
 * Strict: lines end in CRLF, no control bytes, no folding, no body. What is not understood is refused with a status
 * and the connection closed, because where the next request begins would be a guess.
 *
 * One pass over the bytes: the query is read (http-query.ts) on the way to its end. A head that is not whole is read
 * again once its end has come, which is looked for only in what is new: bytes that come one by one cost no more than that.
 */
import {
  ascii,
  CLASS_OF,
  containsWord,
  ENDS_NAME,
  ENDS_VALUE,
  isWord,
  LOWER_OF,
  STOP,
  startsWith,
} from './http-bytes.ts'
import { HttpQuery, readQuery } from './http-query.ts'

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
  readonly query: HttpQuery = new HttpQuery()
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
const COLON = 0x3a
const SLASH = 0x2f
const QUESTION_MARK = 0x3f
const GET = ascii('GET ')
const HEAD = ascii('HEAD ')
/** With the space in front, the digits and the end of the line: ` HTTP/1.1` CRLF. */
const VERSION_BYTES = 9
const HTTP = ascii(' HTTP/')
const ABSOLUTE = ascii('http://')
const CONNECTION = ascii('connection')
const CONTENT_LENGTH = ascii('content-length')
const TRANSFER_ENCODING = ascii('transfer-encoding')
const UPGRADE = ascii('upgrade')
const WEBSOCKET = ascii('websocket')
const CLOSE = ascii('close')
const KEEP_ALIVE = ascii('keep-alive')

/** Reads the head that begins at `bytes[start]`. Allocates nothing, throws nothing. */
export function parseHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: HttpHead,
): HttpParse {
  head.isHead = startsWith(bytes, start, end, HEAD)
  const limit = Math.min(end, start + MAX_HEAD_BYTES)
  if (head.scanned === 0 || hasEnd(bytes, start + head.scanned, limit)) {
    const parsed = parseRequestLine(bytes, start, limit, head)
    if (parsed !== 'more') {
      head.scanned = 0
      return parsed
    }
  }
  if (end > limit) {
    head.scanned = 0
    return 431
  }
  head.scanned = Math.max(0, end - start - 3)
  return 'more'
}

/** Whether the empty line behind a head is there. */
function hasEnd(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start + 3; at < end; at++) {
    if (bytes[at] === LF && bytes[at - 2] === LF && bytes[at - 1] === CR && bytes[at - 3] === CR) {
      return true
    }
  }
  return false
}

function parseRequestLine(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: HttpHead,
): HttpParse {
  head.upgrade = false
  head.notedCount = 0
  const isGet = startsWith(bytes, start, end, GET)
  let at = start + GET.length
  if (!isGet) {
    const methodEnd = endOfWord(bytes, start, end)
    if (methodEnd === end) return 'more'
    if (methodEnd === start || bytes[methodEnd] !== SPACE) return 400
    at = methodEnd + 1
  }
  const target = at
  if (at < end && bytes[at] !== SLASH && startsWith(bytes, at, end, ABSOLUTE)) {
    for (at += ABSOLUTE.length; at < end && bytes[at] !== SLASH; at++) {
      if (CLASS_OF[bytes[at]!] === STOP) break
    }
  }
  head.pathStart = at
  for (; at < end && bytes[at] !== QUESTION_MARK; at++) {
    if (CLASS_OF[bytes[at]!] === STOP) break
  }
  head.pathEnd = at
  if (at < end && bytes[at] === QUESTION_MARK) at++
  head.queryStart = at
  at = readQuery(bytes, at, end, head.query)
  head.queryEnd = at
  const lineEnd = at + VERSION_BYTES
  if (lineEnd + 1 >= end) return prefixIsWrong(bytes, at, end) ? 400 : 'more'
  if (at === target || !startsWith(bytes, at, end, HTTP) || bytes[at + 7] !== 0x2e) return 400
  if (bytes[lineEnd] !== CR || bytes[lineEnd + 1] !== LF) return 400
  const minor = bytes[at + 8]!
  if (minor < SPACE || minor >= 0x7f || bytes[at + 6]! < SPACE || bytes[at + 6]! >= 0x7f) return 400
  if (bytes[at + 6] !== 0x31) return 505
  head.version10 = minor === 0x30
  head.keepAlive = !head.version10
  if (!isGet) return 405
  return parseHeaders(bytes, start, lineEnd + 2, end, head)
}

/** Whether what has come behind the target cannot become a version. */
function prefixIsWrong(bytes: Uint8Array, at: number, end: number): boolean {
  for (let i = 0; i < HTTP.length && at + i < end; i++) if (bytes[at + i] !== HTTP[i]) return true
  return false
}

function endOfWord(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && CLASS_OF[bytes[at]!] !== STOP) at++
  return at
}

function parseHeaders(
  bytes: Uint8Array,
  start: number,
  headers: number,
  end: number,
  head: HttpHead,
): HttpParse {
  const note = head.note
  let line = headers
  for (let count = 0; ; count++) {
    if (line + 1 >= end) return 'more'
    if (bytes[line] === CR) {
      if (bytes[line + 1] !== LF) return 400
      head.length = line + 2 - start
      return 'request'
    }
    if (count === MAX_HEADERS) return 431
    let at = line
    while (at < end && ENDS_NAME[bytes[at]!] === 0) at++
    if (at === end) return 'more'
    const colon = at
    if (colon === line || bytes[colon] !== COLON) return 400
    for (at++; at < end && ENDS_VALUE[bytes[at]!] === 0; ) at++
    if (at === end) return 'more'
    if (bytes[at] !== CR) return 400
    if (at + 1 === end) return 'more'
    if (bytes[at + 1] !== LF) return 400
    if (note !== null && isWord(bytes, line, colon, note)) noteValue(head, colon + 1, at)
    const letter = LOWER_OF[bytes[line]!]
    // The first letters of the four that matter.
    if (letter === 0x63 || letter === 0x74 || letter === 0x75) {
      const refused = readHeader(bytes, line, colon, at, head)
      if (refused !== 'request') return refused
    }
    line = at + 2
  }
}

function readHeader(
  bytes: Uint8Array,
  line: number,
  colon: number,
  end: number,
  head: HttpHead,
): HttpParse {
  if (isWord(bytes, line, colon, CONNECTION)) {
    if (containsWord(bytes, colon + 1, end, CLOSE)) head.keepAlive = false
    else if (containsWord(bytes, colon + 1, end, KEEP_ALIVE)) head.keepAlive = true
  } else if (isWord(bytes, line, colon, TRANSFER_ENCODING)) {
    return 501
  } else if (isWord(bytes, line, colon, CONTENT_LENGTH)) {
    for (let at = colon + 1; at < end; at++) {
      // Zero is no body; anything else would be one.
      if (bytes[at] !== SPACE && bytes[at] !== 0x30) return 400
    }
  } else if (isWord(bytes, line, colon, UPGRADE)) {
    if (containsWord(bytes, colon + 1, end, WEBSOCKET)) head.upgrade = true
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

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  426: 'Upgrade Required',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  505: 'HTTP Version Not Supported',
}

export type Persistence = 'keep' | 'keep10' | 'close'

const CONNECTION_LINE: Readonly<Record<Persistence, string>> = {
  keep: '',
  keep10: 'Connection: keep-alive\r\n',
  close: 'Connection: close\r\n',
}

/** Heads of answers, ready up to the number of bytes. */
class HeadTemplates {
  readonly keep: Uint8Array
  readonly keep10: Uint8Array
  readonly close: Uint8Array

  constructor(status: number) {
    const made = (persistence: Persistence): Uint8Array => {
      const allow = status === 405 ? 'Allow: GET\r\n' : ''
      return ascii(
        `HTTP/1.1 ${status} ${REASONS[status]}\r\nContent-Type: text/plain\r\n${allow}${CONNECTION_LINE[persistence]}Content-Length: `,
      )
    }
    this.keep = made('keep')
    this.keep10 = made('keep10')
    this.close = made('close')
  }
}

const OK: HeadTemplates = new HeadTemplates(200)
const OTHERS: ReadonlyMap<number, HeadTemplates> = new Map(
  Object.keys(REASONS).map((status) => [Number(status), new HeadTemplates(Number(status))]),
)

/** Longest head that `writeHead` writes. */
export const MAX_ANSWER_HEAD_BYTES = 160

/** Writes the head of an answer so that it ends at `target[end]`; returns where it begins. Allocates nothing. */
export function writeHead(
  target: Uint8Array,
  end: number,
  status: number,
  persistence: Persistence,
  bodyBytes: number,
): number {
  const templates = status === 200 ? OK : OTHERS.get(status)!
  target[end - 1] = LF
  target[end - 2] = CR
  target[end - 3] = LF
  target[end - 4] = CR
  let at = end - 4
  let rest = bodyBytes
  do {
    const next = (rest / 10) | 0
    target[--at] = 0x30 + rest - next * 10
    rest = next
  } while (rest > 0)
  const before = persistence === 'keep' ? templates.keep : templates[persistence]
  at -= before.length
  for (let i = 0; i < before.length; i++) target[at + i] = before[i]!
  return at
}

export function reasonOf(status: number): string {
  return REASONS[status] ?? ''
}
