/** What scrubs found, for people. */
import type { ScrubReport } from '../node/index.ts'
import { formatBytes, formatName } from './format.ts'

/** Of pieces, for people; --json has them all. */
const SHOWN_MAX = 20

/** One torrent; `after` says what becomes of pieces that were cleared. */
export function describeScrub(name: string, report: ScrubReport, after: string): string {
  const { checkedPieces, checkedBytes, rottenPieces, unreadablePieces, unsteadyPieces } = report
  const lines = [
    `${formatName(name)}: ${checkedPieces} pieces (${formatBytes(checkedBytes)}), ${rottenPieces.length} rotten`,
  ]
  if (rottenPieces.length > 0) {
    const unreadable = unreadablePieces.length
    const detail = unreadable === 0 ? '' : `, ${unreadable} of them unreadable`
    lines.push(`  rotten: ${shown(rottenPieces)}${detail}`)
    lines.push(report.cleared ? `  not offered any more; ${after}` : '  left as they are')
  }
  if (unsteadyPieces.length > 0) {
    lines.push(`  right only when read again (cable, memory?): ${shown(unsteadyPieces)}`)
  }
  return lines.join('\n')
}

function shown(pieces: readonly number[]): string {
  const more = pieces.length - SHOWN_MAX
  const list = pieces.slice(0, SHOWN_MAX).join(', ')
  return more > 0 ? `${list} and ${more} more` : list
}
