/**
 * Passkeys and the names of their owners, in memory that threads share: no object for any, and never changed.
 *
 *     slots     2^n words, at least two for each key: where its record begins, plus 1; 0 is empty. Linear probing
 *     records   1 length of the key   1 length of the name   the key   the name
 *
 * The keys are the tracker owner's, so nobody can make them collide from outside; what is asked for and not there ends at the first empty slot.
 */
import { toLatin1 } from '../../base/index.ts'

/** May be posted. */
export interface PasskeyTableShare {
  readonly size: number
  readonly slots: Uint32Array
  readonly records: Uint8Array
}

export class PasskeyTable {
  readonly share: PasskeyTableShare

  constructor(share: PasskeyTableShare) {
    this.share = share
  }

  /** Of owners by key, both ASCII of at most 128 characters. */
  static of(owners: ReadonlyMap<string, string>): PasskeyTable {
    const { size } = owners
    const slots = new Uint32Array(
      new SharedArrayBuffer(4 * 2 ** Math.ceil(Math.log2(2 * size + 2))),
    )
    let bytes = 0
    for (const [key, owner] of owners) bytes += 2 + key.length + owner.length
    const records = new Uint8Array(new SharedArrayBuffer(bytes))
    let at = 0
    for (const [key, owner] of owners) {
      records[at] = key.length
      records[at + 1] = owner.length
      for (let i = 0; i < key.length; i++) records[at + 2 + i] = key.charCodeAt(i)
      const name = at + 2 + key.length
      for (let i = 0; i < owner.length; i++) records[name + i] = owner.charCodeAt(i)
      let slot = hashOf(records, at + 2, name) & (slots.length - 1)
      while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1)
      slots[slot] = at + 1
      at = name + owner.length
    }
    return new PasskeyTable({ size, slots, records })
  }

  get size(): number {
    return this.share.size
  }

  /** The owner of the key at `bytes[start…end)`; undefined when it is no key. */
  ownerOf(bytes: Uint8Array, start: number, end: number): string | undefined {
    const { slots, records } = this.share
    const mask = slots.length - 1
    const length = end - start
    for (let slot = hashOf(bytes, start, end) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const at = slots[slot]! - 1
      if (records[at] !== length) continue
      let i = 0
      while (i < length && records[at + 2 + i] === bytes[start + i]) i++
      if (i < length) continue
      const name = at + 2 + length
      // A copy: latin1 of shared memory is not decoded in place.
      return toLatin1(records.slice(name, name + records[at + 1]!))
    }
    return undefined
  }
}

/** FNV-1a, mixed once more so that the low bits depend on all. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 13)) >>> 0
}
