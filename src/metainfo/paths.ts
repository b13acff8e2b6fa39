/**
 * Paths of files inside a torrent: what is written to a real folder when a torrent is exported, named
 * by a stranger.
 *
 * Invariants of an accepted path: every component is one plain name, on POSIX and on Windows; no two
 * files share a path; no file is a folder of another. Unsafe names are refused, not repaired: a
 * repaired name may collide, and nobody would find the file where the torrent says it is.
 */
import { metainfoError, quoted } from './errors.ts'
import { PATH_COMPONENT_BYTES_MAX } from './limits.ts'

/** Throws METAINFO_UNSAFE_PATH or METAINFO_TOO_LARGE unless `name` is one plain name. */
export function checkComponent(name: string): void {
  if (name === '' || name === '.' || name === '..') {
    throw metainfoError('METAINFO_UNSAFE_PATH', `${quoted(name)} is not a name of a file`)
  }
  if (/[/\\\0]/.test(name)) {
    throw metainfoError('METAINFO_UNSAFE_PATH', `the name ${quoted(name)} holds a separator or NUL`)
  }
  // A lone half of a surrogate pair has no UTF-8: it would come back as another name.
  if (/\p{Surrogate}/u.test(name)) {
    throw metainfoError('METAINFO_NOT_UTF8', `the name ${quoted(name)} has no UTF-8 form`)
  }
  if (Buffer.byteLength(name, 'utf8') > PATH_COMPONENT_BYTES_MAX) {
    throw metainfoError(
      'METAINFO_TOO_LARGE',
      `the name ${quoted(name)} has more than ${PATH_COMPONENT_BYTES_MAX} bytes`,
    )
  }
}

type Folder = Map<string, Folder | 'file'>

/** The folders and files that a torrent will make; work per path is linear in its components. */
export class PathTree {
  readonly #root: Folder = new Map()

  /** METAINFO_DUPLICATE_PATH when the path is taken, or passes through a file. */
  add(path: readonly string[]): void {
    let folder = this.#root
    for (let i = 0; i < path.length - 1; i++) {
      let next = folder.get(path[i]!)
      if (next === 'file') {
        const taken = path.slice(0, i + 1).join('/')
        throw metainfoError('METAINFO_DUPLICATE_PATH', `${quoted(taken)} is a file and a folder`)
      }
      if (next === undefined) {
        next = new Map()
        folder.set(path[i]!, next)
      }
      folder = next
    }
    const name = path[path.length - 1]!
    const taken = folder.get(name)
    if (taken !== undefined) {
      const what = taken === 'file' ? 'is there twice' : 'is a file and a folder'
      throw metainfoError('METAINFO_DUPLICATE_PATH', `${quoted(path.join('/'))} ${what}`)
    }
    folder.set(name, 'file')
  }
}
