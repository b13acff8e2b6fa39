/** What hooks read from files and other hosts, changed at random: a list, or an error that says where. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ManualClock, SeedbedError, seededRandom } from '../../../src/base/index.ts'
import { AnnounceRequest } from '../../../src/tracker/announce-request.ts'
import { loadInfoHashFile } from '../../../src/tracker/hooks/info-hash-file.ts'
import { parseKeySet } from '../../../src/tracker/hooks/jwk-set.ts'
import { JwtVerifier } from '../../../src/tracker/hooks/jwt-verifier.ts'
import { parsePasskeys } from '../../../src/tracker/hooks/passkey.ts'
import { mutate } from '../../mutate.ts'

test('a list of keys is a list, or an error with its line', () => {
  const random = seededRandom(21)
  const good = Buffer.from('# keys\nabcdefgh alice\n\n0123456789abcdef\r\nqwertyuiop bob\n')
  let lists = 0
  for (let round = 0; round < 3000; round++) {
    try {
      for (const [key, owner] of parsePasskeys(mutate(good, random, 500).toString(), 'keys')) {
        assert.ok(key.length >= 8 && owner.length > 0)
      }
      lists++
    } catch (error) {
      assert.ok(error instanceof SeedbedError && error.code === 'TRACKER_LIST', String(error))
      assert.match(error.message, /^keys:\d+: /)
    }
  }
  assert.ok(lists > 100)
})

test('a file of info-hashes is a set, or an error with its line', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'seedbed-lists-'))
  const path = join(folder, 'list')
  const random = seededRandom(22)
  const good = Buffer.from(`# torrents\n${'ab'.repeat(20)}\n\r\n${'CD'.repeat(20)}\n`)
  let lists = 0
  try {
    for (let round = 0; round < 200; round++) {
      await writeFile(path, mutate(good, random, 500))
      try {
        await loadInfoHashFile(path)
        lists++
      } catch (error) {
        assert.ok(error instanceof SeedbedError && error.code === 'TRACKER_LIST', String(error))
        assert.match(error.message, /list:\d+: /)
      }
    }
  } finally {
    await rm(folder, { recursive: true })
  }
  assert.ok(lists > 5, `${lists} lists`)
})

test('a set of signing keys is one, or an error; a token made of anything lets nobody in', () => {
  const random = seededRandom(23)
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = { ...publicKey.export({ format: 'jwk' }), kid: 'k' }
  const good = Buffer.from(JSON.stringify({ keys: [{ kid: 'x', kty: 'oct' }, null, key] }))
  let sets = 0
  for (let round = 0; round < 1500; round++) {
    let set: ReadonlyMap<string, unknown> | undefined
    try {
      set = parseKeySet(mutate(good, random, 2000).toString())
    } catch (error) {
      // It is told with the code TRACKER_JWK_SET, and later on as a warning.
      assert.ok(error instanceof Error && !(error instanceof RangeError), String(error))
    }
    if (set === undefined) continue
    assert.ok(set.size > 0)
    sets++
  }
  assert.ok(sets > 20, `${sets} sets`)

  const keys = parseKeySet(good.toString())
  const claims = { issuer: 'me', audience: 'them' }
  const verifier = new JwtVerifier(claims, keys, new ManualClock(1_800_000_000_000))
  const text = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const request = new AnnounceRequest()
  const body = { iss: 'me', aud: 'them', infohash: '00'.repeat(20) }
  const token = `${text({ alg: 'ES256', kid: 'k' })}.${text(body)}.${'A'.repeat(86)}`
  for (let round = 0; round < 5000; round++) {
    // The text of the parameter, and the JSON inside.
    const inside = mutate(Buffer.from(JSON.stringify(body)), random, 500).toString('base64url')
    const jwt = round % 2 === 0 ? mutate(Buffer.from(token), random, 9000).toString('latin1') : ''
    const query = `jwt=${jwt || `${text({ alg: 'ES256', kid: 'k' })}.${inside}.${'A'.repeat(86)}`}`
    request.parameters = Buffer.from(query, 'latin1')
    request.parametersStart = 0
    request.parametersEnd = request.parameters.length
    assert.notEqual(verifier.approve(request), null)
  }
})
