/**
 * What is said to a gateway over one socket, by either protocol: a question, again and again until it is answered, and what the
 * answer comes to.
 *
 * Invariants: one question at a time, each sent a bounded number of times; taken is only what answers it, and bears its nonce
 * (PCP). That it comes from the gateway's address and port is the socket's doing.
 */
import { below, bytesEqual, type Clock, errnoOf, type Random } from '../../base/index.ts'
import type { DatagramSocket } from '../network.ts'
import {
  encodeNatPmpAsk,
  encodeNatPmpMap,
  NatPmpOpcode,
  natPmpResultName,
  opcodeOf,
  parseNatPmp,
} from './nat-pmp.ts'
import { encodePcpMap, parsePcp, pcpResultName } from './pcp.ts'
import type { Protocol, TransportNumber } from './types.ts'

/** NAT-PMP: 250 ms, doubled each time, so two minutes in all (RFC 6886, section 3.1). */
const NAT_PMP_FIRST_MS = 250
const NAT_PMP_TRIES = 9
/** PCP: 3 s, doubled, give or take a tenth (RFC 6887, section 8.1.1), which knows no last time. */
const PCP_FIRST_MS = 3_000
const PCP_TRIES = 3
const MAX_LIFETIME_S = 86_400
/** NAT-PMP does not say for how long an error stays one, PCP does. */
const REFUSED_MS = 15 * 60_000
const MIN_REFUSED_MS = 30_000
const MAX_REFUSED_MS = 60 * 60_000

export interface MapQuestion {
  readonly transport: TransportNumber
  /** NONCE_BYTES. */
  readonly nonce: Uint8Array
  readonly innerPort: number
  /** A suggestion. */
  readonly outerPort: number
  /** 0 takes the mapping away. */
  readonly lifetimeS: number
}

export type Answer =
  | {
      readonly kind: 'mapped'
      readonly outerPort: number
      readonly lifetimeS: number
      /** PCP's word; NAT-PMP is asked for it by itself. */
      readonly outerAddress: string | undefined
    }
  /** No, and for how long. */
  | { readonly kind: 'refused'; readonly problem: string; readonly retryMs: number }
  /** It does not speak this protocol, or does not answer. */
  | { readonly kind: 'version' }
  | { readonly kind: 'silent' }

export interface ConversationTools {
  readonly clock: Clock
  readonly random: Random
  /** Ours. */
  readonly local: string
  /** Each question is sent at most so often; as often as the protocol has it by default. */
  readonly maxTries?: number
  /** Ends it. */
  readonly signal?: AbortSignal
  /** It said what its clock shows. */
  onEpoch(protocol: Protocol, epochS: number): void
}

export class Conversation {
  readonly #socket: DatagramSocket
  readonly #tools: ConversationTools

  /** The socket stays the caller's to close. */
  constructor(socket: DatagramSocket, tools: ConversationTools) {
    this.#socket = socket
    this.#tools = tools
  }

  map(protocol: Protocol, question: MapQuestion): Promise<Answer> {
    return protocol === 'pcp' ? this.#mapByPcp(question) : this.#mapByNatPmp(question)
  }

  async #mapByPcp(question: MapQuestion): Promise<Answer> {
    const { nonce, transport, innerPort, lifetimeS } = question
    const bytes = encodePcpMap({ ...question, client: this.#tools.local })
    const answer = await this.#ask(bytes, this.#pcpWaits(), (bytes) => {
      const said = parsePcp(bytes)
      if (said?.kind !== 'answer') return said
      const { mapping } = said
      if (mapping === undefined || !bytesEqual(mapping.nonce, nonce)) return null
      return mapping.transport === transport && mapping.innerPort === innerPort ? said : null
    })
    if (answer === undefined) return { kind: 'silent' }
    if (answer.kind === 'version') return { kind: 'version' }
    this.#tools.onEpoch('pcp', answer.epochS)
    if (answer.result !== 0) {
      const retryMs = Math.max(MIN_REFUSED_MS, Math.min(MAX_REFUSED_MS, answer.lifetimeS * 1000))
      return { kind: 'refused', problem: pcpResultName(answer.result), retryMs }
    }
    const { outerPort, outerAddress } = answer.mapping!
    return mapped(outerPort, answer.lifetimeS, outerAddress, lifetimeS)
  }

  async #mapByNatPmp(question: MapQuestion): Promise<Answer> {
    const { transport, innerPort, lifetimeS } = question
    const outerPort = lifetimeS === 0 ? 0 : question.outerPort
    const bytes = encodeNatPmpMap({ transport, innerPort, outerPort, lifetimeS })
    const answer = await this.#ask(bytes, natPmpWaits(), (bytes) => {
      const said = parseNatPmp(bytes)
      if (said?.opcode !== opcodeOf(transport)) return null
      return said.mapping === undefined || said.mapping.innerPort === innerPort ? said : null
    })
    if (answer === undefined) return { kind: 'silent' }
    this.#tools.onEpoch('nat-pmp', answer.epochS)
    if (answer.mapping === undefined) return refusedByNatPmp(answer.result)
    return mapped(answer.mapping.outerPort, answer.mapping.lifetimeS, undefined, lifetimeS)
  }

  /** NAT-PMP: the address outside, or what speaks against asking for more. */
  async askAddress(): Promise<string | Answer> {
    const answer = await this.#ask(encodeNatPmpAsk(), natPmpWaits(), (bytes) => {
      const said = parseNatPmp(bytes)
      return said?.opcode === NatPmpOpcode.address ? said : null
    })
    if (answer === undefined) return { kind: 'silent' }
    this.#tools.onEpoch('nat-pmp', answer.epochS)
    return answer.address ?? refusedByNatPmp(answer.result)
  }

  /** Sends it, and again after each of the waits but the last, until `read` takes an answer; undefined: none came. */
  #ask<T>(
    question: Uint8Array,
    waitsMs: readonly number[],
    read: (bytes: Uint8Array) => T | null,
  ): Promise<T | undefined> {
    const { clock, signal, maxTries = waitsMs.length } = this.#tools
    const socket = this.#socket
    if (signal?.aborted === true) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      let cancel = (): void => {}
      const end = (answer: T | undefined): void => {
        cancel()
        signal?.removeEventListener('abort', giveUp)
        socket.onMessage = () => {}
        socket.onError = () => {}
        resolve(answer)
      }
      const giveUp = (): void => end(undefined)
      signal?.addEventListener('abort', giveUp)
      socket.onMessage = (bytes) => {
        const answer = read(bytes)
        if (answer !== null) end(answer)
      }
      // Nobody listens there. What else is wrong on the way, such as a network that is just coming up, may pass.
      socket.onError = (error) => {
        if (errnoOf(error) === 'ECONNREFUSED') giveUp()
      }
      const send = (tries: number): void => {
        if (tries === Math.min(maxTries, waitsMs.length)) giveUp()
        else {
          cancel = clock.after(waitsMs[tries]!, () => send(tries + 1), true)
          socket.send(question)
        }
      }
      send(0)
    })
  }

  #pcpWaits(): number[] {
    // At the end nobody waits for seconds.
    if (this.#tools.maxTries !== undefined) return natPmpWaits()
    return Array.from({ length: PCP_TRIES }, (_, i) => {
      const waitMs = PCP_FIRST_MS * 2 ** i
      return waitMs - waitMs / 10 + below(this.#tools.random, waitMs / 5 + 1)
    })
  }
}

function natPmpWaits(): number[] {
  return Array.from({ length: NAT_PMP_TRIES }, (_, i) => NAT_PMP_FIRST_MS * 2 ** i)
}

function mapped(
  outerPort: number,
  lifetimeS: number,
  outerAddress: string | undefined,
  askedS: number,
): Answer {
  if (askedS > 0 && (outerPort === 0 || lifetimeS === 0)) {
    return { kind: 'refused', problem: 'gave no port', retryMs: REFUSED_MS }
  }
  const boundedS = Math.min(MAX_LIFETIME_S, lifetimeS)
  return { kind: 'mapped', outerPort, lifetimeS: boundedS, outerAddress }
}

function refusedByNatPmp(result: number): Answer {
  return { kind: 'refused', problem: natPmpResultName(result), retryMs: REFUSED_MS }
}
