/**
 * A load for seeders: connections that ask for all chunks of a torrent, each from a piece of its own on, round
 * and round, and throw away what they get. A program of its own:
 *
 *   node leech.js '{"port", "infoHash", "totalBytes", "pieceBytes", "connections", "idle"}'
 *
 * It says {"event": "connected"} when every connection has shaken hands, and answers each line on stdin with
 * {"event": "bytes", "bytes"}: payload received so far. `idle`: it asks for nothing. End of stdin ends it.
 */
import { randomFillSync } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { HANDSHAKE_BYTES, writeHandshake } from '../../../src/engine/wire/handshake.ts'
import * as messages from '../../../src/engine/wire/messages.ts'
import { WireReader } from '../../../src/engine/wire/reader.ts'
import { DeafSink } from '../../../src/engine/wire/sink.ts'

interface Task {
  readonly port: number
  readonly infoHash: string
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly connections: number
  readonly idle: boolean
}

const DEPTH = 128
/** Sources, so that nobody takes them for one peer. */
const ADDRESSES = 50
/** Connections that have not shaken hands yet: a seeder lets in so many strangers at a time. */
const ARRIVING = 50

const task = JSON.parse(process.argv[2]!) as Task
let received = 0
let shaken = 0

const say = (event: string, fields: object = {}): void =>
  void process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)

class Leech extends DeafSink {
  readonly #socket: Socket
  #choked = true
  #owed = 0
  #next: number

  constructor(number: number) {
    super()
    const pieces = Math.ceil(task.totalBytes / task.pieceBytes)
    this.#next = Math.floor((number * pieces) / task.connections) * task.pieceBytes
    const localAddress = `127.0.1.${1 + (number % ADDRESSES)}`
    this.#socket = connect({ host: '127.0.0.1', port: task.port, localAddress, noDelay: true })
    const reader = new WireReader(this)
    this.#socket.on('data', (bytes) => {
      reader.push(bytes)
      this.#ask()
    })
    this.#socket.on('error', (error) => {
      console.error(error)
      process.exit(1)
    })
    this.#socket.on('close', () => say('closed'))
    const hello = Buffer.alloc(HANDSHAKE_BYTES)
    const peerId = randomFillSync(new Uint8Array(20))
    const infoHash = Buffer.from(task.infoHash, 'hex')
    writeHandshake(hello, { infoHash, peerId, supportsV2: false })
    this.#socket.write(hello)
  }

  override onHandshake(): void {
    const words = Buffer.alloc(2 * messages.BARE_BYTES)
    messages.writeHaveNone(words, 0)
    if (!task.idle) messages.writeInterested(words, messages.BARE_BYTES)
    this.#socket.write(task.idle ? words.subarray(0, messages.BARE_BYTES) : words)
    shaken++
    beginNext()
    if (shaken === task.connections) say('connected')
  }

  override onUnchoke(): void {
    this.#choked = false
  }

  override onChoke(): void {
    this.#choked = true
    this.#owed = 0
  }

  override onPieceEnd(_piece: number, _begin: number, length: number): void {
    this.#owed = Math.max(0, this.#owed - 1)
    received += length
  }

  #ask(): void {
    if (this.#choked || task.idle || this.#owed > DEPTH / 2) return
    const bytes = Buffer.alloc((DEPTH - this.#owed) * messages.REQUEST_BYTES)
    let at = 0
    for (; this.#owed < DEPTH; this.#owed++) {
      const piece = Math.floor(this.#next / task.pieceBytes)
      const begin = this.#next - piece * task.pieceBytes
      const pieceEnd = Math.min((piece + 1) * task.pieceBytes, task.totalBytes)
      const length = Math.min(messages.CHUNK_BYTES, pieceEnd - this.#next)
      at += messages.writeRequest(bytes, at, piece, begin, length)
      this.#next += length
      if (this.#next === task.totalBytes) this.#next = 0
    }
    this.#socket.write(bytes)
  }
}

let begun = 0
const beginNext = (): void => {
  if (begun < task.connections) new Leech(begun++)
}
for (let i = 0; i < ARRIVING; i++) beginNext()
const lines = createInterface({ input: process.stdin })
lines.on('line', () => say('bytes', { bytes: received }))
lines.on('close', () => process.exit(0))
