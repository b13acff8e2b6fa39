/** What the tracker counts: additions to numbers that exist, so cheap enough for every packet. */
import type { Failure } from './failures.ts'
import { type ResponseRow, Responses } from './responses.ts'

export type Transport = 'udp4' | 'udp6' | 'http4' | 'http6'

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
}

export interface TrackerStats {
  readonly transports: Readonly<Record<Transport, Readonly<TransportCounters>>>
  /** Errors by their text; HTTP statuses other than 200 as `http 404`. */
  readonly errors: Readonly<Record<string, number>>
  readonly httpConnections: number
  readonly responses: readonly ResponseRow[]
}

const zeros = (): TransportCounters => ({
  connects: 0,
  announces: 0,
  scrapes: 0,
  errors: 0,
  limited: 0,
  dropped: 0,
})

export class Counters {
  readonly transports: Record<Transport, TransportCounters> = {
    udp4: zeros(),
    udp6: zeros(),
    http4: zeros(),
    http6: zeros(),
  }
  readonly errors: Record<string, number> = {}
  httpConnections = 0
  readonly responses: Responses = new Responses()

  error(transport: Transport, reason: Failure | `http ${number}`): void {
    this.transports[transport].errors++
    this.errors[reason] = (this.errors[reason] ?? 0) + 1
  }

  snapshot(): TrackerStats {
    const { udp4, udp6, http4, http6 } = this.transports
    return {
      transports: {
        udp4: { ...udp4 },
        udp6: { ...udp6 },
        http4: { ...http4 },
        http6: { ...http6 },
      },
      errors: { ...this.errors },
      httpConnections: this.httpConnections,
      responses: this.responses.rows(),
    }
  }
}
