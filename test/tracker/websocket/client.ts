/** A WebSocket client of a test: messages as objects, waited for. */
import type { TestContext } from 'node:test'
import WebSocket, { type ClientOptions } from 'ws'

export interface Message {
  readonly action?: string
  readonly info_hash?: string
  readonly peer_id?: string
  readonly offer_id?: string
  readonly offer?: unknown
  readonly answer?: unknown
  readonly interval?: number
  readonly complete?: number
  readonly incomplete?: number
  readonly files?: Record<string, { complete: number; incomplete: number; downloaded: number }>
  readonly flags?: { readonly min_request_interval: number }
  readonly 'failure reason'?: string
}

export const HASH = 'aaaaaaaaaaaaaaaaaaaa'
/** Every kind of byte that JSON or UTF-8 treats in its own way. */
export const ODD_HASH = '\0\n"\\\x7f\x80\xbf\xc0\xc3\xff/\u001f \u00e9{}[]:,'

export class SignalClient {
  readonly socket: WebSocket
  readonly heard: Message[] = []
  closeCode: number | undefined
  #taken = 0
  #wake: (() => void) | undefined

  constructor(t: TestContext, url: string, options: ClientOptions = {}) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...options })
    t.after(() => this.socket.terminate())
    this.socket.on('message', (data) => {
      this.heard.push(JSON.parse(String(data)))
      this.#wake?.()
    })
    this.socket.on('close', (code) => {
      this.closeCode = code
      this.#wake?.()
    })
    this.socket.on('error', () => {})
  }

  static async open(t: TestContext, url: string, options?: ClientOptions): Promise<SignalClient> {
    const client = new SignalClient(t, url, options)
    await new Promise<void>((resolve, reject) => {
      client.socket.once('open', resolve)
      client.socket.once('error', reject)
    })
    return client
  }

  say(message: object | string | Buffer): void {
    const isRaw = typeof message === 'string' || Buffer.isBuffer(message)
    this.socket.send(isRaw ? message : JSON.stringify(message))
  }

  announce(peerId: string, more: object = {}): void {
    this.say({
      action: 'announce',
      info_hash: HASH,
      peer_id: peerId,
      numwant: 5,
      uploaded: 0,
      downloaded: 0,
      left: 1,
      ...more,
    })
  }

  /** The next message that was not taken yet. */
  async next(): Promise<Message> {
    while (this.heard.length === this.#taken) {
      if (this.closeCode !== undefined) throw new Error(`closed with ${this.closeCode}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.heard[this.#taken++]!
  }

  async closed(): Promise<number> {
    while (this.closeCode === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.closeCode
  }
}

export const peerId = (n: number): string => `-WW0100-${String(n).padStart(12, '0')}`

export function offers(count: number): { offer: object; offer_id: string }[] {
  return Array.from({ length: count }, (_, n) => ({
    offer: { type: 'offer', sdp: `v=0\r\no=- ${n} "é\u{1f600}\\"\r\n` },
    offer_id: `${String.fromCharCode(200 + n)}\0"${'x'.repeat(17)}`,
  }))
}
