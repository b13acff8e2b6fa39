/** The messages of PCP and NAT-PMP, byte by byte as the RFCs draw them, the clock of a gateway, and whatever else arrives. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../src/base/index.ts'
import { Epoch } from '../../../src/engine/gateway/epoch.ts'
import {
  encodeNatPmpAsk,
  encodeNatPmpMap,
  natPmpResultName,
  parseNatPmp,
} from '../../../src/engine/gateway/nat-pmp.ts'
import { encodePcpMap, parsePcp, pcpResultName } from '../../../src/engine/gateway/pcp.ts'
import { TransportNumber } from '../../../src/engine/gateway/types.ts'

const NONCE = fromHex('0102030405060708090a0b0c')!
const { tcp, udp } = TransportNumber

/** Of words in hexadecimal. */
const bytesOf = (text: string): Uint8Array => fromHex(text.replace(/\s+/g, ''))!

test('a MAP request of PCP is these 60 bytes', () => {
  const request = {
    lifetimeS: 3600,
    client: '192.168.1.10',
    nonce: NONCE,
    transport: tcp,
    innerPort: 6881,
    outerPort: 6882,
  }
  assert.deepEqual(
    encodePcpMap(request),
    bytesOf(`02010000 00000e10 00000000 00000000 0000ffff c0a8010a
      01020304 05060708 090a0b0c 06000000 1ae11ae2 00000000 00000000 0000ffff 00000000`),
  )
  const pinhole = { ...request, client: '2001:db8::1', transport: udp, lifetimeS: 0 }
  assert.deepEqual(
    encodePcpMap(pinhole),
    bytesOf(`02010000 00000000 20010db8 00000000 00000000 00000001
      01020304 05060708 090a0b0c 11000000 1ae11ae2 00000000 00000000 00000000 00000000`),
  )
})

const MAPPED = `02810000 00000708 000003e8 00000000 00000000 00000000
  01020304 05060708 090a0b0c 06000000 1ae1c350 00000000 00000000 0000ffff cb007107`

test('an answer of PCP is read: success, an error, options behind it, another address family', () => {
  const mapping = {
    nonce: NONCE,
    transport: 6,
    innerPort: 6881,
    outerPort: 50_000,
    outerAddress: '203.0.113.7',
  }
  const answer = { kind: 'answer', result: 0, lifetimeS: 1800, epochS: 1000, mapping }
  assert.deepEqual(parsePcp(bytesOf(MAPPED)), answer)
  assert.deepEqual(parsePcp(bytesOf(`${MAPPED} 01000004 00000000`)), answer)
  const refused = parsePcp(bytesOf(MAPPED.replace('02810000', '02810002')))
  assert.deepEqual(refused, { ...answer, result: 2 })
  const v6 = parsePcp(
    bytesOf(
      MAPPED.replace(/00000000 00000000 0000ffff cb007107$/, '20010db8 00000000 00000000 00000001'),
    ),
  )
  assert.equal(v6?.kind === 'answer' && v6.mapping?.outerAddress, '2001:db8::1')
  // ANNOUNCE, said to all.
  assert.deepEqual(parsePcp(bytesOf('02800000 00000000 0000002a 00000000 00000000 00000000')), {
    kind: 'answer',
    result: 0,
    lifetimeS: 0,
    epochS: 42,
    mapping: undefined,
  })
})

test('what speaks another version than PCP is known by its answer', () => {
  // NAT-PMP, section 3.5: version 0, result 1.
  assert.deepEqual(parsePcp(bytesOf('00810001 00000010')), { kind: 'version', version: 0 })
  assert.deepEqual(parsePcp(bytesOf(`01810001 00000000 00000010 ${'00'.repeat(12)}`)), {
    kind: 'version',
    version: 1,
  })
})

test('what is no answer of PCP is none', () => {
  const good = bytesOf(MAPPED)
  for (const [what, wrong] of Object.entries({
    nothing: bytesOf(''),
    request: bytesOf(MAPPED.replace('0281', '0201')),
    'of another opcode': bytesOf(MAPPED.replace('0281', '0282')),
    'cut short': good.subarray(0, 56),
    'of no whole words': good.subarray(0, 59),
    'too long': new Uint8Array(1104).map((_, i) => good[i] ?? 0),
    'success in version 0': bytesOf('00800000 00000010 cb007107'),
  })) {
    assert.equal(parsePcp(wrong), null, what)
  }
})

test('the questions of NAT-PMP are these bytes', () => {
  assert.deepEqual(encodeNatPmpAsk(), bytesOf('0000'))
  const request = { transport: tcp, innerPort: 6881, outerPort: 6882, lifetimeS: 3600 }
  assert.deepEqual(encodeNatPmpMap(request), bytesOf('00020000 1ae11ae2 00000e10'))
  assert.deepEqual(
    encodeNatPmpMap({ ...request, transport: udp, outerPort: 0, lifetimeS: 0 }),
    bytesOf('00010000 1ae10000 00000000'),
  )
})

test('an answer of NAT-PMP is read: the address, a mapping, an error', () => {
  const none = { address: undefined, mapping: undefined }
  assert.deepEqual(parseNatPmp(bytesOf('00800000 000003e8 cb007107')), {
    ...none,
    opcode: 0,
    result: 0,
    epochS: 1000,
    address: '203.0.113.7',
  })
  assert.deepEqual(parseNatPmp(bytesOf('00820000 000003e8 1ae1c350 00000708')), {
    ...none,
    opcode: 2,
    result: 0,
    epochS: 1000,
    mapping: { innerPort: 6881, outerPort: 50_000, lifetimeS: 1800 },
  })
  const refused = { ...none, opcode: 1, result: 2, epochS: 1000 }
  assert.deepEqual(parseNatPmp(bytesOf('00810002 000003e8')), refused)
  assert.deepEqual(parseNatPmp(bytesOf('00810002 000003e8 1ae10000 00000000')), refused)
})

test('what is no answer of NAT-PMP is none', () => {
  for (const wrong of [
    '',
    '00',
    '00000000 000003e8',
    '00830000 000003e8 1ae1c350 00000708',
    '02820000 000003e8 1ae1c350 00000708',
    '00800000 000003e8',
    '00820000 000003e8 1ae1c350',
    '00820000 000003e8 1ae1c350 00000708 00',
  ]) {
    assert.equal(parseNatPmp(bytesOf(wrong)), null, wrong)
  }
})

test('results have the names of the RFCs, those of the future a number', () => {
  assert.equal(pcpResultName(2), 'NOT_AUTHORIZED')
  assert.equal(pcpResultName(13), 'EXCESSIVE_REMOTE_PEERS')
  assert.equal(pcpResultName(200), 'PCP result 200')
  assert.equal(natPmpResultName(4), 'out of resources')
  assert.equal(natPmpResultName(77), 'NAT-PMP result 77')
})

test('any datagram is an answer of a gateway or none', () => {
  const goods = [MAPPED, '00820000 000003e8 1ae1c350 00000708', '00800000 000003e8 cb007107'].map(
    bytesOf,
  )
  const mutated = fc
    .tuple(fc.constantFrom(...goods), fc.nat(70), fc.nat(12), fc.uint8Array({ maxLength: 12 }))
    .map(([good, at, cut, put]) =>
      Uint8Array.from([...good.subarray(0, at), ...put, ...good.subarray(at + cut)]),
    )
  const flipped = fc
    .tuple(fc.constantFrom(...goods), fc.array(fc.tuple(fc.nat(59), fc.nat(255)), { maxLength: 3 }))
    .map(([good, changes]) => {
      const bytes = Uint8Array.from(good)
      for (const [at, to] of changes) if (at < bytes.length) bytes[at] = to
      return bytes
    })
  const seen = { pcp: 0, natPmp: 0 }
  fc.assert(
    fc.property(fc.oneof(mutated, flipped, fc.uint8Array({ maxLength: 1_200 })), (bytes) => {
      const before = toHex(bytes)
      const pcp = parsePcp(bytes)
      if (pcp?.kind === 'answer') {
        seen.pcp++
        assert.ok(pcp.result <= 255 && pcp.epochS < 2 ** 32 && pcp.lifetimeS < 2 ** 32)
        if (pcp.mapping !== undefined) {
          assert.equal(pcp.mapping.nonce.length, 12)
          assert.ok(pcp.mapping.outerPort <= 65_535 && pcp.mapping.innerPort <= 65_535)
        }
      }
      const natPmp = parseNatPmp(bytes)
      if (natPmp !== null) {
        seen.natPmp++
        assert.ok(natPmp.opcode <= 2 && natPmp.epochS < 2 ** 32)
        assert.equal(natPmp.result === 0, (natPmp.address ?? natPmp.mapping) !== undefined)
        assert.ok(pcp?.kind !== 'answer', 'one datagram is not of both')
      }
      assert.equal(toHex(bytes), before)
    }),
    { numRuns: 3_000 },
  )
  assert.ok(seen.pcp > 50 && seen.natPmp > 50, JSON.stringify(seen))
})

test('a gateway whose clock goes on kept what it had, any other has begun anew', () => {
  // Seconds of ours and of theirs since it was heard first, at 1000 on its clock.
  for (const [protocol, ours, theirs, fits] of [
    ['pcp', 0, 0, true],
    ['pcp', 0, -1, true],
    ['pcp', 0, -2, false],
    ['pcp', 1800, 1800, true],
    ['pcp', 1800, 1700, true],
    ['pcp', 1800, 1600, false],
    // Ours stood still: the machine slept.
    ['pcp', 1800, 2000, false],
    ['pcp', 1800, -1000, false],
    ['nat-pmp', 1800, 1800, true],
    ['nat-pmp', 1800, 1600, true],
    ['nat-pmp', 1800, 1500, false],
    ['nat-pmp', 1800, 9000, true],
    ['nat-pmp', 1800, -990, false],
    ['nat-pmp', 0, -2, true],
    ['nat-pmp', 0, -3, false],
  ] as const) {
    const epoch = new Epoch()
    assert.ok(epoch.fits(protocol, 77, 0), 'nothing is known yet')
    epoch.heard(1000, 5_000)
    const said = `${protocol} ${ours} ${theirs}`
    assert.equal(epoch.fits(protocol, 1000 + theirs, 5_000 + ours * 1000), fits, said)
  }
})
