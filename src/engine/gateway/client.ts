/**
 * One gateway, asked to send the peer port of one address of ours to us, for as long as we are there: by PCP, or by NAT-PMP where it
 * does not speak that.
 *
 * ```
 * round: PCP, unless it is known to speak NAT-PMP  --no such version, no answer--> NAT-PMP (IPv4 alone)
 *        TCP, then UDP; both again when its clock tells meanwhile that it has begun anew
 * then   mapped   wait for half the lifetime or a little more, then another round; unanswered: half of what is left, and so on
 *        refused  wait for as long as it says, or a quarter of an hour
 *        silent   wait five minutes, twice as long each time, at most an hour
 * ```
 *
 * Invariants:
 * - Between rounds there is no socket.
 * - Nothing that is answered or announced makes us ask more often than every MIN_WAIT_MS.
 * - After `stop` has settled there is no timer and no socket, and the gateway was told to forget what it had mapped.
 */
import { below, type Clock, type Logger, type Random } from '../../base/index.ts'
import { isLocal } from '../local-address.ts'
import type { DatagramSocket, Gateway, Network } from '../network.ts'
import { type Answer, Conversation, type ConversationTools } from './conversation.ts'
import { Epoch } from './epoch.ts'
import { NONCE_BYTES } from './pcp.ts'
import { type GatewayStatus, type Protocol, TransportNumber } from './types.ts'

/** Of gateways, for both protocols. */
export const GATEWAY_PORT = 5351
/** Asked for; a gateway that lost it without a word is asked again after half of it. */
const LIFETIME_S = 3600
const MIN_WAIT_MS = 10_000
/** After an answer for one of two transports. */
const HALF_DONE_MS = 30_000
const FIRST_SILENCE_MS = 5 * 60_000
const MAX_SILENCE_MS = 60 * 60_000
/** At the end nobody waits long: 750 ms for each transport, and 250 ms for who never answered. */
const RELEASE_TRIES = 2

export interface ClientTools {
  readonly network: Pick<Network, 'datagram'>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Where we listen. */
  readonly port: number
  readonly transports: readonly TransportNumber[]
  onChange(status: GatewayStatus): void
  /** It has begun anew, and was asked again. */
  onAnew(): void
}

interface Mapping {
  readonly transport: TransportNumber
  readonly nonce: Uint8Array
  readonly innerPort: number
  /** What is suggested: at first the inner one, then what the gateway gave. */
  outerPort: number
  expiresMs: number
  /** The gateway may have it, whether its answer was heard or not. */
  isAsked: boolean
}

export class GatewayClient {
  readonly gateway: Gateway
  readonly #tools: ClientTools
  readonly #mappings: readonly Mapping[]
  readonly #epoch = new Epoch()
  readonly #ended = new AbortController()
  /** By which it has answered. */
  #protocol: Protocol | undefined
  /** Spoken last. */
  #tried: Protocol = 'pcp'
  #outerAddress: string | undefined
  #state: GatewayStatus['state'] = 'asking'
  #problem: string | undefined
  #silenceMs = FIRST_SILENCE_MS
  #roundMs = Number.NEGATIVE_INFINITY
  /** It has begun anew since we began to ask. */
  #isAnew = false
  #told = ''
  #wake: () => void = () => {}
  #running: Promise<void> | undefined

  constructor(gateway: Gateway, tools: ClientTools) {
    const { port: innerPort, random } = tools
    this.gateway = gateway
    this.#tools = tools
    this.#mappings = tools.transports.map((transport) => {
      const nonce = new Uint8Array(NONCE_BYTES)
      random.fill(nonce)
      const expiresMs = Number.NEGATIVE_INFINITY
      return { transport, nonce, innerPort, outerPort: innerPort, expiresMs, isAsked: false }
    })
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Takes back what is mapped, and waits a little for the gateway's word. */
  async stop(): Promise<void> {
    this.#ended.abort()
    this.#wake()
    await this.#running
    const isToRelease = this.#mappings.some(({ isAsked }) => isAsked) && this.#state !== 'silent'
    if (isToRelease) await this.#withSocket((socket) => this.#release(socket))
  }

  /** It told everybody what its clock shows. */
  announced(protocol: Protocol, epochS: number): void {
    // Only what it answers moves our picture of it: this may be anybody's.
    const isNews =
      this.#protocol === undefined
        ? this.#state === 'silent'
        : this.#protocol === protocol && !this.#epoch.fits(protocol, epochS, this.#nowMs)
    if (isNews) this.ask()
  }

  /** Asks it before its time, because what it maps may be gone. */
  ask(): void {
    if (this.#nowMs - this.#roundMs >= MIN_WAIT_MS) this.#wake()
  }

  status(): GatewayStatus {
    const portOf = (number: TransportNumber): number | null => {
      const mapping = this.#mappings.find(({ transport }) => transport === number)
      return mapping !== undefined && this.#isMapped(mapping) ? mapping.outerPort : null
    }
    return {
      gateway: this.gateway.address,
      innerAddress: this.gateway.local,
      innerPort: this.#tools.port,
      protocol: this.#protocol ?? null,
      state: this.#state,
      outerAddress: this.#outerAddress ?? null,
      isPublic: this.#outerAddress !== undefined && !isLocal(this.#outerAddress),
      outerTcpPort: portOf(TransportNumber.tcp),
      outerUdpPort: portOf(TransportNumber.udp),
      problem: this.#problem ?? null,
    }
  }

  get #nowMs(): number {
    return this.#tools.clock.monotonicMs()
  }

  get #isOver(): boolean {
    return this.#ended.signal.aborted
  }

  #isMapped({ expiresMs }: Mapping): boolean {
    return expiresMs > this.#nowMs
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const waitMs = (await this.#withSocket((socket) => this.#round(socket))) ?? this.#silent()
      if (!this.#isOver) this.#tell()
      if (!this.#isOver) await this.#sleep(Math.max(MIN_WAIT_MS, waitMs))
    }
  }

  /** Undefined when there is no way to the gateway right now. */
  async #withSocket<T>(action: (socket: DatagramSocket) => Promise<T>): Promise<T | undefined> {
    const { network, logger } = this.#tools
    const { address, local } = this.gateway
    let socket: DatagramSocket
    try {
      socket = await network.datagram(address, GATEWAY_PORT, local)
    } catch (error) {
      logger.info({ err: error, gateway: address }, 'no way to the gateway')
      return undefined
    }
    try {
      return await action(socket)
    } finally {
      socket.close()
    }
  }

  #converse(socket: DatagramSocket, more: Partial<ConversationTools>): Conversation {
    const { clock, random } = this.#tools
    const onEpoch = (protocol: Protocol, epochS: number): void => {
      if (!this.#epoch.fits(protocol, epochS, this.#nowMs)) this.#isAnew = true
      this.#epoch.heard(epochS, this.#nowMs)
    }
    return new Conversation(socket, { clock, random, local: this.gateway.local, onEpoch, ...more })
  }

  /** Asks for all mappings; resolves with the time until it is to be asked again. */
  async #round(socket: DatagramSocket): Promise<number> {
    const conversation = this.#converse(socket, { signal: this.#ended.signal })
    this.#roundMs = this.#nowMs
    for (const protocol of this.#protocols()) {
      this.#isAnew = false
      let answers = await this.#mapAll(protocol, conversation)
      if (this.#isAnew) {
        this.#tools.logger.info({ gateway: this.gateway.address }, 'the gateway has begun anew')
        // What it had mapped before its clock was seen to be another is gone, too.
        answers = await this.#mapAll(protocol, conversation)
        this.#tools.onAnew()
      }
      if (this.#isOver) return 0
      if (answers.every(({ kind }) => kind === 'silent' || kind === 'version')) continue
      this.#protocol = protocol
      this.#silenceMs = FIRST_SILENCE_MS
      this.#judge(answers)
      return Math.min(...answers.map((answer) => this.#waitOf(answer)))
    }
    return this.#silent()
  }

  #protocols(): readonly Protocol[] {
    if (this.#protocol !== undefined) return [this.#protocol]
    return this.gateway.family === 4 ? ['pcp', 'nat-pmp'] : ['pcp']
  }

  /** One after the other, until one is not answered. */
  async #mapAll(protocol: Protocol, conversation: Conversation): Promise<Answer[]> {
    this.#tried = protocol
    if (protocol === 'nat-pmp') {
      const said = await conversation.askAddress()
      if (typeof said !== 'string') return [said]
      this.#outerAddress = said
    }
    const answers: Answer[] = []
    const first = this.#mappings[0]!
    for (const mapping of this.#mappings) {
      // The same number for both, where that is to be had: others take it for granted.
      if (!this.#isMapped(mapping)) mapping.outerPort = first.outerPort
      mapping.isAsked = true
      const answer = await conversation.map(protocol, { ...mapping, lifetimeS: LIFETIME_S })
      answers.push(answer)
      if (answer.kind === 'silent' || answer.kind === 'version') break
      this.#take(mapping, answer)
    }
    return answers
  }

  #take(mapping: Mapping, answer: Answer): void {
    mapping.isAsked = answer.kind === 'mapped'
    if (answer.kind === 'mapped') {
      mapping.outerPort = answer.outerPort
      mapping.expiresMs = this.#nowMs + answer.lifetimeS * 1000
      this.#outerAddress = answer.outerAddress ?? this.#outerAddress
    } else {
      mapping.expiresMs = Number.NEGATIVE_INFINITY
    }
  }

  #judge(answers: readonly Answer[]): void {
    const refusal = answers.find((answer) => answer.kind === 'refused')
    this.#problem = refusal?.problem
    this.#state = answers[0]!.kind === 'mapped' ? 'mapped' : 'refused'
  }

  #waitOf(answer: Answer): number {
    if (answer.kind === 'refused') return answer.retryMs
    if (answer.kind !== 'mapped') return HALF_DONE_MS
    const halfMs = answer.lifetimeS * 500
    // All of a house would come at the same moment after the power was back.
    return halfMs + below(this.#tools.random, Math.floor(halfMs / 4) + 1)
  }

  /** Nothing was answered: what is mapped lives on until its end. */
  #silent(): number {
    const leftMs = Math.max(0, ...this.#mappings.map(({ expiresMs }) => expiresMs - this.#nowMs))
    if (leftMs > 0) return leftMs / 2 > MIN_WAIT_MS ? leftMs / 2 : leftMs
    const { family } = this.gateway
    this.#state = 'silent'
    this.#protocol = undefined
    this.#outerAddress = undefined
    this.#problem = family === 4 ? 'answers neither PCP nor NAT-PMP' : 'does not answer PCP'
    this.#epoch.forget()
    const waitMs = this.#silenceMs
    this.#silenceMs = Math.min(MAX_SILENCE_MS, 2 * this.#silenceMs)
    return waitMs
  }

  async #release(socket: DatagramSocket): Promise<void> {
    const maxTries = this.#protocol === undefined ? 1 : RELEASE_TRIES
    const conversation = this.#converse(socket, { maxTries })
    for (const mapping of this.#mappings) {
      if (!mapping.isAsked) continue
      const { kind } = await conversation.map(this.#tried, { ...mapping, lifetimeS: 0 })
      if (kind === 'silent') return
    }
  }

  #sleep(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#tools.clock.after(waitMs, () => this.#wake(), true)
      this.#wake = () => {
        cancel()
        this.#wake = () => {}
        resolve()
      }
    })
  }

  #tell(): void {
    const status = this.status()
    const text = JSON.stringify(status)
    if (text === this.#told) return
    this.#told = text
    this.#tools.onChange(status)
  }
}
