/**
 * Which files of a torrent are wanted, by glob patterns: `*` and `?` within a name, `**` across folders. A
 * pattern without a slash is for names in any folder; others are for paths below the torrent's name. Or by their places
 * in the torrent, as a magnet link says it (BEP 53): counted from 0, filler that is listed included.
 */
import { priorities as levels, type Priority } from '../engine/index.ts'
import type { TorrentInfo } from '../metainfo/index.ts'
import { nodeError } from './errors.ts'

/** Patterns, and ranges of places with both ends included. */
export type Selection = readonly (string | readonly [first: number, last: number])[]

/** The priority of each file: normal where something of `selection` is meant, skip elsewhere. NODE_NO_FILES when nothing is. */
export function selectFiles(info: TorrentInfo, selection: Selection): Priority[] {
  const globs: ((path: string) => boolean)[] = []
  const ranges: (readonly [number, number])[] = []
  for (const part of selection) {
    if (typeof part === 'string') globs.push(globOf(part))
    else ranges.push(part)
  }
  let place = -1
  const selected = info.files.map((file) => {
    // The filler of v2 is between the files of its tree, and listed nowhere.
    if (!file.padding || info.format !== 'v2') place++
    if (file.padding) return levels.skip
    const path = file.path.join('/')
    const wanted =
      ranges.some(([first, last]) => first <= place && place <= last) ||
      globs.some((glob) => glob(path))
    return wanted ? levels.normal : levels.skip
  })
  if (info.files.some((file, at) => selected[at] !== levels.skip && file.bytes > 0)) return selected
  const what = selection.map((part) => (typeof part === 'string' ? part : part.join('-'))).join(' ')
  throw nodeError('NODE_NO_FILES', `no file of ${info.name} matches ${what}`, {
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
