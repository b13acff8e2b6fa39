/** Opening the sockets of a tracker: both protocols on one port of some addresses, or each where it is told. */
import { errnoOf, type Logger, type SeedbedError } from '../base/index.ts'
import type { Endpoint } from './config/fields.ts'
import { trackerError } from './errors.ts'
import type { ListenOptions, Place } from './options.ts'

/** Port 0: the system's choice for the first socket may be taken for the others. */
const PORT_ATTEMPTS = 20

/**
 * Whoever opens sockets, or takes the one that was handed in as descriptor `fd` and has that address and port: `listen` resolves to
 * the port, or rejects with an error whose code is the errno's name.
 */
export interface Listener {
  listen(address: string, port: number, secure?: boolean, fd?: number): Promise<number>
}

export interface Servers {
  readonly udp: Listener
  readonly http: Listener
  close(): Promise<void>
}

export interface Listening<S extends Servers> {
  readonly servers: S
  readonly http: readonly Endpoint[]
  readonly https?: readonly Endpoint[]
  readonly udp: readonly Endpoint[]
}

/** One port for both protocols on all of `bind`. */
export async function listenOnOnePort<S extends Servers>(
  makeServers: () => S,
  bind: readonly string[],
  port: number,
  logger: Logger,
): Promise<Listening<S>> {
  for (let attempt = 1; ; attempt++) {
    const servers = makeServers()
    try {
      return { servers, ...(await listenOnAll(servers, bind, port, logger)) }
    } catch (error) {
      await servers.close()
      const taken = (error as Partial<SeedbedError>).code === 'TRACKER_PORT_TAKEN'
      if (!taken || port !== 0 || attempt === PORT_ATTEMPTS) throw error
    }
  }
}

async function listenOnAll(
  servers: Servers,
  bind: readonly string[],
  wantedPort: number,
  logger: Logger,
): Promise<{ http: readonly Endpoint[]; udp: readonly Endpoint[] }> {
  const found: Endpoint[] = []
  let port = wantedPort
  let missing: SeedbedError | undefined
  for (const address of bind) {
    try {
      port = await servers.http.listen(address, port)
    } catch (error) {
      // A host without IPv6 is no reason not to serve IPv4.
      if (address !== '::' || !isFamilyMissing(error))
        throw listenError('TCP', address, port, error)
      missing = listenError('TCP', address, port, error)
      continue
    }
    try {
      await servers.udp.listen(address, port)
    } catch (error) {
      throw listenError('UDP', address, port, error)
    }
    found.push({ address, port })
  }
  if (found.length === 0) throw missing
  if (missing !== undefined) logger.warn({ address: '::' }, 'this host has no IPv6: not served')
  return { http: found, udp: found }
}

/** Each protocol where it is told. */
export async function listenWhereTold<S extends Servers>(
  makeServers: () => S,
  listen: ListenOptions,
  logger: Logger,
): Promise<Listening<S>> {
  const servers = makeServers()
  try {
    const http = await listenOne('TCP', servers.http, listen.http, logger)
    const secure = {
      listen: (address: string, port: number, _secure?: boolean, fd?: number) =>
        servers.http.listen(address, port, true, fd),
    }
    const https = await listenOne('TCP', secure, listen.https ?? [], logger)
    const udp = await listenOne('UDP', servers.udp, listen.udp, logger)
    return { servers, http, https, udp }
  } catch (error) {
    await servers.close()
    throw error
  }
}

/** Endpoints of one protocol, with the ports that were given. IPv6 may be missing where IPv4 is wanted too. */
export async function listenOne(
  protocol: 'TCP' | 'UDP',
  server: Listener,
  endpoints: readonly Place[],
  logger: Logger,
): Promise<readonly Endpoint[]> {
  const found: Endpoint[] = []
  for (const { address, port, fd } of endpoints) {
    try {
      found.push({ address, port: await server.listen(address, port, false, fd) })
    } catch (error) {
      const another = endpoints.some((other) => !other.address.includes(':'))
      const optional = (address === '::' || address === '::1') && another
      if (!optional || !isFamilyMissing(error)) throw listenError(protocol, address, port, error)
      logger.warn({ address }, 'this host has no IPv6: not served')
    }
  }
  return found
}

function isFamilyMissing(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === 'EAFNOSUPPORT' || errno === 'EADDRNOTAVAIL'
}

export function listenError(
  protocol: 'TCP' | 'UDP',
  address: string,
  port: number,
  cause: unknown,
): SeedbedError {
  const errno = errnoOf(cause) ?? String(cause)
  const where = `${protocol} ${address.includes(':') ? `[${address}]` : address}:${port}`
  if (errno === 'EADDRINUSE') {
    return trackerError('TRACKER_PORT_TAKEN', `${where} is taken by another process`, {
      mend: 'Stop that process, or choose another port (--tracker-port N, or addr in the configuration).',
      cause,
    })
  }
  const mend =
    errno === 'EACCES'
      ? 'Ports below 1024 need privileges: choose another (--tracker-port N, or addr in the configuration).'
      : 'Choose an address of this host.'
  return trackerError('TRACKER_LISTEN_FAILED', `cannot listen on ${where}: ${errno}`, {
    mend,
    cause,
  })
}
