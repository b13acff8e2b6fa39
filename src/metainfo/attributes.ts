/** What a file of a torrent says of itself besides its path (BEP 3, BEP 47); the same in v1 and v2. */
import { asText, type BencodeDictionary, getList, getText } from '../bencode/index.ts'
import { metainfoError } from './errors.ts'
import { PATH_COMPONENTS_MAX } from './limits.ts'
import { checkComponent } from './paths.ts'

export interface FileAttributes {
  readonly padding: boolean
  readonly executable: { readonly executable?: true }
  readonly hidden: { readonly hidden?: true }
}

/** `attr` is a set of letters; unknown ones mean nothing. */
export function readAttributes(entry: BencodeDictionary): FileAttributes {
  const letters = getText(entry, 'attr') ?? ''
  return {
    padding: letters.includes('p'),
    executable: letters.includes('x') ? { executable: true } : {},
    hidden: letters.includes('h') ? { hidden: true } : {},
  }
}

/**
 * Where a symbolic link leads: components below the torrent's name, none of them a step upwards, so that
 * it cannot lead outside. Undefined: the file is no link.
 */
export function readSymlink(entry: BencodeDictionary): readonly string[] | undefined {
  if (!(getText(entry, 'attr') ?? '').includes('l')) return undefined
  const components = getList(entry, 'symlink path')
  if (components === undefined || components.length === 0) {
    throw metainfoError('METAINFO_SYMLINK', 'a symbolic link leads nowhere')
  }
  if (components.length > PATH_COMPONENTS_MAX) {
    throw metainfoError('METAINFO_TOO_LARGE', `a link of ${components.length} components`)
  }
  return components.map((component) => {
    const name = asText(component)
    if (name === undefined) throw metainfoError('METAINFO_SYMLINK', 'a symbolic link is not UTF-8')
    try {
      checkComponent(name)
    } catch (cause) {
      throw metainfoError('METAINFO_SYMLINK', 'a symbolic link leads outside of the torrent', {
        cause,
      })
    }
    return name
  })
}

export function readLength(entry: BencodeDictionary): number {
  const value = entry.get('length')
  if (typeof value === 'bigint' && value > 0n) {
    throw metainfoError('METAINFO_TOO_LARGE', `a file of ${value} bytes is more than 2^53 - 1`)
  }
  if (typeof value !== 'number' || value < 0) {
    throw metainfoError('METAINFO_BAD_INFO', 'a file has no length, or a negative one')
  }
  return value
}
