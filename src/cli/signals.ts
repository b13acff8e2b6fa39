/** The first SIGINT or SIGTERM asks for a clean end, the second ends at once. */
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { errnoOf } from '../base/index.ts'
import type { Output } from './output.ts'

const STDIN = 0

export type StopSignal = 'SIGINT' | 'SIGTERM'

export interface Signals {
  /** Aborted by the first signal, with its name as the reason. */
  readonly signal: AbortSignal
  /** Of the first signal, once there was one. */
  readonly received: StopSignal | undefined
  /** Resolves with the first signal. */
  readonly ended: Promise<void>
  dispose(): void
}

export function catchSignals(): Signals {
  const controller = new AbortController()
  let received: StopSignal | undefined
  const onSignal = (name: StopSignal): void => {
    if (received !== undefined) process.exit(exitStatusOf(name))
    received = name
    controller.abort(name)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const ended = new Promise<void>((resolve) => {
    controller.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  return {
    signal: controller.signal,
    ended,
    get received() {
      return received
    },
    dispose() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}

/**
 * Runs `action` until it is done, or a signal has made it give up (INTERRUPTED): that is told, and becomes the exit
 * status. Other errors are thrown on.
 */
export async function untilInterrupted(
  output: Output,
  action: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const signals = catchSignals()
  try {
    await action(signals.signal)
  } catch (error) {
    if (errnoOf(error) !== 'INTERRUPTED' || signals.received === undefined) throw error
    output.error(error)
    process.exitCode = exitStatusOf(signals.received)
  } finally {
    signals.dispose()
  }
}

/**
 * Answers a signal that is a request, not an end; the result stops answering. A SIGHUP because the terminal went away ends the
 * process, as SIGTERM would: what was started there and by hand is not to stay behind unseen.
 */
export function onSignal(name: 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2', action: () => void): () => void {
  // Windows has none of them as a request.
  if (process.platform === 'win32') return () => {}
  const hadTerminal = isatty(STDIN)
  const listener = (): void => {
    // One that hung up is none any more.
    if (name === 'SIGHUP' && hadTerminal && !isatty(STDIN)) process.kill(process.pid, 'SIGTERM')
    else action()
  }
  process.on(name, listener)
  return () => {
    process.off(name, listener)
  }
}

/** 128 and the signal's number, as a shell reports it. */
export function exitStatusOf(name: StopSignal): number {
  return 128 + constants.signals[name]
}
