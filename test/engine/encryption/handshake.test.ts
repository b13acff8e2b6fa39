/** Message stream encryption: the cipher, the exchange, and both sides of the handshake against each other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bytesEqual, fromLatin1, seededRandom, toHex } from '../../../src/base/index.ts'
import {
  type Encryption,
  type EncryptionHandshake,
  Initiator,
  Responder,
} from '../../../src/engine/encryption/handshake.ts'
import { KEY_BYTES, makeKeyPair, torrentMark } from '../../../src/engine/encryption/key-exchange.ts'
import {
  CRYPTO_PLAINTEXT,
  CRYPTO_RC4,
  type EncryptionPolicy,
  encryptsNext,
  selected,
} from '../../../src/engine/encryption/policy.ts'
import { Rc4 } from '../../../src/engine/encryption/rc4.ts'

const INFO_HASH = new Uint8Array(20).fill(7)

test('the stream is that of RC4 from its 1,025th byte on', () => {
  // RFC 6229, key 0x0102030405, offset 1024.
  const stream = new Uint8Array(16)
  new Rc4(Uint8Array.of(1, 2, 3, 4, 5)).apply(new Uint8Array(16), stream)
  assert.equal(toHex(stream), '30abbcc7c20b01609f23ee2d5f6bb7df')
})

test('what was encrypted in some slices is decrypted in others', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(300), (bytes, a, b) => {
      const sealed = new Uint8Array(bytes.length)
      const opened = new Uint8Array(bytes.length)
      for (const [cut, from, to] of [
        [a, bytes, sealed],
        [b, sealed, opened],
      ] as const) {
        const cipher = new Rc4(Uint8Array.of(9, 9))
        cipher.apply(from.subarray(0, cut), to.subarray(0, cut))
        cipher.apply(from.subarray(cut), to.subarray(cut))
      }
      assert.ok(bytesEqual(opened, bytes))
      assert.ok(bytes.length < 8 || !bytesEqual(sealed, bytes))
    }),
  )
})

test('both sides of an exchange find the same secret; what is no key gives none', () => {
  const [ours, theirs] = [makeKeyPair(seededRandom(1)), makeKeyPair(seededRandom(2))]
  assert.equal(ours.publicKey.length, KEY_BYTES)
  assert.ok(bytesEqual(ours.secret(theirs.publicKey)!, theirs.secret(ours.publicKey)!))
  assert.ok(!bytesEqual(ours.publicKey, theirs.publicKey))
  assert.equal(ours.secret(new Uint8Array(KEY_BYTES)), null)
  const one = new Uint8Array(KEY_BYTES)
  one[KEY_BYTES - 1] = 1
  assert.equal(ours.secret(one), null)
})

/** Runs both sides, what each says cut into slices of `cuts` bytes by turns, with what follows sent at once. */
function shake(
  seed: number,
  asks: EncryptionPolicy,
  answers: EncryptionPolicy,
  cuts: readonly number[],
  served: Uint8Array = INFO_HASH,
): readonly [Encryption, Encryption] {
  const wires: [Uint8Array[], Uint8Array[]] = [[], []]
  const ends: [Encryption | undefined, Encryption | undefined] = [undefined, undefined]
  const mark = toHex(torrentMark(served))
  const sides: [EncryptionHandshake, EncryptionHandshake] = [
    new Initiator(INFO_HASH, asks, seededRandom(seed), (bytes) => wires[1].push(bytes)),
    new Responder(
      answers,
      seededRandom(seed + 1),
      (found) => (toHex(found) === mark ? served : undefined),
      (bytes) => wires[0].push(bytes),
    ),
  ]
  let turn = 0
  while (ends[0] === undefined || ends[1] === undefined) {
    const to = wires[0].length > 0 && ends[0] === undefined ? 0 : 1
    const bytes = wires[to].shift()
    assert.ok(bytes !== undefined && ends[to] === undefined, 'both sides wait')
    const cut = Math.min(bytes.length, cuts[turn++ % cuts.length]!)
    if (cut < bytes.length) wires[to].unshift(bytes.slice(cut))
    ends[to] = sides[to].push(bytes.slice(0, cut))
  }
  return [ends[0], ends[1]]
}

const method = ({ encrypt }: Encryption): string => (encrypt === null ? 'plaintext' : 'rc4')

test('who offers what decides the method, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.nat(1e6),
      fc.constantFrom<EncryptionPolicy>('offered', 'preferred', 'required'),
      fc.constantFrom<EncryptionPolicy>('offered', 'preferred', 'required'),
      fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 }),
      (seed, asks, answers, cuts) => {
        const [ours, theirs] = shake(seed, asks, answers, cuts)
        const wanted = asks === 'required' || answers !== 'offered' ? 'rc4' : 'plaintext'
        assert.equal(method(ours), wanted)
        assert.equal(method(theirs), wanted)
        assert.ok(bytesEqual(theirs.infoHash, INFO_HASH))
        if (wanted === 'plaintext') return
        for (const [from, to] of [
          [ours, theirs],
          [theirs, ours],
        ] as const) {
          const bytes = fromLatin1('and so they spoke')
          const sealed = new Uint8Array(bytes.length)
          from.encrypt!.apply(bytes, sealed)
          assert.ok(!bytesEqual(sealed, bytes))
          to.decrypt!.apply(sealed, sealed)
          assert.ok(bytesEqual(sealed, bytes))
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('what follows the handshake in the same read is given on, decrypted', () => {
  for (const policy of ['offered', 'required'] as const) {
    const toThem: Uint8Array[] = []
    const toUs: Uint8Array[] = []
    const us = new Initiator(INFO_HASH, policy, seededRandom(3), (bytes) => toThem.push(bytes))
    const them = new Responder(
      policy,
      seededRandom(4),
      () => INFO_HASH,
      (b) => toUs.push(b),
    )
    assert.equal(them.push(toThem.shift()!), undefined)
    assert.equal(us.push(toUs.shift()!), undefined)
    const theirs = them.push(toThem.shift()!)!
    const said = fromLatin1('first words')
    const sent = Uint8Array.from(said)
    theirs.encrypt?.apply(sent, sent)
    const reply = toUs.shift()!
    const whole = new Uint8Array(reply.length + sent.length)
    whole.set(reply)
    whole.set(sent, reply.length)
    assert.ok(bytesEqual(us.push(whole)!.first, said), policy)
  }
})

test('who asks for a torrent that is not there is refused', () => {
  assert.throws(() => shake(5, 'offered', 'offered', [1000], new Uint8Array(20).fill(8)), {
    code: 'ENGINE_PROTOCOL',
  })
})

test('of what is offered the best is chosen, and nothing when nothing will do', () => {
  const offers = [0, CRYPTO_PLAINTEXT, CRYPTO_RC4, CRYPTO_PLAINTEXT | CRYPTO_RC4, 4]
  const chosen = (policy: EncryptionPolicy) => offers.map((offer) => selected(policy, offer))
  assert.deepEqual(chosen('offered'), [0, 1, 2, 1, 0])
  assert.deepEqual(chosen('preferred'), [0, 1, 2, 2, 0])
  assert.deepEqual(chosen('required'), [0, 0, 2, 2, 0])
})

test('an address that did not understand is tried the other way, unless that is ruled out', () => {
  const tries = (policy: EncryptionPolicy) =>
    [
      undefined,
      { encrypted: false, reached: true, understood: false },
      { encrypted: true, reached: true, understood: false },
      { encrypted: false, reached: true, understood: true },
      { encrypted: true, reached: true, understood: true },
      // Where nobody was nobody can say which way is the wrong one.
      { encrypted: false, reached: false, understood: false },
      { encrypted: true, reached: false, understood: false },
    ].map((last) => encryptsNext(policy, last))
  assert.deepEqual(tries('off'), [false, false, false, false, false, false, false])
  assert.deepEqual(tries('offered'), [false, true, false, false, true, false, true])
  assert.deepEqual(tries('preferred'), [true, true, false, false, true, false, true])
  assert.deepEqual(tries('required'), [true, true, true, true, true, true, true])
})

test('whatever is sent instead of a handshake ends in an error or in waiting for a bounded while', () => {
  fc.assert(
    fc.property(
      fc.nat(1e6),
      fc.boolean(),
      fc.uint8Array({ maxLength: 200 }),
      (seed, starts, head) => {
        const random = seededRandom(seed)
        const ignore = (): void => {}
        const side = starts
          ? new Initiator(INFO_HASH, 'offered', random, ignore)
          : new Responder('offered', random, () => INFO_HASH, ignore)
        const noise = new Uint8Array(1400)
        random.fill(noise)
        noise.set(head)
        assert.throws(
          () => {
            for (let at = 0; at < noise.length; at += 100) {
              assert.equal(side.push(noise.slice(at, at + 100)), undefined)
            }
          },
          { code: 'ENGINE_PROTOCOL' },
        )
      },
    ),
    { numRuns: 100 },
  )
})
