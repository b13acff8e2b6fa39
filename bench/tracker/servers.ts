/**
 * The trackers that are measured: each a process of its own, pinned to the first processor, on a port of 127.0.0.1. The load is
 * pinned to the last.
 */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const REPOSITORY: string = fileURLToPath(new URL('../../..', import.meta.url))
const SEEDBED: string = join(REPOSITORY, 'dist/src/cli/launch.cjs')
const START_MS = 60_000

export const SERVER_CPU = 0
export const LOAD_CPU: number = cpus().length - 1

/** Peers that an announce asks for. */
export const WANTED = 30

export interface RunningServer {
  readonly pid: number
  readonly port: number
  /** Resident memory now, in bytes. */
  residentBytes(): number
  stop(): Promise<void>
}

/** A contender, or why it cannot run here. */
export interface Contender {
  readonly name: string
  /** With its version. */
  readonly title: string
  start(): Promise<RunningServer>
}

export interface Absent {
  readonly name: string
  readonly title: string
  readonly absent: string
}

export function isAbsent(contender: Contender | Absent): contender is Absent {
  return 'absent' in contender
}

/** Runs a load, pinned to its processor, to its end: what it measured is the JSON that it prints, taken as a `T`. */
export async function runLoad<T>(
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<T> {
  const { stdout } = await promisify(execFile)('taskset', ['-c', String(LOAD_CPU), ...command], {
    env: { ...process.env, ...environment },
  })
  return JSON.parse(stdout) as T
}

/** Starts a program that prints a line when it is ready, or accepts connections; pinned to `processors`, as taskset takes them. */
export async function startServer(
  command: readonly string[],
  port: number,
  ready: 'line' | 'connects' | 'waits',
  processors: string = String(SERVER_CPU),
): Promise<RunningServer> {
  const child = spawn('taskset', ['-c', processors, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  const hear = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-2000)
  }
  child.stderr.on('data', hear)
  const failed = once(child, 'exit').then(() => {
    throw new Error(`${command.join(' ').slice(0, 200)} ended: ${said}`)
  })
  failed.catch(() => {})
  await Promise.race([isReady(child, port, ready, hear), failed])
  return {
    pid: child.pid!,
    port,
    residentBytes: () => residentBytesOf(child.pid!),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(timer)
    },
  }
}

async function isReady(
  child: ChildProcess,
  port: number,
  ready: 'line' | 'connects' | 'waits',
  hear: (chunk: Buffer) => void,
): Promise<void> {
  if (ready === 'line') {
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    hear(line)
    child.stdout!.on('data', hear)
    return
  }
  child.stdout!.on('data', hear)
  if (ready === 'waits') {
    await new Promise((resolve) => setTimeout(resolve, 1500))
    return
  }
  const deadline = performance.now() + START_MS
  for (;;) {
    const tried = spawnSync('bash', ['-c', `exec 3<>/dev/tcp/127.0.0.1/${port}`])
    if (tried.status === 0) return
    if (performance.now() > deadline) throw new Error(`nobody listens on port ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

export function residentBytesOf(pid: number): number {
  const [, kibibytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kibibytes) * 1024
}

/** One that is free now, for both protocols. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

export interface SeedbedOptions {
  readonly frontEnd: 'fast' | 'portable'
  readonly workers?: number
  readonly protocol: 'udp' | 'http' | 'https' | 'ws'
  readonly processors?: string
  /** For https. */
  readonly tls?: CertificateFiles
}

/** `seedbed tracker` by a configuration, for one protocol. */
export function seedbed(directory: string, name: string, options: SeedbedOptions): Contender {
  const { frontEnd, workers = 1, protocol, processors, tls = { cert: '', key: '' } } = options
  return {
    name,
    title: name,
    async start() {
      const port = await freePort()
      const config = join(directory, `${name}.yaml`)
      // WebSocket comes by HTTP.
      const listens = protocol === 'ws' ? 'http' : protocol
      const address = (wanted: string): string =>
        listens === wanted ? `"127.0.0.1:${port}"` : '""'
      writeFileSync(
        config,
        `tracker:
  front_end: ${frontEnd}
  workers: ${workers}
  announce_interval: 1h
  http: {addr: ${address('http')}, https_addr: ${address('https')}, tls_cert_path: "${tls.cert}", tls_key_path: "${tls.key}", max_connections: 100000}
  udp: {addr: ${address('udp')}}
  websocket: {messages_per_second: 10000, message_burst: 100000, max_connections_per_address: 100000}
  storage: {config: {peer_lifetime: 12h}}
`,
      )
      const command = [process.execPath, SEEDBED, 'tracker', '--config', config]
      return startServer(command, port, 'line', processors)
    },
  }
}

/** Debian's opentracker tracks what is on a list: `whitelist` has an info-hash a line. */
export function opentracker(directory: string, whitelist: () => string): Contender | Absent {
  const title = 'opentracker'
  const found = spawnSync('opentracker', ['-h'])
  if (found.error !== undefined)
    return { name: title, title, absent: 'opentracker is not installed' }
  const [, version] = /Version: (\S+)/.exec(packageFacts('opentracker')) ?? []
  return {
    name: title,
    title: version === undefined ? title : `opentracker ${version}`,
    async start() {
      const port = await freePort()
      const root = join(directory, `opentracker-${port}`)
      mkdirSync(root, { mode: 0o755 })
      writeFileSync(join(root, 'list'), whitelist())
      const address = ['-i', '127.0.0.1', '-p', String(port), '-P', String(port)]
      // Without a configuration it drops privileges to `nobody` where it has any.
      const command = ['opentracker', ...address, '-d', root, '-w', 'list']
      return startServer(command, port, 'connects')
    },
  }
}

function packageFacts(name: string): string {
  return spawnSync('dpkg', ['-s', name], { encoding: 'utf8' }).stdout ?? ''
}

/** The tracker of WebTorrent, installed into `directory` when it is asked for. */
export function bittorrentTracker(
  directory: string,
  protocol: 'udp' | 'http' | 'ws',
): Contender | Absent {
  const title = 'bittorrent-tracker'
  const root = join(directory, 'bittorrent-tracker')
  if (!existsSync(join(root, 'node_modules'))) {
    cpSync(join(REPOSITORY, 'bench/peers/bittorrent-tracker'), root, { recursive: true })
    const installed = spawnSync(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'],
      { cwd: root, encoding: 'utf8' },
    )
    if (installed.status !== 0) {
      return { name: title, title, absent: 'bittorrent-tracker cannot be installed from npm' }
    }
  }
  const { version } = JSON.parse(
    readFileSync(join(root, 'node_modules/bittorrent-tracker/package.json'), 'utf8'),
  ) as { version: string }
  return {
    name: title,
    title: `bittorrent-tracker ${version}`,
    async start() {
      const port = await freePort()
      const program = join(root, 'serve.mjs')
      const command = [
        process.execPath,
        '--max-old-space-size=8192',
        program,
        protocol,
        String(port),
      ]
      return startServer(command, port, 'line')
    },
  }
}

/** Compiles a C program of this folder; undefined where there is no compiler. */
export function compile(directory: string, name: string): string | undefined {
  const program = join(directory, name)
  if (existsSync(program)) return program
  const source = join(REPOSITORY, 'bench/tracker', `${name}.c`)
  try {
    execFileSync('gcc', ['-O2', '-pthread', '-o', program, source], { stdio: 'pipe' })
    return program
  } catch {
    return undefined
  }
}
