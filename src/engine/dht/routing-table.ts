/**
 * The nodes of one address family that we know (BEP 5, "Routing Table"), more of them the closer they are to us.
 *
 * ```
 * bucket 0     up to 8 nodes whose id differs from ours in the first bit     half of the DHT
 * bucket 1     … in the second bit                                           a quarter
 * …
 * bucket 159
 * ```
 *
 * A node is good while it has answered, and was heard of within 15 minutes; questionable after that; bad after two questions
 * without an answer. A full bucket takes a new node only in place of a bad one; the last that found no place waits, and
 * the least lately heard of the bucket is asked whether it is still there.
 *
 * Invariants: at most K nodes a bucket, each endpoint and each id once; at most MAX_PER_HOST nodes of a host, so that nobody fills
 * the table alone; a node that never answered is told to nobody.
 */
import { toLatin1 } from '../../base/index.ts'
import { type Contact, compareDistance, ID_BYTES, sharedBits } from './contact.ts'

/** Nodes in a bucket, and in an answer. */
export const K = 8
const QUESTIONABLE_MS = 15 * 60_000
const MAX_FAILURES = 2
const MAX_PER_HOST = 4

interface Node extends Contact {
  heardMs: number
  answered: boolean
  failures: number
}

interface Bucket {
  readonly nodes: Node[]
  /** When a node of it was heard last. */
  touchedMs: number
  waiting: Contact | undefined
}

export class RoutingTable {
  readonly ownId: Uint8Array
  readonly #buckets: Bucket[] = []
  readonly #byId = new Map<string, Node>()
  readonly #hosts = new Map<string, number>()

  constructor(ownId: Uint8Array) {
    this.ownId = ownId
    for (let i = 0; i < 8 * ID_BYTES; i++) {
      this.#buckets.push({ nodes: [], touchedMs: 0, waiting: undefined })
    }
  }

  get size(): number {
    return this.#byId.size
  }

  /** Of them, those that have answered. */
  get answered(): number {
    let count = 0
    for (const { answered } of this.#byId.values()) if (answered) count++
    return count
  }

  /** The node said something; `answered`: to a question of ours. */
  heard(contact: Contact, answered: boolean, nowMs: number): void {
    const known = this.#byId.get(toLatin1(contact.id))
    if (known === undefined) {
      this.#add(contact, answered, nowMs)
      return
    }
    // Somebody else with the same id: the one that is there is believed.
    if (known.host !== contact.host || known.port !== contact.port) return
    known.heardMs = nowMs
    if (answered) {
      known.answered = true
      known.failures = 0
    }
    this.#bucketOf(contact.id)!.touchedMs = nowMs
  }

  #add(contact: Contact, answered: boolean, nowMs: number): void {
    const bucket = this.#bucketOf(contact.id)
    if (bucket === undefined || (this.#hosts.get(contact.host) ?? 0) >= MAX_PER_HOST) return
    const { nodes } = bucket
    if (nodes.some(({ host, port }) => host === contact.host && port === contact.port)) return
    if (nodes.length >= K) {
      const bad = nodes.find(({ failures }) => failures >= MAX_FAILURES)
      if (bad === undefined) {
        if (answered) bucket.waiting = contact
        return
      }
      this.#remove(bucket, bad)
    }
    const node: Node = { ...contact, heardMs: nowMs, answered, failures: 0 }
    nodes.push(node)
    bucket.touchedMs = nowMs
    this.#byId.set(toLatin1(contact.id), node)
    this.#hosts.set(contact.host, (this.#hosts.get(contact.host) ?? 0) + 1)
  }

  /** The node did not answer. */
  failed(contact: Contact, nowMs: number): void {
    const node = this.#byId.get(toLatin1(contact.id))
    if (node === undefined || node.host !== contact.host || node.port !== contact.port) return
    node.failures++
    const bucket = this.#bucketOf(contact.id)!
    const { waiting } = bucket
    if (node.failures < MAX_FAILURES || (waiting === undefined && node.answered)) return
    this.#remove(bucket, node)
    bucket.waiting = undefined
    if (waiting !== undefined) this.#add(waiting, true, nowMs)
  }

  #remove(bucket: Bucket, node: Node): void {
    bucket.nodes.splice(bucket.nodes.indexOf(node), 1)
    this.#byId.delete(toLatin1(node.id))
    const left = this.#hosts.get(node.host)! - 1
    if (left === 0) this.#hosts.delete(node.host)
    else this.#hosts.set(node.host, left)
  }

  /** Up to `most` nodes, the closest to `target` first, that have answered and are not bad. */
  closest(target: Uint8Array, most: number = K): Contact[] {
    return [...this.#byId.values()]
      .filter(({ answered, failures }) => answered && failures < MAX_FAILURES)
      .sort((a, b) => compareDistance(target, a.id, b.id))
      .slice(0, most)
  }

  /** Nodes to be asked now whether they are still there: the least lately heard of each bucket where that is not known. */
  questionable(nowMs: number): Contact[] {
    const found: Contact[] = []
    for (const { nodes, waiting } of this.#buckets) {
      let oldest: Node | undefined
      for (const node of nodes) if (!(oldest && oldest.heardMs <= node.heardMs)) oldest = node
      if (oldest === undefined) continue
      const isOld = nowMs - oldest.heardMs >= QUESTIONABLE_MS
      if (isOld || waiting !== undefined || !oldest.answered || oldest.failures > 0) {
        found.push(oldest)
      }
    }
    return found
  }

  /** Whether a bucket that holds nodes was not heard of for 15 minutes: its number, or undefined. */
  stale(nowMs: number): number | undefined {
    const index = this.#buckets.findIndex(
      ({ nodes, touchedMs }) => nodes.length > 0 && nowMs - touchedMs >= QUESTIONABLE_MS,
    )
    if (index < 0) return undefined
    this.#buckets[index]!.touchedMs = nowMs
    return index
  }

  /** All that have answered, for the next start. */
  good(): Contact[] {
    return this.closest(this.ownId, Number.POSITIVE_INFINITY)
  }

  /** Undefined for our own id. */
  #bucketOf(id: Uint8Array): Bucket | undefined {
    return this.#buckets[sharedBits(this.ownId, id)]
  }
}
