/** A gateway by the letter of RFC 6886 and RFC 6887, with a table of what it maps; its bytes are read and written here alone. */
import { toHex } from '../../../src/base/index.ts'

export interface PlayedOptions {
  readonly pcp?: boolean
  readonly natPmp?: boolean
  /** Four bytes, of the outside. */
  readonly address?: readonly number[]
  /** Granted at most, in seconds. */
  readonly maxLifetimeS?: number
  /** The outer port that is given for one asked for. */
  readonly portFor?: (asked: number, transport: 'tcp' | 'udp') => number
  /** The result that is answered in place of success. */
  readonly result?: (transport: 'tcp' | 'udp') => number
  /** Of an error of PCP, in seconds. */
  readonly errorLifetimeS?: number
  /** Seconds on its clock since its start. */
  readonly clock: () => number
}

interface Entry {
  readonly innerPort: number
  readonly outerPort: number
  readonly nonce: string
  readonly lifetimeS: number
}

export class PlayedGateway {
  options: PlayedOptions
  /** What it maps, by transport. */
  readonly table: Map<'tcp' | 'udp', Entry> = new Map()
  /** What was asked, in words. */
  readonly asked: string[] = []

  constructor(options: PlayedOptions) {
    this.options = options
  }

  /** Null: it says nothing. */
  answer(request: Uint8Array): Uint8Array | null {
    const { pcp = true, natPmp = true } = this.options
    if (request[0] === 2 && pcp) return this.#pcp(Buffer.from(request))
    if (request[0] === 0 && natPmp) return this.#natPmp(Buffer.from(request))
    if (request[0] === 2 && natPmp) {
      this.asked.push('version 2')
      return this.#head(Buffer.alloc(8), 0, (request[1] ?? 0) | 0x80, 1)
    }
    if (pcp) return Buffer.concat([Buffer.of(2, (request[1] ?? 0) | 0x80, 0, 1), Buffer.alloc(20)])
    return null
  }

  /** As it is told to all at its start. */
  announcement(): Uint8Array {
    const { pcp = true } = this.options
    if (!pcp) return this.#address()
    const bytes = Buffer.alloc(24)
    bytes.set([2, 0x80])
    bytes.writeUInt32BE(this.options.clock(), 8)
    return bytes
  }

  /** The power was gone. */
  reset(clock: () => number): void {
    this.table.clear()
    this.options = { ...this.options, clock }
  }

  #head(bytes: Buffer, version: number, opcode: number, result: number): Buffer {
    bytes.set([version, opcode])
    bytes.writeUInt16BE(result, 2)
    bytes.writeUInt32BE(this.options.clock(), 4)
    return bytes
  }

  #address(): Buffer {
    const bytes = this.#head(Buffer.alloc(12), 0, 128, 0)
    bytes.set(this.options.address ?? [203, 0, 113, 7], 8)
    return bytes
  }

  #natPmp(request: Buffer): Buffer {
    if (request[1] === 0) {
      this.asked.push('address')
      return this.#address()
    }
    const transport = request[1] === 1 ? 'udp' : 'tcp'
    const innerPort = request.readUInt16BE(4)
    const outer = request.readUInt16BE(6)
    const lifetimeS = request.readUInt32BE(8)
    const result = this.#map(transport, innerPort, outer, lifetimeS, '')
    if (typeof result === 'number') return this.#head(Buffer.alloc(8), 0, 128 + request[1]!, result)
    const bytes = this.#head(Buffer.alloc(16), 0, 128 + request[1]!, 0)
    bytes.writeUInt16BE(innerPort, 8)
    bytes.writeUInt16BE(result.outerPort, 10)
    bytes.writeUInt32BE(result.lifetimeS, 12)
    return bytes
  }

  #pcp(request: Buffer): Buffer {
    const transport = request[36] === 17 ? 'udp' : 'tcp'
    const innerPort = request.readUInt16BE(40)
    const outer = request.readUInt16BE(42)
    const nonce = toHex(request.subarray(24, 36))
    const result = this.#map(transport, innerPort, outer, request.readUInt32BE(4), nonce)
    const bytes = Buffer.from(request)
    bytes.set([2, 0x81, 0, typeof result === 'number' ? result : 0])
    bytes.fill(0, 12, 24)
    bytes.writeUInt32BE(
      typeof result === 'number' ? (this.options.errorLifetimeS ?? 60) : result.lifetimeS,
      4,
    )
    bytes.writeUInt32BE(this.options.clock(), 8)
    if (typeof result !== 'number') {
      bytes.writeUInt16BE(result.outerPort, 42)
      bytes.fill(0, 44, 60)
      bytes.fill(0xff, 54, 56)
      bytes.set(this.options.address ?? [203, 0, 113, 7], 56)
    }
    return bytes
  }

  #map(
    transport: 'tcp' | 'udp',
    innerPort: number,
    outer: number,
    lifetimeS: number,
    nonce: string,
  ): Entry | number {
    const { portFor = (port) => port, maxLifetimeS = 7200 } = this.options
    this.asked.push(`${transport} ${innerPort}>${outer} ${lifetimeS}`)
    const result = this.options.result?.(transport) ?? 0
    if (result !== 0) return result
    const before = this.table.get(transport)
    if (lifetimeS === 0) {
      // Not authorized: it is somebody else's.
      if (before !== undefined && before.nonce !== nonce) return 2
      this.table.delete(transport)
      return { innerPort, outerPort: 0, nonce, lifetimeS: 0 }
    }
    const outerPort = before?.outerPort ?? portFor(outer, transport)
    const entry = { innerPort, outerPort, nonce, lifetimeS: Math.min(lifetimeS, maxLifetimeS) }
    this.table.set(transport, entry)
    return entry
  }
}
