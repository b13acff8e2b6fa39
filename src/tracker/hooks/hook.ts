/**
 * Hooks: what a tracker's owner adds to every announce, in the order of the configuration.
 *
 *     approve   before the store is asked: null, or the reason to refuse
 *     vary      before the answer is written: may change it
 *     observe   after it: may count it
 *
 * Scrapes pass by them, as in chihaya, but for `approveScrape`: who has no key in a private tracker learns nothing of its swarms. Hooks run on the path of every announce, so they answer at once: what they need
 * from files or other hosts they fetch beside. An empty list costs one comparison.
 */
import type { AnnounceAnswer, AnnounceRequest } from '../announce-request.ts'
import type { Failure } from '../failures.ts'
import type { HookShare } from './hook-share.ts'

export interface Hook {
  approve?(request: AnnounceRequest): Failure | null
  /** Of a scrape only what it came with is known: parameters and passkey. */
  approveScrape?(request: AnnounceRequest): Failure | null
  vary?(request: AnnounceRequest, answer: AnnounceAnswer): void
  observe?(request: AnnounceRequest, answer: AnnounceAnswer): void
  /** Gets what it needs; rejects when that cannot be had. */
  start?(): Promise<void>
  /** Gets it anew if it changed. On failure what it had stays, and the failure is logged and resolved to. */
  refresh?(): Promise<string | undefined>
  /** Resolves when what it holds is safe. */
  stop?(): void | Promise<void>
  /**
   * What the front end of another thread needs to answer as this hook does; each such thread has a number. A hook without it works
   * in the main thread only.
   */
  share?(thread: number): HookShare
  /** Has `changed` called whenever `share` would say something else. */
  watch?(changed: () => void): void
}

export class HookList {
  readonly all: readonly Hook[]
  readonly #approving: readonly Required<Pick<Hook, 'approve'>>[]
  readonly #approvingScrapes: readonly Required<Pick<Hook, 'approveScrape'>>[]
  readonly #varying: readonly Required<Pick<Hook, 'vary'>>[]
  readonly #observing: readonly Required<Pick<Hook, 'observe'>>[]

  constructor(hooks: readonly Hook[] = []) {
    this.all = hooks
    this.#approving = hooks.filter(
      (hook): hook is Hook & Required<Pick<Hook, 'approve'>> => hook.approve !== undefined,
    )
    this.#approvingScrapes = hooks.filter(
      (hook): hook is Hook & Required<Pick<Hook, 'approveScrape'>> =>
        hook.approveScrape !== undefined,
    )
    this.#varying = hooks.filter(
      (hook): hook is Hook & Required<Pick<Hook, 'vary'>> => hook.vary !== undefined,
    )
    this.#observing = hooks.filter(
      (hook): hook is Hook & Required<Pick<Hook, 'observe'>> => hook.observe !== undefined,
    )
  }

  /** The reason of the first hook that refuses. */
  approve(request: AnnounceRequest): Failure | null {
    const hooks = this.#approving
    for (let i = 0; i < hooks.length; i++) {
      const failure = hooks[i]!.approve(request)
      if (failure !== null) return failure
    }
    return null
  }

  /** The reason of the first hook that refuses. */
  approveScrape(request: AnnounceRequest): Failure | null {
    const hooks = this.#approvingScrapes
    for (let i = 0; i < hooks.length; i++) {
      const failure = hooks[i]!.approveScrape(request)
      if (failure !== null) return failure
    }
    return null
  }

  finish(request: AnnounceRequest, answer: AnnounceAnswer): void {
    for (let i = 0; i < this.#varying.length; i++) this.#varying[i]!.vary(request, answer)
    for (let i = 0; i < this.#observing.length; i++) this.#observing[i]!.observe(request, answer)
  }

  /** Starts them in order; stops those that were started when one fails. */
  async start(): Promise<void> {
    const started: Hook[] = []
    try {
      for (const hook of this.all) {
        started.push(hook)
        await hook.start?.()
      }
    } catch (error) {
      await Promise.all(started.map((hook) => hook.stop?.()))
      throw error
    }
  }

  /** What another thread needs to answer as these do; undefined when one of them works in the main thread only. */
  share(thread: number): readonly HookShare[] | undefined {
    const shares: HookShare[] = []
    for (const hook of this.all) {
      if (hook.share === undefined) return undefined
      shares.push(hook.share(thread))
    }
    return shares
  }

  watch(changed: () => void): void {
    for (const hook of this.all) hook.watch?.(changed)
  }

  /** What could not be had anew, so that what was before stays. */
  async refresh(): Promise<readonly string[]> {
    const failures = await Promise.all(this.all.map((hook) => hook.refresh?.()))
    return failures.filter((failure) => failure !== undefined)
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((hook) => hook.stop?.()))
  }
}
