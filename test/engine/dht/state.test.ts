/** What a DHT kept from its last run, in a file that others may have changed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../src/base/index.ts'
import { encode } from '../../../src/bencode/index.ts'
import { parseState } from '../../../src/engine/dht/dht.ts'
import { mutate } from '../../mutate.ts'

const STATE = encode({
  id: new Uint8Array(20).fill(7),
  nodes: new Uint8Array(26 * 3).fill(9),
  nodes6: new Uint8Array(38 * 2).fill(0x20),
})

test('a state is an id and contacts, whatever was changed in it, or none', () => {
  const random = seededRandom(18)
  const whole = parseState(STATE)
  assert.deepEqual([whole?.contacts[4].length, whole?.contacts[6].length], [3, 2])
  assert.equal(parseState(undefined), undefined)
  let understood = 0
  for (let round = 0; round < 5000; round++) {
    const state = parseState(mutate(STATE, random, 4096))
    if (state === undefined) continue
    understood++
    assert.equal(state.id.length, 20)
    for (const { port } of [...state.contacts[4], ...state.contacts[6]]) assert.ok(port > 0)
  }
  assert.ok(understood > 100, `${understood} were still a state`)
})

test('no more contacts are taken from a state than a table can use', () => {
  const nodes = new Uint8Array(26 * 20_000).fill(9)
  const state = parseState(encode({ id: new Uint8Array(20), nodes }))
  assert.ok(state !== undefined && state.contacts[4].length < 2000)
})
