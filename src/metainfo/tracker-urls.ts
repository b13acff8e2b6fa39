/** URLs as torrents and magnets carry them, of trackers and of web seeds: kept when they look like one, else ignored. */
import { TRACKER_URL_CHARACTERS_MAX, TRACKERS_MAX, WEB_SEEDS_MAX } from './limits.ts'

/** A scheme and something after it, in printable ASCII. Which schemes are spoken is not decided here. */
export function isTrackerUrl(text: string): boolean {
  return text.length <= TRACKER_URL_CHARACTERS_MAX && /^[a-z][a-z0-9+.-]*:\/\/[!-~]+$/i.test(text)
}

/**
 * The tiers without what is no URL, what was there before, and what is beyond TRACKERS_MAX; a tier that
 * is left empty goes.
 */
export function cleanTiers(tiers: Iterable<Iterable<string | undefined>>): string[][] {
  const seen = new Set<string>()
  const result: string[][] = []
  for (const tier of tiers) {
    const kept: string[] = []
    for (const url of tier) {
      if (url === undefined || seen.has(url) || !isTrackerUrl(url)) continue
      if (seen.size === TRACKERS_MAX) break
      seen.add(url)
      kept.push(url)
    }
    if (kept.length > 0) result.push(kept)
  }
  return result
}

/** Those that a web server may have (BEP 19), each once, at most WEB_SEEDS_MAX. */
export function cleanWebSeeds(texts: Iterable<string | undefined>): string[] {
  const urls = new Set<string>()
  for (const text of texts) {
    if (text !== undefined && /^https?:/i.test(text) && isTrackerUrl(text)) urls.add(text)
    if (urls.size === WEB_SEEDS_MAX) break
  }
  return [...urls]
}
