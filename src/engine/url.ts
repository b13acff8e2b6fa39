/** Announce URLs, whose path and query stand for raw bytes: no parser may tidy them up. */

/**
 * Path and query of `url` as they stand in it, beginning with `/`, without the fragment. Only what no
 * request line may hold is escaped: node refuses it.
 */
export function rawPath(url: string): string {
  const path = /^[^:]*:\/\/[^/?#]*([^#]*)/.exec(url.trim())?.[1] ?? ''
  const escaped = path.replace(/[^\x21-\x7e]/gu, encodeURIComponent)
  return escaped.startsWith('/') ? escaped : `/${escaped}`
}

/** Scheme and host, for messages and logs: the rest of an announce URL is often a secret. */
export function originOf(url: string): string {
  return /^[^:]*:\/\/[^/?#]*/.exec(url.trim())?.[0].replace(/\/\/.*@/, '//') ?? 'an unreadable URL'
}
