/** The swarms of live peers against a naive model, and who is drawn. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../../src/base/index.ts'
import { type Member, type Participant, Swarms } from '../../../src/tracker/websocket/swarms.ts'

test('members are those of a map, in their lists at their places', () => {
  const command = fc.record({
    kind: fc.constantFrom(...Array<'join'>(12).fill('join'), 'leave', 'turn', 'end', 'draw'),
    hash: fc.nat(1).map(String),
    peer: fc.nat(60).map(String),
    connection: fc.nat(4),
    flag: fc.boolean(),
  })
  let largest = 0
  fc.assert(
    fc.property(fc.array(command, { maxLength: 400, size: 'max' }), (commands) => {
      const swarms = new Swarms(seededRandom(1))
      const connections: Participant[] = Array.from({ length: 5 }, () => ({ members: [] }))
      const model = new Map<string, { connection: number; isSeeder: boolean }>()
      for (const { kind, hash, peer, connection, flag } of commands) {
        const key = `${hash} ${peer}`
        const member = swarms.get(hash)?.find(peer)
        assert.equal(member?.isSeeder, model.get(key)?.isSeeder)
        largest = Math.max(largest, swarms.get(hash)?.size ?? 0)
        if (kind === 'join' && member === undefined) {
          swarms.join(hash, peer, connections[connection]!, flag)
          model.set(key, { connection, isSeeder: flag })
        } else if (kind === 'leave' && member !== undefined) {
          swarms.leave(member)
          model.delete(key)
        } else if (kind === 'turn' && member !== undefined) {
          swarms.setRole(member, flag)
          model.get(key)!.isSeeder = flag
        } else if (kind === 'end') {
          const { members } = connections[connection]!
          while (members.length > 0) swarms.leave(members.at(-1)!)
          for (const [one, value] of model) if (value.connection === connection) model.delete(one)
        } else if (kind === 'draw' && member !== undefined) {
          const target: Member[] = []
          const count = swarms.draw(member, flag, 7, target)
          const others = [...model].filter(
            ([one, { isSeeder }]) =>
              one !== key && one.startsWith(`${hash} `) && !(flag && isSeeder),
          )
          assert.equal(count, Math.min(7, others.length))
          const drawn = target.slice(0, count).map((one) => one.peerId)
          assert.equal(new Set(drawn).size, count)
          for (const one of drawn) assert.ok(others.some(([other]) => other === `${hash} ${one}`))
        }
        const values = [...model.values()]
        assert.equal(swarms.seeders, values.filter(({ isSeeder }) => isSeeder).length)
        assert.equal(swarms.peers, values.length)
        assert.equal(swarms.size, new Set([...model.keys()].map((one) => one.split(' ')[0])).size)
        for (const { members } of connections) {
          for (const [slot, one] of members.entries()) {
            assert.equal(one.slot, slot)
            const list = one.isSeeder ? one.swarm.seeders : one.swarm.leechers
            assert.equal(list[one.place], one)
          }
        }
      }
    }),
    { seed: 1, numRuns: 200 },
  )
  assert.ok(largest > 34, `${largest}: swarms with an index were among them`)
})

test('all others are equally likely, seeders and leechers alike', () => {
  const swarms = new Swarms(seededRandom(7))
  const own = swarms.join('h', 'own', { members: [] }, false)
  for (let n = 0; n < 10; n++) swarms.join('h', String(n), { members: [] }, n < 3)
  const counts = new Map<string, number>()
  const target: Member[] = []
  const rounds = 20_000
  for (let round = 0; round < rounds; round++) {
    for (const { peerId } of target.slice(0, swarms.draw(own, false, 3, target))) {
      counts.set(peerId, (counts.get(peerId) ?? 0) + 1)
    }
  }
  assert.equal(counts.size, 10)
  for (const count of counts.values()) assert.ok(Math.abs(count / rounds - 0.3) < 0.02)
})
