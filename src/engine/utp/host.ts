/** What a connection of uTP needs of whoever has the socket. */
import type { Budget } from '../budget.ts'

/** Memory for packets that are under way, of all connections. */
export interface PacketMemory {
  /** Of a whole packet, its header included. */
  readonly packetBytes: number
  /** Memory for a packet; undefined while there is none. */
  takePacket(): Uint8Array | undefined
  /** A packet of this many bytes needs no more. */
  shrinkPacket(packet: Uint8Array, bytes: number): Uint8Array
  freePacket(packet: Uint8Array): void
}

/** The socket's owner as its connections, of type C, see it. */
export interface UtpHost<C> extends PacketMemory {
  /** For packets that came before their turn, or were not taken. */
  readonly received: Budget
  nowMs(): number
  /** Microseconds of our clock, modulo 2^32. */
  micros(): number
  send(bytes: Uint8Array, connection: C): void
  /** Payload in its order; copied. */
  gather(connection: C, payload: Uint8Array): void
  /** `settle` is to be called when all that has arrived together is read. */
  touched(connection: C): void
  /** `tick` is to be called until it answers false. */
  busy(connection: C): void
  /** The other side is where it says. */
  proven(connection: C): void
  later(task: () => void): void
  ended(connection: C): void
}
