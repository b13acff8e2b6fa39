/**
 * HTTPS announces: `node tls-load.js OPTIONS`, OPTIONS in JSON. Connections that ask, read the whole answer and ask again, or ask once each on a
 * new connection with a full handshake: TLS 1.3, X25519, AES-256-GCM, no tickets used. Prints a TlsLoadResult as JSON.
 */
import { connect, type TLSSocket } from 'node:tls'
import { cpuSecondsOf } from './cpu-seconds.ts'
import { announceRequests, fillRequests } from './http-requests.ts'

export interface TlsLoadOptions {
  readonly port: number
  /** Whose CPU time is read. */
  readonly pid: number
  readonly connections: number
  readonly keep: boolean
  readonly swarms: number
  /** Peers that are announced to each swarm, once, before; 0 for none. */
  readonly fill: number
  readonly wanted: number
  readonly warmAnswers: number
  readonly measureAnswers: number
}

export interface TlsLoadResult {
  readonly answers: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly ownCpuSeconds: number
  readonly bodyBytes: number
}

/** A server that is slow is measured as it is. */
const MOST_MS = 20_000
const LOOK_MS = 50

const heard = { answers: 0, bodyBytes: 0 }

function open(port: number): TLSSocket {
  return connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_256_GCM_SHA384',
    ecdhCurve: 'X25519',
  })
}

/** Resolves when the answer is whole. */
function ask(socket: TLSSocket, request: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const hear = (chunk: Buffer): void => {
      answer += chunk.toString('latin1')
      const end = answer.indexOf('\r\n\r\n')
      if (end < 0) return
      const bodyBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(answer)?.[1])
      if (answer.length < end + 4 + bodyBytes) return
      if (!answer.startsWith('HTTP/1.1 200')) reject(new Error(answer))
      heard.answers++
      heard.bodyBytes += bodyBytes
      socket.off('data', hear)
      socket.off('error', reject)
      resolve()
    }
    socket.on('data', hear)
    socket.on('error', reject)
    socket.write(request)
  })
}

/** All of `requests`, by so many connections. */
async function all(options: TlsLoadOptions, requests: readonly Buffer[]): Promise<void> {
  const queue = requests.values()
  const one = async (): Promise<void> => {
    const socket = open(options.port)
    for (const request of queue) await ask(socket, request)
    socket.destroy()
  }
  await Promise.all(Array.from({ length: options.connections }, one))
}

/** For ever. */
async function again(
  options: TlsLoadOptions,
  requests: readonly Buffer[],
  n: number,
): Promise<void> {
  let socket = open(options.port)
  for (let at = n; ; at++) {
    await ask(socket, requests[at % requests.length]!)
    if (options.keep) continue
    socket.destroy()
    socket = open(options.port)
  }
}

async function until(answers: number): Promise<void> {
  const begunMs = performance.now()
  while (heard.answers < answers && performance.now() - begunMs < MOST_MS) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

async function main(options: TlsLoadOptions): Promise<TlsLoadResult> {
  const { connections, swarms, wanted, keep, pid } = options
  if (options.fill > 0) await all(options, fillRequests(swarms, options.fill))
  const requests = announceRequests({ count: swarms, keepAlive: keep, wanted })
  const failed = new Promise<never>((_, reject) => {
    for (let n = 0; n < connections; n++) again(options, requests, n).catch(reject)
  })
  const snapshot = () => ({
    ...heard,
    atMs: performance.now(),
    cpu: cpuSecondsOf(pid).all,
    own: process.cpuUsage(),
  })
  const measure = async (): Promise<TlsLoadResult> => {
    await until(heard.answers + options.warmAnswers)
    const before = snapshot()
    await until(heard.answers + options.measureAnswers)
    const after = snapshot()
    const answers = after.answers - before.answers
    return {
      answers,
      seconds: (after.atMs - before.atMs) / 1000,
      cpuSeconds: after.cpu - before.cpu,
      ownCpuSeconds:
        (after.own.user + after.own.system - before.own.user - before.own.system) / 1e6,
      bodyBytes: (after.bodyBytes - before.bodyBytes) / Math.max(1, answers),
    }
  }
  return Promise.race([failed, measure()])
}

console.log(JSON.stringify(await main(JSON.parse(process.argv[2]!) as TlsLoadOptions)))
process.exit(0)
