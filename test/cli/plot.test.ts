/** From a node with an access log to a picture, as a user would do it. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { seedbed, start } from './run.ts'

const root = mkdtempSync(join(tmpdir(), 'seedbed-plot-'))
after(() => rmSync(root, { recursive: true, force: true }))

test('a run is logged, summed up and drawn', async () => {
  const content = join(root, 'content')
  writeFileSync(content, randomFillSync(Buffer.alloc(20 * 2 ** 20)))
  const log = join(root, 'access.log')
  const up = [
    ...['up', content, '--data', join(root, 'data'), '--image-size', '256MiB', '--json'],
    ...['--tracker-port', '0', '--peer-port', '0', '--bind', '127.0.0.1', '--host', '127.0.0.1'],
    ...['--access-log', log],
  ]
  const node = start(up)
  await node.event('shared')
  assert.equal((await node.stop()).status, 0)

  for (const [name, magic] of [
    ['a.png', '\x89PNG'],
    ['a.SVG', '<svg'],
  ] as const) {
    const path = join(root, name)
    const drawn = await seedbed(['plot', log, '--out', path, '--json'])
    assert.equal(drawn.status, 0, drawn.stderr)
    const summary = drawn.objects[0]!
    assert.equal(summary.event, 'plotted')
    assert.equal(summary.deviceBytes, 256 * 2 ** 20)
    assert.equal(summary.lost, 0)
    assert.ok(summary.writtenBytes >= 20 * 2 ** 20, 'the import is in it')
    assert.ok(summary.sequentialWrites >= 4, 'block behind block')
    assert.ok(summary.flushes >= 4)
    assert.equal(readFileSync(path, 'latin1').slice(0, 4), magic)
  }

  // Another run begins the log anew; a file that is none is left alone.
  const again = start(up)
  await again.event('shared')
  assert.equal((await again.stop()).status, 0)
  const precious = join(root, 'precious')
  writeFileSync(precious, 'not a log')
  const refused = await seedbed([...up.slice(0, -1), precious])
  assert.equal(JSON.parse(refused.stderr.trim().split('\n').at(-1)!).error.code, 'DEVICE_NO_LOG')
  assert.equal(readFileSync(precious, 'utf8'), 'not a log')
})

test('what cannot be drawn is said', async () => {
  const out = ['--out', join(root, 'x.png')]
  assert.equal((await seedbed(['plot', '--article', ...out])).status, 0)
  assert.equal((await seedbed(['plot', ...out])).status, 2, 'no log')
  assert.equal((await seedbed(['plot', 'log', '--article', ...out])).status, 2)
  assert.equal((await seedbed(['plot', '--article', '--out', 'x.gif'])).status, 2)
  assert.equal((await seedbed(['plot', join(root, 'x.png'), ...out])).status, 2)
  assert.equal((await seedbed(['plot', join(root, 'nothing'), ...out])).status, 11)
  const nowhere = ['--out', join(root, 'no', 'such', 'x.png')]
  assert.equal((await seedbed(['plot', '--article', ...nowhere])).status, 8)
})
