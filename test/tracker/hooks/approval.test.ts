/** Approval by client and by torrent, and intervals that vary: what is let through, and with which words the rest is refused. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom, silentLogger, toHex } from '../../../src/base/index.ts'
import { AnnounceAnswer, AnnounceRequest } from '../../../src/tracker/announce.ts'
import { failures } from '../../../src/tracker/failures.ts'
import { ClientApproval } from '../../../src/tracker/hooks/client-approval.ts'
import { HookList } from '../../../src/tracker/hooks/hook.ts'
import { loadInfoHashFile, turn } from '../../../src/tracker/hooks/info-hash-file.ts'
import { InfoHashSet } from '../../../src/tracker/hooks/info-hash-set.ts'
import { IntervalVariation } from '../../../src/tracker/hooks/interval-variation.ts'
import { TorrentApproval } from '../../../src/tracker/hooks/torrent-approval.ts'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'seedbed-hooks-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

const randomHashes = (count: number, seed: number): Uint8Array => {
  const hashes = new Uint8Array(count * 20)
  seededRandom(seed).fill(hashes)
  return hashes
}

const hex = (hashes: Uint8Array, n: number): string => toHex(hashes.subarray(n * 20, n * 20 + 20))

function announceOf(infoHash: string, peerId = '-SE0100-000000000000'): AnnounceRequest {
  const request = new AnnounceRequest()
  request.infoHash.set(Buffer.from(infoHash, 'hex'))
  request.peerId.set(Buffer.from(peerId, 'latin1'))
  return request
}

test('a set of info-hashes has what it was built from and nothing else', async () => {
  const hash = fc
    .uint8Array({ minLength: 20, maxLength: 20 })
    .map((bytes) => bytes.map((byte, i) => (i < 4 ? byte & 1 : byte)))
  await fc.assert(
    fc.asyncProperty(
      fc.array(hash, { maxLength: 200 }),
      fc.array(hash, { maxLength: 50 }),
      async (inside, others) => {
        const set = await InfoHashSet.build(Buffer.concat(inside), inside.length, turn)
        const model = new Set(inside.map(toHex))
        for (const one of inside) assert.ok(set.has(one))
        for (const one of others) assert.equal(set.has(one), model.has(toHex(one)))
        assert.equal(set.size, inside.length)
      },
    ),
    { numRuns: 100, seed: 7 },
  )
})

test('many hashes take 21 to 23 bytes each, and building lets others work', async () => {
  const count = 200_000
  const hashes = randomHashes(count, 3)
  let turns = 0
  const set = await InfoHashSet.build(hashes, count, () => {
    turns++
    return Promise.resolve()
  })
  assert.ok(set.bytes / count < 23, String(set.bytes / count))
  assert.ok(turns >= 10)
  const probe = new Uint8Array(20)
  for (let n = 0; n < count; n += 997) {
    probe.set(hashes.subarray(n * 20, n * 20 + 20))
    assert.ok(set.has(probe))
    probe[19]! ^= 1
    assert.ok(!set.has(probe))
  }
})

test('a file may have comments, empty lines, CRLF, capitals and no last line end', async (t) => {
  const path = join(folder(t), 'list')
  const hashes = randomHashes(20_000, 5)
  const lines = Array.from({ length: 20_000 }, (_, n) => hex(hashes, n))
  writeFileSync(
    path,
    `# mine\n\n${lines.slice(0, 9000).join('\r\n')}  # the last of these\n  # more: zz\n${lines.slice(9000).join('\n').toUpperCase()}`,
  )
  const set = await loadInfoHashFile(path)
  assert.equal(set.size, 20_000)
  for (let n = 0; n < 20_000; n += 37) assert.ok(set.has(hashes.subarray(n * 20, n * 20 + 20)))
})

test('a line that is no info-hash is named', async (t) => {
  const path = join(folder(t), 'list')
  const good = 'a'.repeat(40)
  for (const [text, line] of [
    [`${good}\nabc\n`, 2],
    [`${good}${good}\n`, 1],
    [`${good}\n\n${'g'.repeat(40)}`, 3],
    [`${good.slice(1)} a`, 1],
    [`${good.slice(1)} # a`, 1],
    [`${good}# a`, 1],
    [`${good}\n${good.slice(2)}`, 2],
  ] as const) {
    writeFileSync(path, text)
    await assert.rejects(loadInfoHashFile(path), {
      code: 'TRACKER_LIST',
      message: `${path}:${line}: not an info-hash of 40 hexadecimal digits`,
    })
  }
  await assert.rejects(loadInfoHashFile(join(path, 'none')), { code: 'TRACKER_CONFIG_UNREADABLE' })
})

const NOTHING = { whitelist: [], blacklist: [], whitelistFile: '', blacklistFile: '' }

test('torrents are approved by an inline list', async () => {
  const a = 'a'.repeat(40)
  const b = 'b'.repeat(40)
  const white = new TorrentApproval({ ...NOTHING, whitelist: [a] }, new ManualClock(), silentLogger)
  const black = new TorrentApproval({ ...NOTHING, blacklist: [a] }, new ManualClock(), silentLogger)
  await Promise.all([white.start(), black.start()])
  assert.equal(white.approve(announceOf(a)), null)
  assert.equal(white.approve(announceOf(b)), 'unapproved torrent')
  assert.equal(black.approve(announceOf(a)), 'unapproved torrent')
  assert.equal(black.approve(announceOf(b)), null)
})

test('a changed file is taken without being told; one with a mistake is not', async (t) => {
  const path = join(folder(t), 'list')
  const [a, b] = ['a'.repeat(40), 'b'.repeat(40)]
  writeFileSync(path, `${a}\n`)
  const clock = new ManualClock()
  const errors: object[] = []
  const logger = { ...silentLogger, error: (fields: object) => void errors.push(fields) }
  const hook = new TorrentApproval({ ...NOTHING, whitelistFile: path }, clock, logger)
  await hook.start()
  t.after(() => hook.stop())
  assert.equal(hook.approve(announceOf(b)), 'unapproved torrent')
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) {
      clock.advance(5000)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  writeFileSync(path, `${a}\n${b}\n`)
  await until(() => hook.approve(announceOf(b)) === null)
  writeFileSync(path, 'oops\n')
  await until(() => errors.length > 0)
  assert.match((errors[0] as { error: string }).error, /list:1: not an info-hash/)
  assert.equal(hook.approve(announceOf(b)), null, 'the list before stays')
  writeFileSync(path, '')
  await hook.refresh()
  assert.equal(hook.approve(announceOf(a)), 'unapproved torrent')
})

test('clients are approved by six bytes of their peer id', () => {
  const white = new ClientApproval({ whitelist: ['TR3000', 'M7-1-0'], blacklist: [] })
  const black = new ClientApproval({ whitelist: [], blacklist: ['TR3000'] })
  for (const [peerId, listed] of [
    ['-TR3000-abcdefghijkl', true],
    ['TR3000-abcdefghijklm', true],
    ['-TR3001-abcdefghijkl', false],
    ['M7-1-0--abcdefghijkl', true],
    ['--TR3000-abcdefghijk', false],
  ] as const) {
    const request = announceOf('a'.repeat(40), peerId)
    assert.equal(white.approve(request), listed ? null : 'unapproved client', peerId)
    assert.equal(
      black.approve(request),
      peerId.includes('TR3000') && listed ? 'unapproved client' : null,
      peerId,
    )
  }
})

test('intervals are lengthened as often and as far as is set', () => {
  const hook = new IntervalVariation(
    { probability: 0.25, maxIncreaseSeconds: 10, modifyMinInterval: true },
    seededRandom(11),
  )
  const seen = new Map<number, number>()
  for (let n = 0; n < 4000; n++) {
    const answer = new AnnounceAnswer()
    answer.intervalSeconds = 900
    answer.minIntervalSeconds = 60
    hook.vary(new AnnounceRequest(), answer)
    const increase = answer.intervalSeconds - 900
    assert.equal(answer.minIntervalSeconds - 60, increase)
    seen.set(increase, (seen.get(increase) ?? 0) + 1)
  }
  assert.deepEqual(
    [...seen.keys()].sort((a, b) => a - b),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  )
  assert.ok(Math.abs(seen.get(0)! - 3000) < 150, String(seen.get(0)))
})

test('hooks run in order: the first that refuses ends it, and one that cannot start stops the others', async () => {
  const calls: string[] = []
  const refuse = {
    approve() {
      calls.push('refuse')
      return failures.unapprovedClient
    },
  }
  const pass = {
    approve() {
      calls.push('pass')
      return null
    },
    stop: () => void calls.push('stop'),
  }
  const request = announceOf('a'.repeat(40))
  assert.equal(new HookList([pass, refuse, pass]).approve(request), 'unapproved client')
  assert.deepEqual(calls.splice(0), ['pass', 'refuse'])
  const broken = { start: () => Promise.reject(new Error('no')) }
  await assert.rejects(new HookList([pass, broken]).start(), /no/)
  assert.deepEqual(calls, ['stop'])
})
