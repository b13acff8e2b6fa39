/** Prints what a node tells: the object itself with --json, the same as text for people. */
import type { NodeEvent } from '../node/index.ts'
import { formatBytes, formatName } from './format.ts'
import type { Output } from './output.ts'

export function printEvent(output: Output, event: NodeEvent): void {
  if (output.json) {
    output.object(event)
    return
  }
  switch (event.event) {
    case 'ready': {
      for (const url of event.tracker?.urls ?? []) output.text(`tracker  ${url}`)
      output.text(`peers    port ${event.peerPort}`)
      const made = event.created ? 'new, ' : ''
      const count = `${event.torrents} torrent${event.torrents === 1 ? '' : 's'}`
      output.text(
        `storage  ${event.device} (${made}${count}, ${formatBytes(event.freeBytes)} free)`,
      )
      break
    }
    case 'shared':
      output.text(
        `shared   ${formatName(event.name)} (${formatBytes(event.bytes)}${event.known ? ', known' : ''})`,
      )
      output.text(`         ${event.magnet}`)
      output.text(`         ${formatName(event.torrentFile)}`)
      break
    case 'skipped':
      output.text(`skipped  ${formatName(event.path)}: ${event.reason}`)
      break
    case 'added':
      output.text(`added    ${formatName(event.name ?? event.infoHash)}`)
      break
    case 'metadata':
      output.text(`metadata ${formatName(event.name)} (${formatBytes(event.bytes)})`)
      break
    case 'progress':
      if (event.phase === 'download') {
        output.progress(
          `download ${formatName(event.name ?? event.infoHash)}`,
          event.bytes,
          event.totalBytes,
          formatBytes,
          `${event.peers} peer${event.peers === 1 ? '' : 's'}`,
        )
      } else if (event.phase === 'check') {
        output.progress(`check ${formatName(event.name)}`, event.bytes, event.totalBytes)
      } else {
        output.progress(`${event.phase} ${formatName(event.path)}`, event.bytes, event.totalBytes)
      }
      break
    case 'complete':
      output.text(
        `complete ${formatName(event.name)} (${formatBytes(event.bytes)}) in ${formatName(event.path)}`,
      )
      break
    case 'failed':
      output.text(`failed   ${event.infoHash}: ${event.message} [${event.code}]`)
      break
    case 'stopping':
      output.text(`stopping on ${event.signal}; a second signal ends at once`)
      break
    case 'stopped':
      output.text('stopped')
      break
  }
}
