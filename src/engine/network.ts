/**
 * The network as a dependency: TCP streams to peers, UDP and HTTP to trackers. The engine decides over
 * these interfaces only, so a simulation can hand in its own.
 */

/** `web`: no connection to a peer, but what stands for a web server. */
export type Transport = 'tcp' | 'utp' | 'web'

export interface PeerSocket {
  readonly transport: Transport
  readonly remoteAddress: string
  readonly remotePort: number
  /** Set before the first byte can arrive. The bytes are the receiver's, also to change, only during the call. */
  onData: (bytes: Uint8Array) => void
  /** Once, for whatever reason. */
  onClose: (error: Error | undefined) => void
  /** All that was written has left: more may be written. */
  onDrain: () => void
  /** False when the bytes had to be queued: wait for `onDrain`. The bytes may not change until they left. */
  write(bytes: Uint8Array): boolean
  /** Writes until `uncork` leave together. */
  cork(): void
  uncork(): void
  pause(): void
  resume(): void
  destroy(): void
}

export interface PeerListener {
  readonly port: number
  close(): Promise<void>
}

export interface DatagramSocket {
  onMessage: (bytes: Uint8Array) => void
  /** The system reported the other side as unreachable. The socket stays open: the report may be stale. */
  onError: (error: Error) => void
  send(bytes: Uint8Array): void
  close(): void
}

/** A datagram socket that anybody may send to. */
export interface OpenDatagramSocket {
  readonly port: number
  /** The bytes are the receiver's only during the call; the host is an address in its canonical form. */
  onMessage: (bytes: Uint8Array, host: string, port: number) => void
  /** All datagrams that have arrived together were delivered: time for what is said once for all of them. */
  onQuiet: () => void
  /** Datagrams that the system has not taken yet: while there are any, no bytes that were sent may change. */
  readonly backlog: number
  /** What cannot be sent is lost, as on the way. */
  send(bytes: Uint8Array, host: string, port: number): void
  close(): void
}

/** A group of everybody on the local networks who wants to hear. */
export interface MulticastSocket {
  /** Also of what we send. The bytes are the receiver's only during the call; the host as in OpenDatagramSocket. */
  onMessage: (bytes: Uint8Array, host: string) => void
  /** To the group, once on each network; to none beyond a router. */
  send(bytes: Uint8Array): void
  close(): void
}

export interface ResolvedAddress {
  readonly address: string
  readonly family: 4 | 6
}

/** A router that may be asked to let in what is for us. */
export interface Gateway {
  readonly family: 4 | 6
  /** With a zone where it is link-local. */
  readonly address: string
  /** Ours, towards it. */
  readonly local: string
}

export interface FoundGateways {
  readonly gateways: readonly Gateway[]
  /** Why there is none. */
  readonly lack: string | undefined
}

export interface HttpAnswer {
  readonly status: number
  readonly body: Uint8Array
}

export interface Network {
  connect(host: string, port: number): PeerSocket & { onConnect: () => void }
  /** Rejects with ENGINE_PORT_TAKEN or ENGINE_LISTEN_FAILED. Every address listens on one port. */
  listen(
    addresses: readonly string[],
    port: number,
    accept: (socket: PeerSocket) => void,
  ): Promise<PeerListener>
  /** Every address of a host name, or the address itself. Rejects with ENGINE_RESOLVE_FAILED. */
  resolve(host: string): Promise<readonly ResolvedAddress[]>
  /**
   * A datagram socket to one resolved address, from this one of ours if it is named; what others send to it, from another
   * address or port, is not delivered.
   */
  datagram(host: string, port: number, from?: string): Promise<DatagramSocket>
  /**
   * The gateways of this machine that may be asked to map what is listened on at `bind`: those of private networks, or the one
   * that is named. Never rejects.
   */
  gateways(bind: readonly string[], named?: string): Promise<FoundGateways>
  /**
   * A datagram socket on an address and a port of ours. Rejects with ENGINE_PORT_TAKEN, ENGINE_LISTEN_FAILED, and with
   * ENGINE_NO_FAMILY when the machine has no IPv6.
   */
  openDatagram(address: string, port: number): Promise<OpenDatagramSocket>
  /**
   * Joins a multicast group on the interfaces with one of these addresses of its family, or, for a wildcard, on all that
   * lead outside. Rejects with ENGINE_LISTEN_FAILED, ENGINE_PORT_TAKEN, and with ENGINE_NO_FAMILY when there is none.
   */
  openMulticast(group: string, port: number, bind: readonly string[]): Promise<MulticastSocket>
  /**
   * GET with a bound on time and on the answer's size; redirects are followed, a few. The path and
   * query leave exactly as given (`info_hash=%12%AB…`). `family` forces the address family.
   * Rejects with ENGINE_HTTP_FAILED.
   */
  httpGet(
    url: string,
    options: {
      readonly timeoutMs: number
      readonly maxBytes: number
      readonly family?: 4 | 6
      /** Ask for this part only; whether it came is for the caller to see: by status 206, and the size. */
      readonly range?: { readonly offset: number; readonly bytes: number }
      readonly signal?: AbortSignal
    },
  ): Promise<HttpAnswer>
}
