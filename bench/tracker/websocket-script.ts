/** What a client of WebTorrent says, as frames that were made and masked before. */

export const ID_BYTES = 20

const MASK = Buffer.of(0x5a, 0x17, 0xc3, 0x88)
/** Of a client's frame with 126 bytes and more. */
const HEAD_BYTES = 8
const PLACE = 'PLACE-OF-A-LATER-ID_'
export const OPCODE_CLOSE = 8
/** A close without a reason, as a browser's socket sends it. */
export const CLOSE: Buffer = Buffer.concat([Buffer.of(0x80 | OPCODE_CLOSE, 0x80), MASK])

/** What a browser offers for a data channel, with three candidates. */
const SDP: string = [
  'v=0',
  'o=- 4611731400430051336 2 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0',
  'a=extmap-allow-mixed',
  'a=msid-semantic: WMS',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'c=IN IP4 0.0.0.0',
  ...['host', 'srflx raddr 0.0.0.0 rport 0', 'host'].map(
    (type, n) =>
      `a=candidate:${1467250027 + n} 1 udp 2122260223 192.0.2.${n + 1} 5${n}462 typ ${type} generation 0 network-id ${n + 1} network-cost 10`,
  ),
  'a=ice-ufrag:Wg3t',
  'a=ice-pwd:Y2PpRmbKfoLkWY3ezk9sXjzr',
  'a=ice-options:trickle',
  `a=fingerprint:sha-256 ${Array.from({ length: 32 }, (_, n) => (n * 7 + 16).toString(16).toUpperCase()).join(':')}`,
  'a=setup:actpass',
  'a=mid:0',
  'a=sctp-port:5000',
  'a=max-message-size:262144',
  '',
].join('\r\n')

function mask(payload: Buffer, from = 0): Buffer {
  for (let i = 0; i < payload.length; i++) payload[i]! ^= MASK[(from + i) & 3]!
  return payload
}

/** A masked frame of a text. */
function frameOf(text: string): Buffer {
  const payload = Buffer.from(text)
  const head =
    payload.length < 126
      ? Buffer.of(0x81, 0x80 | payload.length)
      : Buffer.of(0x81, 0xfe, payload.length >>> 8, payload.length & 255)
  return Buffer.concat([head, MASK, mask(payload)])
}

/** Of one peer in one swarm. */
export class Script {
  /** With offers. */
  readonly announce: Buffer
  readonly started: Buffer
  /** Without. */
  readonly completed: Buffer
  readonly stopped: Buffer
  readonly scrape: Buffer
  readonly #answer: Buffer
  readonly #toPeerAt: number
  readonly #offerAt: number

  /** `number` names the peer; each fourth is a seeder. */
  constructor(infoHash: string, number: number, offerCount: number) {
    const peerId = `-LD0001-${String(number).padStart(12, '0')}`
    const offers = Array.from({ length: offerCount }, (_, n) => ({
      offer: { type: 'offer', sdp: SDP },
      offer_id: `${number}-${n}`.padEnd(ID_BYTES, 'o'),
    }))
    const common = { action: 'announce', info_hash: infoHash, peer_id: peerId }
    const counts = { uploaded: 0, downloaded: 0, left: number % 4 === 0 ? 0 : 1_000_000 }
    const asking = { numwant: offerCount, ...counts, offers, ...common }
    this.announce = frameOf(JSON.stringify(asking))
    this.started = frameOf(JSON.stringify({ event: 'started', ...asking }))
    const told = { numwant: 50, ...counts, ...common }
    this.completed = frameOf(JSON.stringify({ event: 'completed', ...told, left: 0 }))
    this.stopped = frameOf(JSON.stringify({ event: 'stopped', ...told }))
    this.scrape = frameOf(JSON.stringify({ action: 'scrape', info_hash: infoHash }))
    const answer = JSON.stringify({
      ...common,
      to_peer_id: PLACE,
      answer: { type: 'answer', sdp: SDP.replace('actpass', 'active') },
      offer_id: PLACE,
    })
    this.#answer = frameOf(answer)
    this.#toPeerAt = HEAD_BYTES + Buffer.byteLength(answer.slice(0, answer.indexOf(PLACE)))
    this.#offerAt = HEAD_BYTES + Buffer.byteLength(answer.slice(0, answer.lastIndexOf(PLACE)))
  }

  answerTo(peerId: string, offerId: string): Buffer {
    const out = Buffer.from(this.#answer)
    out.write(peerId, this.#toPeerAt, 'latin1')
    out.write(offerId, this.#offerAt, 'latin1')
    for (const at of [this.#toPeerAt, this.#offerAt]) {
      mask(out.subarray(at, at + ID_BYTES), at - HEAD_BYTES)
    }
    return out
  }
}
