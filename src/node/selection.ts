/**
 * Which files of a torrent are wanted, by glob patterns: `*` and `?` within a name, `**` across folders. A
 * pattern without a slash is for names in any folder; others are for paths below the torrent's name.
 */
import { priorities as levels, type Priority } from '../engine/index.ts'
import type { TorrentInfo } from '../metainfo/index.ts'
import { nodeError } from './errors.ts'

/** The priority of each file: normal where a pattern matches, skip elsewhere. NODE_NO_FILES when none does. */
export function selectFiles(info: TorrentInfo, patterns: readonly string[]): Priority[] {
  const globs = patterns.map(globOf)
  const selected = info.files.map((file) => {
    const path = file.path.join('/')
    const wanted = !file.padding && globs.some((glob) => glob(path))
    return wanted ? levels.normal : levels.skip
  })
  if (info.files.some((file, at) => selected[at] !== levels.skip && file.bytes > 0)) return selected
  throw nodeError('NODE_NO_FILES', `no file of ${info.name} matches ${patterns.join(' ')}`, {
    mend: '`seedbed info` lists the files of a torrent that is there.',
  })
}

/** Tells whether a path, its parts joined by slashes, matches. */
export function globOf(pattern: string): (path: string) => boolean {
  const parts = pattern.split(/(\*\*\/|\*\*|\*|\?)/)
  const source = parts.map((part) => GLOB[part] ?? part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  const expression = new RegExp(`^${source.join('')}$`, 'su')
  if (pattern.includes('/')) return (path) => expression.test(path)
  return (path) => expression.test(path.slice(path.lastIndexOf('/') + 1))
}

const GLOB: Readonly<Record<string, string>> = {
  '**/': '(?:.*/)?',
  '**': '.*',
  '*': '[^/]*',
  '?': '[^/]',
}
