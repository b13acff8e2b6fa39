/**
 * Listening for peers over node:net: several addresses, one port.
 *
 * Invariant: either all addresses listen or none does, but for an IPv6 wildcard on a machine that has
 * no IPv6, which is left out as long as another address is there.
 */
import { type AddressInfo, createServer, isIPv6, type Server } from 'node:net'
import { errnoOf, type Logger, SeedbedError } from '../base/index.ts'
import { engineError } from './errors.ts'
import type { PeerListener, PeerSocket } from './network.ts'
import { KEEP_ALIVE_DELAY_MS, NodePeerSocket, plainAddress } from './node-socket.ts'

/** Port 0: a port that is free on the first address may be taken on the next. */
const MAX_PORT_TRIES = 16

export async function listenOnAll(
  addresses: readonly string[],
  port: number,
  accept: (socket: PeerSocket) => void,
  logger: Logger,
): Promise<PeerListener> {
  for (let tries = 1; ; tries++) {
    const servers: Server[] = []
    try {
      await openAll(servers, addresses, port, accept, logger)
      return { port: portOf(servers[0]!), close: async () => closeAll(servers) }
    } catch (error) {
      closeAll(servers)
      const unlucky =
        port === 0 && error instanceof SeedbedError && error.code === 'ENGINE_PORT_TAKEN'
      if (!unlucky || tries === MAX_PORT_TRIES) throw error
    }
  }
}

/** Opens a server for each address into `servers`; what is open when it fails is the caller's to close. */
async function openAll(
  servers: Server[],
  addresses: readonly string[],
  port: number,
  accept: (socket: PeerSocket) => void,
  logger: Logger,
): Promise<void> {
  let missing: unknown = engineError('ENGINE_LISTEN_FAILED', 'there is no address to listen on')
  for (const address of addresses) {
    const chosen = servers.length > 0 ? portOf(servers[0]!) : port
    try {
      servers.push(await open(address, chosen, accept, logger))
    } catch (cause) {
      const error = listenError(cause, address, chosen)
      if (!hasNoIPv6(address, cause)) throw error
      logger.info({ address }, 'this machine has no IPv6: no peer is awaited there')
      missing = error
    }
  }
  if (servers.length === 0) throw missing
}

function open(
  host: string,
  port: number,
  accept: (socket: PeerSocket) => void,
  logger: Logger,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    })
    server.on('connection', (socket) => {
      // Undefined when the peer has left already.
      const { remoteAddress, remotePort } = socket
      if (remoteAddress === undefined || remotePort === undefined) {
        socket.destroy()
        return
      }
      const peer = new NodePeerSocket(socket, plainAddress(remoteAddress), remotePort)
      peer.read()
      accept(peer)
    })
    server.once('error', reject)
    server.listen({ host, port, ipv6Only: true }, () => {
      server.off('error', reject)
      server.on('error', (error) => logger.warn({ error, host }, 'could not accept a peer'))
      resolve(server)
    })
  })
}

/** Closes what listens, at once; connections that were accepted live on. */
function closeAll(servers: readonly Server[]): void {
  for (const server of servers) server.close()
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

/** Whether opening `address` failed because the machine has no IPv6. */
export function hasNoIPv6(address: string, error: unknown): boolean {
  const errno = errnoOf(error)
  if (!isIPv6(address)) return false
  return errno === 'EAFNOSUPPORT' || (errno === 'EADDRNOTAVAIL' && address === '::')
}

/** What opening an address for peers or datagrams failed with, told in our words. */
export function listenError(cause: unknown, address: string, port: number): SeedbedError {
  switch (errnoOf(cause)) {
    case 'EADDRINUSE':
      return engineError('ENGINE_PORT_TAKEN', `port ${port} on ${address} is in use`, {
        mend: 'Stop the program that uses it, or choose another port with `--peer-port N`.',
        cause,
      })
    case 'EACCES':
      return engineError('ENGINE_LISTEN_FAILED', `port ${port} on ${address} is not allowed`, {
        mend: 'Choose a port above 1023 with `--peer-port N`.',
        cause,
      })
    case 'EADDRNOTAVAIL':
      return engineError('ENGINE_LISTEN_FAILED', `${address} is no address of this machine`, {
        mend: 'Listen on an address that this machine has, or on `0.0.0.0` and `::`.',
        cause,
      })
    default:
      return engineError('ENGINE_LISTEN_FAILED', `cannot listen on port ${port} of ${address}`, {
        cause,
      })
  }
}
