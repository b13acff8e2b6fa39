/** Prints what a node tells: the object itself with --json, the same as text for people. */
import type { DeviceRoom, NodeEvent } from '../node/index.ts'
import { formatBytes, formatDuration, formatName } from './format.ts'
import type { Output } from './output.ts'
import { describeScrub } from './scrub-report.ts'

export function printEvent(output: Output, event: NodeEvent): void {
  if (output.json) {
    output.object(event)
    return
  }
  switch (event.event) {
    case 'ready': {
      for (const url of event.tracker?.urls ?? []) output.text(`tracker  ${url}`)
      output.text(`peers    port ${event.peerPort}`)
      if (event.devices.length > 1) {
        for (const room of event.devices) {
          output.text(`storage  ${room.device} ${describeRoom(room)}`)
        }
        break
      }
      const made = event.created ? 'new, ' : ''
      output.text(
        `storage  ${event.device} (${made}${counted(event.torrents)}, ${formatBytes(event.freeBytes)} free)`,
      )
      break
    }
    case 'device':
      if ('code' in event) {
        output.notice(`device ${event.device} ${event.state}: ${event.message} [${event.code}]`)
      } else {
        output.text(`storage  ${event.device} ${describeRoom(event)}`)
      }
      break
    case 'access-log':
      output.text(`log      ${event.device}: ${event.on ? 'to' : 'ended,'} ${event.path}`)
      break
    case 'scrubbed':
      if (event.rottenPieces.length + event.unsteadyPieces.length > 0) {
        output.text(describeScrub(event.name, event, 'downloaded again from whoever has them'))
      }
      break
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
    case 'resumed':
      output.text(`resumed  ${formatName(event.name)}`)
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
          Math.min(event.bytes, event.wantedBytes),
          event.wantedBytes,
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
    case 'failed': {
      const { retryMs } = event
      const again = retryMs === null ? '' : `; tried again in ${formatDuration(retryMs / 1000)}`
      output.text(`failed   ${event.infoHash}: ${event.message} [${event.code}]${again}`)
      break
    }
    case 'status':
      // For machines: people are told of what concerns them.
      break
    case 'port-mapping':
      output.text(`mapping  ${describeMapping(event)}`)
      break
    case 'stopping':
      output.text(`stopping on ${event.signal}; a second signal ends at once`)
      break
    case 'stopped':
      output.text('stopped')
      break
  }
}

function describeRoom({ torrents, freeBytes, totalBytes }: DeviceRoom): string {
  return `(${counted(torrents)}, ${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free)`
}

/** One line; a NAT beyond the router is what people have to know of. */
function describeMapping(event: Extract<NodeEvent, { event: 'port-mapping' }>): string {
  const { gateway, protocol, state, innerPort, outerAddress, outerTcpPort, outerUdpPort } = event
  if (state === 'silent') {
    return `${gateway} ${event.problem}: port ${innerPort} has to be forwarded there by hand`
  }
  const by = `${gateway} (${protocol === 'pcp' ? 'PCP' : 'NAT-PMP'})`
  if (state !== 'mapped') return `${by} refuses port ${innerPort}: ${event.problem}`
  const host = outerAddress?.includes(':') ? `[${outerAddress}]` : (outerAddress ?? '')
  const udp = outerUdpPort === null || outerUdpPort === outerTcpPort ? '' : `, UDP ${outerUdpPort}`
  const beyond = event.isPublic ? '' : ', which is behind another NAT'
  return `${host}:${outerTcpPort}${udp} by ${by}${beyond}`
}

const counted = (torrents: number): string => `${torrents} torrent${torrents === 1 ? '' : 's'}`
