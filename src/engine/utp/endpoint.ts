/**
 * All connections of uTP over one datagram socket, and whom each packet is for.
 *
 * ```
 * datagram -> packet -> connection by id and address -> what has arrived together -> its receiver
 *                 `-> SYN: a new one, which proves itself    `-> no such: RESET, a few a second
 * ```
 *
 * What arrives in one turn of the event loop is read first, then delivered at once, answered and acknowledged at once: a
 * receiver that is called for each 1.4 KB would cost more than the packets.
 *
 * Invariants: at most `maxConnections`, those that take leave included; of them at most MAX_PROVING that have not proven where
 * they are, the oldest of which makes way; packets sent and not acknowledged, and those kept before their turn, are bounded
 * by two memories for all; an address that was made up gets one small packet for each that it sent.
 */
import { below, type Clock, type Random } from '../../base/index.ts'
import { Budget } from '../budget.ts'
import type { OpenDatagramSocket } from '../network.ts'
import { UtpConnection } from './connection.ts'
import type { UtpHost } from './host.ts'
import {
  HEADER_BYTES,
  Packet,
  ST_DATA,
  ST_FIN,
  ST_RESET,
  ST_SYN,
  stampHeader,
  U16,
  writeHeader,
} from './packet.ts'

/**
 * Whole datagrams that pass everywhere: with the headers below them 1428 bytes of IPv4, where tunnels take some of 1500, and
 * 1280 of IPv6, which every way bears.
 */
const PACKET_BYTES: Readonly<Record<4 | 6, number>> = { 4: 1400, 6: 1232 }
const GATHER_BYTES = 256 * 1024
const MAX_PROVING = 128
/** With one address and id: ids are the other side's to choose. */
const MAX_ALIKE = 64
const BUSY_TICK_MS = 50
const IDLE_TICK_MS = 1_000
const RESETS_PER_SECOND = 20
const MAX_POOLED = 2_048
const DEFAULT_MEMORY_BYTES = 32 * 1024 * 1024

export interface UtpOptions {
  readonly socket: OpenDatagramSocket
  readonly family: 4 | 6
  readonly clock: Clock
  readonly random: Random
  readonly maxConnections: number
  /** Of packets under way, and of what came before its turn: each at most this. */
  readonly memoryBytes?: number
  /** Somebody has connected to us, and is where it says. */
  onAccept(connection: UtpConnection): void
}

export class UtpEndpoint implements UtpHost<UtpConnection> {
  readonly packetBytes: number
  readonly received: Budget
  readonly #options: UtpOptions
  readonly #sent: Budget
  readonly #packet = new Packet()
  readonly #byId = new Map<number, UtpConnection[]>()
  #size = 0
  readonly #proving = new Set<UtpConnection>()
  readonly #busy = new Set<UtpConnection>()
  readonly #touched = new Set<UtpConnection>()
  readonly #pool: Uint8Array[] = []
  readonly #gathered = Buffer.allocUnsafeSlow(GATHER_BYTES)
  #gatheredBytes = 0
  #gatheredFor: UtpConnection | undefined
  #cancelTick: (() => void) | undefined
  #tickAtMs = Number.POSITIVE_INFINITY
  #sweptMs = 0
  #resetMs = 0
  #resets = 0
  #stopped = false

  constructor(options: UtpOptions) {
    this.#options = options
    this.packetBytes = PACKET_BYTES[options.family]
    this.received = new Budget(options.memoryBytes ?? DEFAULT_MEMORY_BYTES)
    this.#sent = new Budget(options.memoryBytes ?? DEFAULT_MEMORY_BYTES)
    const { socket } = options
    socket.onMessage = (bytes, host, port) => this.#receive(bytes, host, port)
    socket.onQuiet = () => this.#settle()
  }

  /** Connections of all states. */
  get size(): number {
    return this.#size
  }

  /** Begins a connection; undefined when there are too many. */
  connect(host: string, port: number): UtpConnection | undefined {
    const { random } = this.#options
    if (this.#stopped || this.#size >= this.#options.maxConnections) return undefined
    let id = below(random, U16 + 1)
    while (this.#find(id, host, port) !== undefined) id = (id + 1) & U16
    const first = below(random, U16 + 1)
    const connection = new UtpConnection(
      this,
      { address: host, port },
      id,
      first,
      this.nowMs(),
      undefined,
    )
    this.#add(connection)
    connection.begin(undefined)
    return connection
  }

  /** Ends all of them without a word. */
  stop(): void {
    this.#stopped = true
    for (const alike of [...this.#byId.values()]) {
      for (const connection of [...alike]) connection.abandon()
    }
    this.#cancelTick?.()
    this.#cancelTick = undefined
    this.#pool.length = 0
  }

  nowMs(): number {
    return this.#options.clock.monotonicMs()
  }

  #find(id: number, host: string, port: number): UtpConnection | undefined {
    const alike = this.#byId.get(id)
    if (alike === undefined) return undefined
    for (const connection of alike) {
      if (connection.remotePort === port && connection.remoteAddress === host) return connection
    }
    return undefined
  }

  #add(connection: UtpConnection): void {
    const alike = this.#byId.get(connection.receiveId)
    if (alike === undefined) this.#byId.set(connection.receiveId, [connection])
    else alike.push(connection)
    this.#size++
    this.#tickWithin(IDLE_TICK_MS)
  }

  // --- What arrives ---

  #receive(bytes: Uint8Array, host: string, port: number): void {
    const packet = this.#packet
    if (this.#stopped || !packet.read(bytes)) return
    if (packet.type === ST_SYN) {
      this.#admit(packet, host, port)
      return
    }
    let connection = this.#find(packet.id, host, port)
    if (connection === undefined && packet.type === ST_RESET) {
      // Who does not know us answers with the id that we sent: one beside that of what we receive.
      connection =
        this.#withSendId(packet.id - 1, packet.id, host, port) ??
        this.#withSendId(packet.id + 1, packet.id, host, port)
    }
    if (connection !== undefined) connection.receive(packet, this.nowMs())
    else if (packet.type === ST_DATA || packet.type === ST_FIN) this.#reset(packet, host, port)
  }

  #withSendId(id: number, sendId: number, host: string, port: number): UtpConnection | undefined {
    const connection = this.#find(id & U16, host, port)
    return connection?.sendId === sendId ? connection : undefined
  }

  #admit(packet: Packet, host: string, port: number): void {
    const receiveId = (packet.id + 1) & U16
    const known = this.#find(receiveId, host, port)
    if (known !== undefined) {
      known.receive(packet, this.nowMs())
      return
    }
    const alike = this.#byId.get(receiveId)?.length ?? 0
    const { maxConnections } = this.#options
    const oldest: UtpConnection | undefined = this.#proving.values().next().value
    if (this.#proving.size >= MAX_PROVING || this.#size >= maxConnections) oldest?.abandon()
    if (this.#size >= maxConnections || alike >= MAX_ALIKE) {
      this.#reset(packet, host, port)
      return
    }
    const first = below(this.#options.random, U16 + 1)
    const connection = new UtpConnection(
      this,
      { address: host, port },
      packet.id,
      first,
      this.nowMs(),
      packet,
    )
    this.#proving.add(connection)
    this.#add(connection)
    connection.begin(packet)
  }

  /** There is no such connection: at most a few hear of it. */
  #reset(packet: Packet, host: string, port: number): void {
    const nowMs = this.nowMs()
    if (nowMs - this.#resetMs >= 1_000) {
      this.#resetMs = nowMs
      this.#resets = 0
    }
    if (++this.#resets > RESETS_PER_SECOND) return
    const bytes = Buffer.allocUnsafe(HEADER_BYTES)
    writeHeader(bytes, ST_RESET, packet.id, below(this.#options.random, U16 + 1))
    stampHeader(bytes, this.micros(), 0, 0, packet.seq)
    this.#options.socket.send(bytes, host, port)
  }

  /** All that had arrived is read. */
  #settle(): void {
    if (this.#stopped) return
    this.#deliver()
    const nowMs = this.nowMs()
    for (const connection of this.#touched) connection.settle(nowMs)
    this.#touched.clear()
  }

  #deliver(): void {
    const connection = this.#gatheredFor
    if (connection === undefined) return
    const bytes = this.#gathered.subarray(0, this.#gatheredBytes)
    this.#gatheredFor = undefined
    this.#gatheredBytes = 0
    connection.deliver(bytes)
  }

  // --- As connections see it ---

  gather(connection: UtpConnection, payload: Uint8Array): void {
    const { length } = payload
    if (this.#gatheredFor !== connection || this.#gatheredBytes + length > GATHER_BYTES) {
      this.#deliver()
      this.#gatheredFor = connection
    }
    this.#gathered.set(payload, this.#gatheredBytes)
    this.#gatheredBytes += length
  }

  touched(connection: UtpConnection): void {
    this.#touched.add(connection)
  }

  busy(connection: UtpConnection): void {
    this.#busy.add(connection)
    this.#tickWithin(BUSY_TICK_MS)
  }

  proven(connection: UtpConnection): void {
    this.#proving.delete(connection)
    this.#options.onAccept(connection)
  }

  micros(): number {
    // Modulo 2^32 by definition.
    return Math.floor(this.nowMs() * 1000) >>> 0
  }

  takePacket(): Uint8Array | undefined {
    if (!this.#sent.take(this.packetBytes)) return undefined
    return this.#pool.pop() ?? Buffer.allocUnsafeSlow(this.packetBytes)
  }

  shrinkPacket(packet: Uint8Array, bytes: number): Uint8Array {
    const small = Buffer.allocUnsafe(bytes)
    small.set(packet.subarray(0, bytes))
    this.#sent.give(packet.length - bytes)
    // It has never been sent.
    if (this.#pool.length < MAX_POOLED) this.#pool.push(packet)
    return small
  }

  freePacket(packet: Uint8Array): void {
    this.#sent.give(packet.length)
    const isWhole = packet.length === this.packetBytes
    // What the system has not taken yet it will read: nobody else may write there.
    if (isWhole && this.#pool.length < MAX_POOLED && this.#options.socket.backlog === 0) {
      this.#pool.push(packet)
    }
  }

  send(bytes: Uint8Array, { remoteAddress, remotePort }: UtpConnection): void {
    this.#options.socket.send(bytes, remoteAddress, remotePort)
  }

  later(task: () => void): void {
    this.#options.clock.after(0, task)
  }

  ended(connection: UtpConnection): void {
    const alike = this.#byId.get(connection.receiveId)!
    if (alike.length === 1) this.#byId.delete(connection.receiveId)
    else alike.splice(alike.indexOf(connection), 1)
    this.#size--
    this.#proving.delete(connection)
    this.#busy.delete(connection)
    this.#touched.delete(connection)
    if (this.#gatheredFor !== connection) return
    this.#gatheredFor = undefined
    this.#gatheredBytes = 0
  }

  // --- Time ---

  #tickWithin(ms: number): void {
    const atMs = this.nowMs() + ms
    if (this.#stopped || this.#tickAtMs <= atMs) return
    this.#cancelTick?.()
    this.#tickAtMs = atMs
    this.#cancelTick = this.#options.clock.after(ms, () => this.#tick(), true)
  }

  #tick(): void {
    this.#tickAtMs = Number.POSITIVE_INFINITY
    const nowMs = this.nowMs()
    for (const connection of [...this.#busy]) {
      if (!connection.tick(nowMs)) this.#busy.delete(connection)
    }
    if (nowMs - this.#sweptMs >= IDLE_TICK_MS) {
      this.#sweptMs = nowMs
      for (const alike of this.#byId.values()) {
        for (const connection of alike) connection.keepAlive(nowMs)
      }
    }
    if (this.#busy.size > 0) this.#tickWithin(BUSY_TICK_MS)
    else if (this.#size > 0) this.#tickWithin(IDLE_TICK_MS)
  }
}
