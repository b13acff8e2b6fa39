/**
 * What the tracker counts: additions to numbers that exist, so cheap enough for every packet.
 *
 *     block   64-bit floating-point numbers in memory that threads share
 *     0       for each of TRANSPORTS, the FIELDS
 *     …       errors by reason, as in REASONS
 *     …       open connections of HTTP
 *     …       of WebSocket, the SIGNAL_FIELDS
 *     …       the table of responses.ts
 *
 * Each thread that answers has a block of its own and is the only one to write there: no lock, no line that two processors
 * fight for. Who asks adds the blocks up; what is counted meanwhile is seen now or the next time.
 */
import type { Failure } from './failures.ts'
import { REASONS, RESPONSE_CELLS, type ResponseRow, Responses, reasonIndex } from './responses.ts'

export const TRANSPORTS = ['udp4', 'udp6', 'http4', 'http6', 'ws4', 'ws6'] as const
export type Transport = (typeof TRANSPORTS)[number]

export interface TransportCounters {
  connects: number
  announces: number
  scrapes: number
  /** Requests answered with an error. */
  errors: number
  /** Requests of who asks too often. */
  limited: number
  /** Packets and connections that got no answer: garbage, over a limit, too slow. */
  dropped: number
  /** Packets past capacity, read and thrown away because they had waited too long. */
  shed: number
  /** Packets past capacity that the system had no room for. */
  overflowed: number
  /** Answers that the system did not take. */
  unsent: number
}

const FIELDS = [
  'connects',
  'announces',
  'scrapes',
  'errors',
  'limited',
  'dropped',
  'shed',
  'overflowed',
  'unsent',
] as const satisfies readonly (keyof TransportCounters)[]

/** Of signalling over WebSocket, which one thread does. */
export interface WebSocketCounters {
  /** Open now. */
  connections: number
  swarms: number
  seeders: number
  leechers: number
  /** Passed on. */
  offers: number
  answers: number
  /** Answers to peers that were gone. */
  undelivered: number
  /** Connections ended because they did not take what was sent to them. */
  slow: number
}

const SIGNAL_FIELDS = [
  'connections',
  'swarms',
  'seeders',
  'leechers',
  'offers',
  'answers',
  'undelivered',
  'slow',
] as const satisfies readonly (keyof WebSocketCounters)[]

const ERRORS: number = TRANSPORTS.length * FIELDS.length
const CONNECTIONS: number = ERRORS + REASONS.length
const SIGNALS: number = CONNECTIONS + 1
const RESPONSES: number = SIGNALS + SIGNAL_FIELDS.length
const CELLS: number = RESPONSES + RESPONSE_CELLS

export interface TrackerStats {
  readonly transports: Readonly<Record<Transport, Readonly<TransportCounters>>>
  /** Errors by their text; HTTP statuses other than 200 as `http 404`. */
  readonly errors: Readonly<Record<string, number>>
  readonly httpConnections: number
  readonly websocket: Readonly<WebSocketCounters>
  readonly responses: readonly ResponseRow[]
}

/** The counters of one transport in a block, as if they were fields. */
class TransportCells implements TransportCounters {
  readonly #cells: Float64Array
  readonly #at: number

  constructor(cells: Float64Array, transport: number) {
    this.#cells = cells
    this.#at = transport * FIELDS.length
  }

  get connects(): number {
    return this.#cells[this.#at]!
  }
  set connects(value: number) {
    this.#cells[this.#at] = value
  }
  get announces(): number {
    return this.#cells[this.#at + 1]!
  }
  set announces(value: number) {
    this.#cells[this.#at + 1] = value
  }
  get scrapes(): number {
    return this.#cells[this.#at + 2]!
  }
  set scrapes(value: number) {
    this.#cells[this.#at + 2] = value
  }
  get errors(): number {
    return this.#cells[this.#at + 3]!
  }
  set errors(value: number) {
    this.#cells[this.#at + 3] = value
  }
  get limited(): number {
    return this.#cells[this.#at + 4]!
  }
  set limited(value: number) {
    this.#cells[this.#at + 4] = value
  }
  get dropped(): number {
    return this.#cells[this.#at + 5]!
  }
  set dropped(value: number) {
    this.#cells[this.#at + 5] = value
  }
  get shed(): number {
    return this.#cells[this.#at + 6]!
  }
  set shed(value: number) {
    this.#cells[this.#at + 6] = value
  }
  get overflowed(): number {
    return this.#cells[this.#at + 7]!
  }
  set overflowed(value: number) {
    this.#cells[this.#at + 7] = value
  }
  get unsent(): number {
    return this.#cells[this.#at + 8]!
  }
  set unsent(value: number) {
    this.#cells[this.#at + 8] = value
  }
}

/** Those of signalling in a block, likewise. */
class SignalCells implements WebSocketCounters {
  readonly #cells: Float64Array

  constructor(cells: Float64Array) {
    this.#cells = cells
  }

  get connections(): number {
    return this.#cells[SIGNALS]!
  }
  set connections(value: number) {
    this.#cells[SIGNALS] = value
  }
  get swarms(): number {
    return this.#cells[SIGNALS + 1]!
  }
  set swarms(value: number) {
    this.#cells[SIGNALS + 1] = value
  }
  get seeders(): number {
    return this.#cells[SIGNALS + 2]!
  }
  set seeders(value: number) {
    this.#cells[SIGNALS + 2] = value
  }
  get leechers(): number {
    return this.#cells[SIGNALS + 3]!
  }
  set leechers(value: number) {
    this.#cells[SIGNALS + 3] = value
  }
  get offers(): number {
    return this.#cells[SIGNALS + 4]!
  }
  set offers(value: number) {
    this.#cells[SIGNALS + 4] = value
  }
  get answers(): number {
    return this.#cells[SIGNALS + 5]!
  }
  set answers(value: number) {
    this.#cells[SIGNALS + 5] = value
  }
  get undelivered(): number {
    return this.#cells[SIGNALS + 6]!
  }
  set undelivered(value: number) {
    this.#cells[SIGNALS + 6] = value
  }
  get slow(): number {
    return this.#cells[SIGNALS + 7]!
  }
  set slow(value: number) {
    this.#cells[SIGNALS + 7] = value
  }
}

export class Counters {
  /** May be posted to the thread that counts here. */
  readonly buffer: SharedArrayBuffer
  readonly transports: Readonly<Record<Transport, TransportCounters>>
  readonly responses: Responses
  readonly websocket: WebSocketCounters
  readonly #cells: Float64Array

  /** A new block; or the one at `buffer`. */
  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(CELLS * 8)) {
    this.buffer = buffer
    const cells = new Float64Array(buffer)
    this.#cells = cells
    this.transports = {
      udp4: new TransportCells(cells, 0),
      udp6: new TransportCells(cells, 1),
      http4: new TransportCells(cells, 2),
      http6: new TransportCells(cells, 3),
      ws4: new TransportCells(cells, 4),
      ws6: new TransportCells(cells, 5),
    }
    this.websocket = new SignalCells(cells)
    this.responses = new Responses(cells.subarray(RESPONSES))
  }

  get httpConnections(): number {
    return this.#cells[CONNECTIONS]!
  }

  set httpConnections(value: number) {
    this.#cells[CONNECTIONS] = value
  }

  error(transport: Transport, reason: Failure | `http ${number}`): void {
    this.transports[transport].errors++
    this.#cells[ERRORS + reasonIndex(reason)]!++
  }

  /** What is open belongs to the thread that counts here: of one that died nothing is left. */
  noneOpen(): void {
    this.httpConnections = 0
    const { websocket } = this
    websocket.connections = 0
    websocket.swarms = 0
    websocket.seeders = 0
    websocket.leechers = 0
  }

  /** Errors by their text, as far as there were any. */
  get errors(): Readonly<Record<string, number>> {
    const found: Record<string, number> = {}
    for (const [i, reason] of REASONS.entries()) {
      const count = this.#cells[ERRORS + i]!
      if (count > 0) found[reason] = count
    }
    return found
  }

  snapshot(): TrackerStats {
    return sumOf([this])
  }

  /** Adds all that another block says. */
  add(other: Counters): void {
    for (let i = 0; i < CELLS; i++) this.#cells[i]! += other.#cells[i]!
  }
}

/** What several threads counted, together. */
export function sumOf(blocks: readonly Counters[]): TrackerStats {
  const sum = new Counters()
  for (const block of blocks) sum.add(block)
  const of = (transport: Transport): TransportCounters => {
    const counters = sum.transports[transport]
    return Object.fromEntries(FIELDS.map((field) => [field, counters[field]])) as never
  }
  return {
    transports: {
      udp4: of('udp4'),
      udp6: of('udp6'),
      http4: of('http4'),
      http6: of('http6'),
      ws4: of('ws4'),
      ws6: of('ws6'),
    },
    errors: sum.errors,
    httpConnections: sum.httpConnections,
    websocket: Object.fromEntries(
      SIGNAL_FIELDS.map((field) => [field, sum.websocket[field]]),
    ) as never,
    responses: sum.responses.rows(),
  }
}
