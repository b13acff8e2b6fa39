/**
 * The picker in pictures. One character is a chunk, a bar an extent's end:
 *
 * ```
 * .  free or not begun    a  asked of peer a    A  asked of a and of another
 * #  received             =  we have the piece
 * ```
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitfield, seededRandom } from '../../src/base/index.ts'
import { ChunkState, NOBODY } from '../../src/engine/active-extent.ts'
import { CHUNK_BYTES, Geometry } from '../../src/engine/geometry.ts'
import { PickOrder } from '../../src/engine/pick-order.ts'
import { Picker } from '../../src/engine/picker.ts'
import type { PickerPeer } from '../../src/engine/picker-peer.ts'

class Board {
  readonly geometry: Geometry
  readonly have: Bitfield
  readonly picker: Picker
  readonly order: PickOrder
  readonly admitted: number[] = []
  refuse = false
  short = true
  /** By name: `a3.1`. */
  readonly cancelled: string[] = []
  nowMs = 0
  readonly #names = new Map<number, string>()
  readonly #out = new Int32Array(4096)

  /** Sizes in chunks. */
  constructor(options: {
    total: number
    piece: number
    stripe: number
    active?: number
    have?: string
    seed?: number
    /** A digit a piece: 0 skip, 1 low, 2 normal, 3 high. */
    priorities?: string
  }) {
    const { total, piece, stripe, active = 1, have = '', seed = 1, priorities } = options
    this.geometry = new Geometry(total * CHUNK_BYTES, piece * CHUNK_BYTES, stripe * CHUNK_BYTES)
    this.have = bits(have, this.geometry.pieceCount)
    const levels = priorities === undefined ? undefined : Uint8Array.from(priorities, Number)
    for (const [at, priority] of (levels ?? []).entries()) if (priority === 0) this.have.set(at)
    this.order = new PickOrder(this.geometry, this.have, levels)
    this.picker = new Picker({
      order: this.order,
      geometry: this.geometry,
      have: this.have,
      random: seededRandom(seed),
      maxActive: active,
      isMemoryShort: () => this.short,
      cancel: (peer, piece, chunk) =>
        this.cancelled.push(`${this.#names.get(peer)}${piece}.${chunk}`),
      admit: (index) => {
        if (!this.refuse && !this.admitted.includes(index)) this.admitted.push(index)
        return !this.refuse || this.admitted.includes(index)
      },
    })
  }

  /** `has`: one character a piece, `x` for those that it has; `*` for all. */
  peer(name: string, has = '*'): PickerPeer {
    const all = new Bitfield(this.geometry.pieceCount)
    if (has === '*') all.setAll()
    const peer = this.picker.addPeer(has === '*' ? all : bits(has, this.geometry.pieceCount))
    this.#names.set(peer.id, name)
    return peer
  }

  /** Picks, and returns `piece.chunk` of each. */
  pick(peer: PickerPeer, max: number): string {
    const count = this.picker.pick(peer, max, this.nowMs, this.#out)
    this.picker.check()
    return Array.from(
      { length: count },
      (_, i) => `${this.#out[2 * i]}.${this.#out[2 * i + 1]}`,
    ).join(' ')
  }

  /** The peer delivers; returns who is told to cancel what. */
  deliver(peer: PickerPeer, what: string): string {
    this.cancelled.length = 0
    for (const one of what.split(' ')) {
      const [piece, chunk] = one.split('.').map(Number)
      assert.ok(this.picker.beginReceive(peer, piece!, chunk!, this.nowMs), `${one} is awaited`)
      this.picker.received(peer, piece!, chunk!, this.nowMs)
      if (this.picker.isWhole(piece!)) this.picker.pieceVerified(piece!)
      this.picker.check()
    }
    return this.cancelled.join(' ')
  }

  draw(): string {
    const extents: string[] = []
    for (let index = 0; index < this.geometry.extentCount; index++) {
      const extent = this.picker.active.find((active) => active.index === index)
      let text = ''
      for (let p = this.geometry.firstPiece(index); p < this.geometry.endPiece(index); p++) {
        for (let chunk = 0; chunk < this.geometry.chunkCount(p); chunk++) {
          if (this.have.has(p)) text += '='
          else if (extent === undefined) text += '.'
          else {
            const at = (p - extent.firstPiece) * this.geometry.chunksPerPiece + chunk
            const name = this.#names.get(extent.owner[at]!) ?? '.'
            if (extent.state[at] === ChunkState.received) text += '#'
            else text += extent.second[at] === NOBODY ? name : name.toUpperCase()
          }
        }
      }
      extents.push(text)
    }
    return extents.join('|')
  }
}

function bits(text: string, length: number): Bitfield {
  const field = new Bitfield(length)
  for (const [i, char] of [...text].entries()) if (char !== '.') field.set(i)
  return field
}

test('an extent is finished before the next begins, whatever its pieces', () => {
  const board = new Board({ total: 16, piece: 2, stripe: 4, active: 4 })
  const a = board.peer('a', 'xx..xx..')
  board.pick(a, 3)
  const first = board.draw()
  assert.ok(['aaa.|....|....|....', '....|....|aaa.|....'].includes(first), first)
  board.pick(a, 1)
  assert.equal(board.draw(), first.replace('aaa.', 'aaaa'))
  board.pick(a, 2)
  assert.equal(board.picker.active.length, 2)
})

test('the extent with the rarest missing piece comes first', () => {
  //                                        extents:   0    1    2    3
  const board = new Board({ total: 16, piece: 2, stripe: 4 })
  board.peer('b', 'xx' + 'xx' + '..' + 'xx')
  board.peer('c', 'xx' + 'x.' + 'xx' + 'xx')
  board.peer('d', 'xx' + 'xx' + '.x' + 'xx')
  const a = board.peer('a')
  board.pick(a, 4)
  // Extent 2 has a piece with one copy beside ours; extent 1 one with two.
  assert.equal(board.draw(), '....|....|aaaa|....')
})

test('rarity follows the haves that arrive', () => {
  const board = new Board({ total: 12, piece: 2, stripe: 4 })
  const b = board.peer('b', 'xx' + 'xx' + '..')
  const a = board.peer('a')
  board.picker.peerHas(b, 4)
  board.picker.peerHas(b, 5)
  const c = board.peer('c', '.x' + 'xx' + 'xx')
  board.picker.check()
  board.pick(a, 4)
  assert.equal(board.draw(), 'aaaa|....|....')
  board.picker.peerHas(c, 0)
  board.picker.check()
})

test('a run that was begun is finished before another begins', () => {
  // Three runs of sixteen extents.
  const board = new Board({ total: 192, piece: 1, stripe: 4 })
  const a = board.peer('a')
  const begun: number[] = []
  for (let i = 0; i < 48; i++) {
    board.deliver(a, board.pick(a, 4))
    begun.push(board.admitted.at(-1)!)
  }
  assert.equal(new Set(begun).size, 48)
  const runs = begun.map((stripe) => Math.floor(stripe / 16))
  assert.equal(runs.filter((run, i) => i > 0 && run !== runs[i - 1]).length, 2, `${begun}`)
  for (let first = 0; first < 48; first += 16) {
    const jumps = begun
      .slice(first, first + 16)
      .filter((stripe, i, run) => stripe !== run[i - 1]! + 1)
    assert.ok(jumps.length <= 2, `${begun} goes up within a run, once round`)
  }
})

test('the run with the rarest piece is the next, and its rarest extent the first of it', () => {
  // Two runs of sixteen extents of one piece each.
  const board = new Board({ total: 32, piece: 1, stripe: 1 })
  board.peer('b', `${'x'.repeat(27)}.${'x'.repeat(4)}`)
  const a = board.peer('a')
  board.pick(a, 1)
  assert.equal(board.admitted.at(-1), 27)
})

test('where the disk keeps up a torrent has eight runs, and rarity holds within them', () => {
  // Runs of two extents; the second of the run that is begun is the rarer one of what is left there.
  const board = new Board({ total: 16, piece: 1, stripe: 1 })
  board.short = false
  board.peer('b', 'xxxxxxxx' + 'xx.xxxxx')
  const a = board.peer('a')
  board.pick(a, 1)
  board.deliver(a, '10.0')
  board.pick(a, 1)
  assert.deepEqual(board.admitted, [10, 11])
  board.deliver(a, '11.0')
  board.pick(a, 1)
  assert.notEqual(Math.floor(board.admitted.at(-1)! / 2), 5)
})

test('a peer that has nothing of the run that was begun begins another', () => {
  const board = new Board({ total: 128, piece: 1, stripe: 4, active: 4 })
  const a = board.peer('a', 'x'.repeat(64) + '.'.repeat(64))
  const b = board.peer('b', '.'.repeat(64) + 'x'.repeat(64))
  board.pick(a, 1)
  board.pick(b, 1)
  assert.deepEqual(
    board.admitted.map((stripe) => Math.floor(stripe / 16)),
    [0, 1],
  )
})

test('no more extents are begun than allowed', () => {
  const board = new Board({ total: 32, piece: 1, stripe: 4, active: 2 })
  const a = board.peer('a')
  const b = board.peer('b')
  assert.equal(board.pick(a, 100).split(' ').length, 8)
  assert.equal(board.pick(b, 100), '')
  assert.equal(board.picker.active.length, 2)
})

test('without memory nothing is asked for; with it the picking goes on', () => {
  const board = new Board({ total: 8, piece: 1, stripe: 4, active: 4 })
  const a = board.peer('a')
  board.refuse = true
  assert.equal(board.pick(a, 8), '')
  board.refuse = false
  assert.equal(board.pick(a, 8).split(' ').length, 8)
})

test('a piece over several stripes asks for their memory one after the other', () => {
  const board = new Board({ total: 16, piece: 8, stripe: 2, seed: 3 })
  const a = board.peer('a', 'x.')
  assert.equal(board.pick(a, 3), '0.0 0.1 0.2')
  assert.deepEqual(board.admitted, [0, 1])
  board.refuse = true
  assert.equal(board.pick(a, 8), '0.3', 'as far as the memory that is there')
})

test('pieces that we have are left alone', () => {
  const board = new Board({ total: 8, piece: 1, stripe: 4, active: 2, have: 'x.x.xxxx' })
  const a = board.peer('a')
  assert.equal(a.wanted, 2)
  assert.equal(board.pick(a, 8), '1.0 3.0')
  assert.equal(board.draw(), '=a=a|====')
})

test('what a choked or gone peer owed goes to others', () => {
  const board = new Board({ total: 4, piece: 2, stripe: 4 })
  const a = board.peer('a')
  const b = board.peer('b')
  board.pick(a, 3)
  assert.equal(board.draw(), 'aaa.')
  board.picker.releaseAll(a)
  assert.equal(board.draw(), '....')
  board.pick(a, 2)
  board.picker.removePeer(a)
  board.pick(b, 4)
  assert.equal(board.draw(), 'bbbb')
})

test('a rejected chunk is the next to be asked for', () => {
  const board = new Board({ total: 4, piece: 2, stripe: 4 })
  const a = board.peer('a')
  const b = board.peer('b')
  board.pick(a, 4)
  assert.ok(board.picker.release(a, 0, 1))
  assert.ok(!board.picker.release(a, 0, 1), 'only once')
  assert.equal(board.pick(b, 1), '0.1')
})

test('a slow peer does not hold an extent hostage: its late chunks go to another', () => {
  const board = new Board({ total: 16, piece: 2, stripe: 4, active: 4 })
  const slow = board.peer('s', 'xx......')
  const a = board.peer('a', 'xxxx....')
  board.pick(slow, 4)
  assert.equal(board.pick(a, 2), '2.0 2.1', 'not late yet')
  board.nowMs = 10_000
  assert.equal(board.pick(a, 2), '0.0 0.1')
  assert.equal(board.draw(), 'SSss|aa..|....|....')
  assert.equal(board.deliver(a, '0.0 0.1'), 's0.0 s0.1')
})

test('end-game: chunks that are about to arrive are asked of two, and the loser is told to cancel', () => {
  const board = new Board({ total: 2, piece: 2, stripe: 4 })
  const a = board.peer('a')
  const b = board.peer('b')
  const c = board.peer('c')
  board.pick(a, 2)
  assert.equal(board.pick(b, 2), '', 'they have only been asked for')
  board.nowMs = 300
  assert.equal(board.pick(b, 2), '0.1 0.0', 'the youngest first')
  assert.equal(board.draw(), 'AA')
  board.nowMs = 600
  assert.equal(board.pick(c, 4), '', 'never of a third')
  assert.equal(board.deliver(a, '0.0'), 'b0.0')
  assert.equal(board.deliver(b, '0.1'), 'a0.1')
})

test('who has nothing to do takes over what waits in the queue of another, until both owe alike', () => {
  const board = new Board({ total: 8, piece: 4, stripe: 8 })
  const a = board.peer('a')
  const b = board.peer('b')
  board.pick(a, 8)
  board.nowMs = 300
  assert.equal(board.pick(b, 8), '1.3 1.2 1.1')
  assert.deepEqual(board.cancelled, ['a1.3', 'a1.2', 'a1.1'])
  assert.equal(board.draw(), 'aaaaabbb')
})

test('what was on its way when its peer was told to cancel is taken', () => {
  const board = new Board({ total: 8, piece: 4, stripe: 8 })
  const a = board.peer('a')
  const b = board.peer('b')
  board.pick(a, 8)
  board.nowMs = 300
  board.pick(b, 3)
  assert.equal(board.draw(), 'aaaaabbb')
  assert.equal(board.deliver(a, '1.3'), 'b1.3')
  assert.equal(board.draw(), 'aaaaabb#')
  assert.equal(board.deliver(b, '1.2'), '')
  assert.ok(!board.picker.beginReceive(a, 1, 2, 300), 'b was faster')
  board.picker.check()
})

test('a chunk that arrives from one is not taken from another at the same time', () => {
  const board = new Board({ total: 2, piece: 2, stripe: 4 })
  const a = board.peer('a')
  const b = board.peer('b')
  board.pick(a, 2)
  board.nowMs = 300
  board.pick(b, 2)
  assert.ok(board.picker.beginReceive(a, 0, 0, 300))
  assert.ok(!board.picker.beginReceive(b, 0, 0, 300))
  board.picker.check()
  board.picker.removePeer(a)
  assert.equal(board.draw(), '.b')
})

test('while the disk keeps up what next to nobody has goes first, from a place of chance on', () => {
  const taken = (short: boolean, seed: number): string => {
    const board = new Board({ total: 16, piece: 1, stripe: 16, seed })
    board.short = short
    const seeder = board.peer('s')
    board.peer('a', 'xxxxxx.........x')
    board.peer('b', 'xxxx...........x')
    board.peer('c', 'xxxx............')
    return board.pick(seeder, 4)
  }
  assert.equal(taken(true, 1), '0.0 1.0 2.0 3.0')
  const picked = Array.from({ length: 8 }, (_, seed) => taken(false, seed))
  for (const pieces of picked) {
    for (const one of pieces.split(' ')) assert.match(one, /^([6-9]|1[0-4])\.0$/)
  }
  assert.ok(new Set(picked).size > 2, 'not all leechers take the same')
})

test('a rarer extent is begun beside those in progress, within the bound', () => {
  const board = new Board({ total: 12, piece: 1, stripe: 4, active: 2 })
  const seeder = board.peer('s')
  const others = [board.peer('a', 'xxxxxxxx....'), board.peer('b', 'xxxxxxxx....')]
  board.short = false
  assert.equal(board.pick(others[0]!, 1).split('.')[0]! < '8', true)
  const picked = board.pick(seeder, 2)
  for (const one of picked.split(' ')) assert.match(one, /^(8|9|10|11)\.0$/, 'of the rarest')
  assert.equal(board.picker.active.length, 2)
})

test('a piece that was begun goes before other scarce ones', () => {
  const board = new Board({ total: 16, piece: 4, stripe: 16 })
  board.short = false
  const seeder = board.peer('s')
  const other = board.peer('t')
  board.peer('a', '....')
  board.peer('b', '....')
  const first = board.pick(seeder, 2).split(' ')[0]!.split('.')[0]
  assert.equal(board.pick(other, 2), `${first}.2 ${first}.3`)
})

test('a piece that failed is free again, and one peer alone delivers it', () => {
  const board = new Board({ total: 4, piece: 4, stripe: 4 })
  const a = board.peer('a')
  const b = board.peer('b')
  board.pick(a, 2)
  board.pick(b, 2)
  for (const [peer, chunk] of [
    [a, 0],
    [a, 1],
    [b, 2],
    [b, 3],
  ] as const) {
    board.picker.beginReceive(peer, 0, chunk, 0)
    board.picker.received(peer, 0, chunk, 0)
  }
  assert.deepEqual([...board.picker.senders(0)], [a.id, a.id, b.id, b.id])
  board.picker.pieceFailed(0)
  assert.equal(board.draw(), '....')
  assert.equal(board.pick(b, 1), '0.0')
  assert.equal(board.pick(a, 4), '', 'it is b alone who is asked')
  board.picker.removePeer(b)
  assert.equal(board.pick(a, 4).split(' ').length, 4)
})

test('a piece that failed is not withheld for ever by the one peer that has it to itself', () => {
  const board = new Board({ total: 4, piece: 4, stripe: 4 })
  const a = board.peer('a')
  const b = board.peer('b')
  const out = new Int32Array(16)
  assert.equal(board.picker.pick(a, 4, 0, out), 4)
  for (let chunk = 0; chunk < 4; chunk++) {
    board.picker.beginReceive(a, 0, chunk, 0)
    board.picker.received(a, 0, chunk, 0)
  }
  board.picker.pieceFailed(0)
  assert.equal(board.picker.pick(b, 2, 1_000, out), 2)
  assert.equal(board.picker.pick(a, 4, 59_000, out), 0)
  assert.equal(board.picker.pick(a, 4, 61_500, out), 2, 'what is free')
  assert.equal(board.picker.pick(a, 4, 61_500, out), 2, 'what is late')
  board.picker.check()
})

test('an abandoned extent is as if it had not been begun, but not while a chunk arrives', () => {
  const board = new Board({ total: 4, piece: 2, stripe: 4 })
  const a = board.peer('a')
  board.pick(a, 4)
  board.picker.beginReceive(a, 0, 0, 0)
  assert.ok(!board.picker.abandon(0, 0))
  board.picker.received(a, 0, 0, 0)
  assert.ok(board.picker.abandon(0, 0))
  board.picker.check()
  assert.equal(a.outstanding, 0)
  assert.equal(board.draw(), '....')
  assert.equal(board.pick(a, 4).split(' ').length, 4)
})

test('a peer with one piece in a hundred thousand is served', () => {
  const board = new Board({ total: 100_000, piece: 1, stripe: 1 })
  board.peer('s')
  const one = new Bitfield(100_000)
  one.set(77_777)
  const peer = board.picker.addPeer(one)
  assert.equal(board.pick(peer, 4), '77777.0')
})

test('in sequence: the beginning before the end, whatever is rare', () => {
  const board = new Board({ total: 8, piece: 1, stripe: 2, active: 4 })
  board.order.sequential = true
  board.peer('b', 'xx......')
  const a = board.peer('a')
  assert.equal(board.pick(a, 5), '0.0 1.0 2.0 3.0 4.0')
  const late = board.peer('c', '......x.')
  assert.equal(board.pick(late, 5), '6.0', 'of what a peer has')
  assert.equal(board.pick(a, 5), '5.0 7.0')
})

test('of what has a higher priority the rarest, then of the next; what is skipped never', () => {
  const board = new Board({ total: 8, piece: 1, stripe: 1, active: 8, priorities: '12033120' })
  const a = board.peer('a')
  board.peer('b', '...x....')
  const picked = board.pick(a, 8).split(' ')
  assert.deepEqual(picked.slice(0, 2), ['4.0', '3.0'])
  assert.deepEqual(picked.slice(2, 4).sort(), ['1.0', '6.0'])
  assert.deepEqual(picked.slice(4).sort(), ['0.0', '5.0'])
})

test('a window goes before all that was begun, beyond the bound, in order, and ends with its reader', () => {
  const board = new Board({ total: 12, piece: 1, stripe: 2, active: 1 })
  const a = board.peer('a')
  board.peer('b', 'xxxxxxxxxx..')
  assert.equal(board.pick(a, 1), '10.0')
  const window = { firstPiece: 5, lastPiece: 8 }
  board.order.addWindow(window)
  board.picker.reorder()
  assert.equal(board.pick(a, 4), '4.0 5.0 6.0 7.0')
  window.firstPiece = 1
  window.lastPiece = 2
  board.picker.reorder()
  assert.equal(board.pick(a, 4), '0.0 1.0 2.0 3.0')
  board.order.deleteWindow(window)
  board.picker.reorder()
  assert.equal(board.pick(a, 3), '8.0 9.0 11.0', 'what was begun is finished')
  // No memory: what was begun goes on.
  const tight = new Board({ total: 12, piece: 1, stripe: 2, active: 1 })
  const peer = tight.peer('a')
  const first = tight.pick(peer, 1)
  tight.refuse = true
  tight.order.addWindow({ firstPiece: 0, lastPiece: 11 })
  assert.equal(tight.pick(peer, 4).split(' ').length, 1)
  assert.notEqual(first, '')
})
