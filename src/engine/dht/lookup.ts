/**
 * One search of the DHT: asks the closest nodes it knows of for closer ones, until the closest K have answered (BEP 5).
 *
 * Invariants: at most PARALLEL questions at a time, MAX_QUESTIONS in all, MAX_CANDIDATES kept; `done` is called once.
 */
import { toLatin1 } from '../../base/index.ts'
import type { PeerAddress } from '../announce/types.ts'
import { type Contact, compareDistance } from './contact.ts'
import type { Response } from './krpc.ts'
import { K } from './routing-table.ts'

const PARALLEL = 4
const MAX_QUESTIONS = 120
const MAX_CANDIDATES = 100

interface Candidate {
  readonly contact: Contact
  state: 'new' | 'asked' | 'answered' | 'failed'
  token: Uint8Array | undefined
}

/** A node that has answered, with its leave to announce there, if it gave one. */
export interface Closest {
  readonly contact: Contact
  readonly token: Uint8Array | undefined
}

export interface LookupOptions {
  readonly target: Uint8Array
  /** Nodes to begin with. */
  readonly from: readonly Contact[]
  /** Asks a node; calls back once. */
  ask(contact: Contact, done: (response: Response | undefined) => void): void
  /** The contacts of an answer that can be asked. */
  contactsOf(response: Response): readonly Contact[]
  onPeers(peers: readonly PeerAddress[]): void
  done(closest: readonly Closest[]): void
}

export class Lookup {
  readonly #options: LookupOptions
  /** The closest first. */
  #candidates: Candidate[] = []
  readonly #seen = new Set<string>()
  #asking = 0
  #questions = 0
  #over = false

  constructor(options: LookupOptions) {
    this.#options = options
    this.#add(options.from)
    this.#step()
  }

  #add(contacts: readonly Contact[]): void {
    for (const contact of contacts) {
      const key = toLatin1(contact.id)
      if (this.#seen.has(key)) continue
      this.#seen.add(key)
      this.#candidates.push({ contact, state: 'new', token: undefined })
    }
    const { target } = this.#options
    this.#candidates.sort((a, b) => compareDistance(target, a.contact.id, b.contact.id))
    // The far ones that were not asked yet never will be.
    this.#candidates.length = Math.min(this.#candidates.length, MAX_CANDIDATES)
  }

  #step(): void {
    if (this.#over) return
    const closest = this.#candidates.filter(({ state }) => state !== 'failed').slice(0, K)
    for (const candidate of closest) {
      if (this.#asking >= PARALLEL || this.#questions >= MAX_QUESTIONS) break
      if (candidate.state === 'new') this.#ask(candidate)
    }
    if (this.#asking > 0) return
    this.#over = true
    this.#options.done(
      closest
        .filter(({ state }) => state === 'answered')
        .map(({ contact, token }) => ({ contact, token })),
    )
  }

  #ask(candidate: Candidate): void {
    candidate.state = 'asked'
    this.#asking++
    this.#questions++
    this.#options.ask(candidate.contact, (response) => {
      this.#asking--
      candidate.state = response === undefined ? 'failed' : 'answered'
      if (response !== undefined) {
        candidate.token = response.token
        if (response.peers.length > 0) this.#options.onPeers(response.peers)
        this.#add(this.#options.contactsOf(response))
      }
      this.#step()
    })
  }
}
