/**
 * One parameter of a query, for those who want more than the announce itself (hooks). Names in any case, the last of equals counts, `+` is a
 * space. Allocates, so not for the path of every request.
 */
import { toLatin1 } from '../base/index.ts'

/** The unescaped value, one character a byte; null when there is none, or it is escaped wrongly. */
export function findParameter(
  bytes: Uint8Array,
  start: number,
  end: number,
  name: string,
): string | null {
  let found: string | null = null
  for (const part of toLatin1(bytes.subarray(start, end)).split(/[&;]/)) {
    const equals = part.indexOf('=')
    const key = unescaped(equals < 0 ? part : part.slice(0, equals))
    if (key?.toLowerCase() === name) found = equals < 0 ? '' : part.slice(equals + 1)
  }
  return found === null ? null : unescaped(found)
}

function unescaped(text: string): string | null {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return null
  return text
    .replaceAll('+', ' ')
    .replaceAll(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
