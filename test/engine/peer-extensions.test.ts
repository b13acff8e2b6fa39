/** The extension protocol with one peer: nothing is sent that it does not take. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromLatin1, toLatin1 } from '../../src/base/index.ts'
import {
  type Extension,
  type ExtensionsTorrent,
  OUR_IDS,
  PeerExtensions,
} from '../../src/engine/peer-extensions.ts'
import {
  EXTENDED_HANDSHAKE_ID,
  type ExtendedHandshake,
  encodeExtendedHandshake,
  parseExtendedHandshake,
} from '../../src/engine/wire/extended.ts'
import { EXTENDED_HEADER_BYTES } from '../../src/engine/wire/messages.ts'
import { SentByWriter } from './sent-by-writer.ts'

const ALL = Object.keys(OUR_IDS) as Extension[]
const OPEN: ExtensionsTorrent = {
  portTowards: () => 6881,
  prefersEncryption: false,
  infoBytes: new Uint8Array(77),
  uploadOnly: false,
  isPrivate: false,
  speaksUtp: true,
}

function scene(torrent: Partial<ExtensionsTorrent> = {}) {
  const wire = new SentByWriter()
  const extensions = new PeerExtensions({ ...OPEN, ...torrent }, wire.writer, '10.0.0.9')
  /** The one message sent: its id and its payload. */
  const sent = (): [id: number, payload: Uint8Array] | undefined => {
    const bytes = wire.take()
    if (bytes.length === 0) return undefined
    assert.equal(Buffer.from(bytes).readUInt32BE(0), bytes.length - 4)
    assert.equal(bytes[4], 20)
    return [bytes[5]!, bytes.subarray(EXTENDED_HEADER_BYTES)]
  }
  const ours = (): ExtendedHandshake => {
    extensions.sendHandshake()
    const [id, payload] = sent()!
    assert.equal(id, EXTENDED_HANDSHAKE_ID)
    return parseExtendedHandshake(payload)
  }
  const hear = (...messages: readonly [string, number][]): void => {
    extensions.onHandshake(encodeExtendedHandshake({ messages: new Map(messages) }))
  }
  return { extensions, sent, ours, hear }
}

for (const [what, torrent, expected] of [
  ['a torrent over TCP and uTP', {}, ['lt_donthave', 'ut_holepunch', 'ut_metadata', 'ut_pex']],
  ['a torrent over TCP alone', { speaksUtp: false }, ['lt_donthave', 'ut_metadata', 'ut_pex']],
  ['a private torrent', { isPrivate: true }, ['lt_donthave', 'ut_metadata']],
] as const) {
  test(`${what} offers ${expected.join(', ')}`, () => {
    const { messages } = scene(torrent).ours()
    assert.deepEqual([...messages.keys()].sort(), expected)
    for (const [name, id] of messages) assert.equal(id, OUR_IDS[name as Extension])
  })
}

test('our handshake says what the torrent is at that moment', () => {
  const { infoBytes, ...rest } = OPEN
  const torrent = { ...rest, infoBytes: undefined as Uint8Array | undefined, uploadOnly: false }
  const wire = new SentByWriter()
  const extensions = new PeerExtensions(torrent, wire.writer, '10.0.0.9')
  const said = (): ExtendedHandshake => {
    extensions.sendHandshake()
    return parseExtendedHandshake(wire.take().subarray(EXTENDED_HEADER_BYTES))
  }
  const before = said()
  assert.deepEqual([before.metadataBytes, before.uploadOnly], [undefined, false])
  assert.deepEqual([before.port, before.yourAddress], [6881, '10.0.0.9'])
  torrent.infoBytes = infoBytes
  torrent.uploadOnly = true
  const after = said()
  assert.deepEqual([after.metadataBytes, after.uploadOnly], [77, true])
})

test('nothing is sent that the last handshake has no number for', () => {
  const numbers = fc.uniqueArray(
    fc.tuple(fc.constantFrom(...ALL), fc.integer({ min: 0, max: 255 })),
    { selector: ([name]) => name },
  )
  fc.assert(
    fc.property(fc.array(numbers, { maxLength: 4 }), (handshakes) => {
      const { extensions, sent, hear } = scene()
      for (const numbersOf of [[], ...handshakes]) {
        if (extensions.theirs !== undefined || numbersOf.length > 0) hear(...numbersOf)
        const theirs = new Map(numbersOf)
        for (const name of ALL) {
          const id = theirs.get(name) ?? 0
          assert.equal(extensions.takes(name), id > 0)
          extensions.send(name, fromLatin1(name))
          const message = sent()
          assert.equal(message?.[0], id > 0 ? id : undefined)
          if (message !== undefined) assert.equal(toLatin1(message[1]), name)
        }
      }
    }),
    { seed: 1, numRuns: 200 },
  )
})

test('metadata is claimed by who takes requests for it, until it takes that back', () => {
  const { extensions } = scene()
  const say = (id: number, metadataBytes?: number): void => {
    const messages = new Map([['ut_metadata', id]])
    extensions.onHandshake(encodeExtendedHandshake({ messages, metadataBytes }))
  }
  assert.equal(extensions.metadataBytes, undefined)
  say(3, 500)
  assert.equal(extensions.metadataBytes, 500)
  say(3)
  assert.equal(extensions.metadataBytes, undefined)
  say(0, 500)
  assert.equal(extensions.metadataBytes, undefined)
})

test('a handshake that cannot be read changes nothing', () => {
  const { extensions, hear } = scene()
  hear(['ut_pex', 9])
  const before = extensions.theirs
  assert.throws(() => extensions.onHandshake(new Uint8Array(5)), { code: 'ENGINE_PROTOCOL' })
  assert.equal(extensions.theirs, before)
})
