/** From the hooks of a configuration to hooks that run. */
import type { Clock, Logger, Random } from '../../base/index.ts'
import type { HookConfig } from '../config/hook-settings.ts'
import { Accounting } from './accounting.ts'
import { ClientApproval } from './client-approval.ts'
import { type Hook, HookList } from './hook.ts'
import { IntervalVariation } from './interval-variation.ts'
import { type FetchText, fetchText } from './jwk-set.ts'
import { JwtApproval } from './jwt.ts'
import { PasskeyApproval } from './passkey.ts'
import { TorrentApproval } from './torrent-approval.ts'

export interface HookTools {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Default: over the network. */
  readonly fetchText?: FetchText
}

export function makeHooks(configs: readonly HookConfig[], tools: HookTools): HookList {
  return new HookList(configs.map((config) => makeHook(config, tools)))
}

function makeHook(config: HookConfig, { clock, random, logger, ...tools }: HookTools): Hook {
  switch (config.name) {
    case 'jwt':
      return new JwtApproval(config.options, clock, logger, tools.fetchText ?? fetchText)
    case 'client approval':
      return new ClientApproval(config.options)
    case 'torrent approval':
      return new TorrentApproval(config.options, clock, logger)
    case 'passkey':
      return new PasskeyApproval(config.options, clock, logger)
    case 'accounting':
      return new Accounting(config.options, clock, random, logger)
    case 'interval variation':
      return new IntervalVariation(config.options, random)
  }
}
