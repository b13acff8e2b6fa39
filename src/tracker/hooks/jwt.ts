/**
 * `jwt`: announces carry a JSON Web Token in the parameter `jwt`, over UDP in the URL data of BEP 41. Which tokens are taken is
 * jwt-verifier.ts; here their keys are fetched, at the start and again and again.
 */
import type { Clock, Logger } from '../../base/index.ts'
import type { AnnounceRequest } from '../announce-request.ts'
import { trackerError } from '../errors.ts'
import type { Failure } from '../failures.ts'
import type { Hook } from './hook.ts'
import type { HookShare } from './hook-share.ts'
import { type FetchText, parseKeySet, type SigningKey } from './jwk-set.ts'
import { JwtVerifier } from './jwt-verifier.ts'

export interface JwtOptions {
  readonly issuer: string
  readonly audience: string
  readonly jwkSetUrl: string
  readonly updateIntervalMs: number
}

export class JwtApproval implements Hook {
  readonly #options: JwtOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #fetch: FetchText
  #keys: ReadonlyMap<string, SigningKey> = new Map()
  #verifier: JwtVerifier
  #changed = (): void => {}
  #cancel = (): void => {}
  #stopped = false

  constructor(options: JwtOptions, clock: Clock, logger: Logger, fetchText: FetchText) {
    this.#options = options
    this.#clock = clock
    this.#logger = logger
    this.#fetch = fetchText
    this.#verifier = new JwtVerifier(options, this.#keys, clock)
  }

  approve(request: AnnounceRequest): Failure | null {
    return this.#verifier.approve(request)
  }

  share(): HookShare {
    const { issuer, audience } = this.#options
    return { name: 'jwt', claims: { issuer, audience }, keys: this.#keys }
  }

  watch(changed: () => void): void {
    this.#changed = changed
  }

  async start(): Promise<void> {
    try {
      await this.#update()
    } catch (cause) {
      const why = (cause as Error).message
      throw trackerError('TRACKER_JWK_SET', `no keys from ${this.#options.jwkSetUrl}: ${why}`, {
        mend: 'Without keys everybody would be refused: jwk_set_url must answer this host with a JSON Web Key Set.',
        cause,
      })
    }
    this.#updateLater()
  }

  async refresh(): Promise<string | undefined> {
    try {
      await this.#update()
      return undefined
    } catch (error) {
      const { jwkSetUrl } = this.#options
      const { message } = error as Error
      this.#logger.warn(
        { url: jwkSetUrl, error: message },
        'key set not updated: the keys before stay',
      )
      return `no keys from ${jwkSetUrl}: ${message}`
    }
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  async #update(): Promise<void> {
    this.#keys = parseKeySet(await this.#fetch(this.#options.jwkSetUrl))
    this.#verifier = new JwtVerifier(this.#options, this.#keys, this.#clock)
    this.#changed()
  }

  #updateLater(): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.after(this.#options.updateIntervalMs, () => {
      void this.refresh().then(() => this.#updateLater())
    })
  }
}
