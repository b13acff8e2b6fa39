/**
 * Remembers which sources became which torrents, so that `up PATH` after a restart need not read PATH
 * again. Only a hint: it is believed when the volume holds the torrent whole and every file still has
 * the size, time and i-node number it had; losing it costs one more import.
 *
 *   imports.json: { "version": 1, "imports": { "<absolute path>": { infoHash, fingerprint } } }
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fromHex, toHex } from '../base/index.ts'
import type { TorrentFormat } from '../metainfo/index.ts'
import type { Source } from './source.ts'
import { writeFileAtomically } from './torrent-files.ts'

const VERSION = 1
const INFO_HASH = /^[0-9a-f]{40}$/

interface ImportRecord {
  readonly infoHash: string
  readonly fingerprint: string
}

export class ImportRecords {
  readonly #path: string
  readonly #records: Map<string, ImportRecord>

  private constructor(path: string, records: Map<string, ImportRecord>) {
    this.#path = path
    this.#records = records
  }

  /** A file that is missing or not ours is an empty record. */
  static async load(path: string): Promise<ImportRecords> {
    const records = new Map<string, ImportRecord>()
    try {
      const parsed: unknown = JSON.parse(await readFile(path, 'utf8'))
      for (const [root, record] of importsIn(parsed)) records.set(root, record)
    } catch {
      // Missing or damaged: the sources are imported again.
    }
    return new ImportRecords(path, records)
  }

  /** The info-hash that `source` had when it was imported in that format, if nothing changed since. */
  find(source: Source, format: TorrentFormat): Uint8Array | undefined {
    const record = this.#records.get(source.root)
    if (record === undefined || record.fingerprint !== fingerprint(source, format)) return undefined
    return fromHex(record.infoHash) ?? undefined
  }

  async remember(source: Source, format: TorrentFormat, infoHash: Uint8Array): Promise<void> {
    this.#records.set(source.root, {
      infoHash: toHex(infoHash),
      fingerprint: fingerprint(source, format),
    })
    const document = { version: VERSION, imports: Object.fromEntries(this.#records) }
    await writeFileAtomically(this.#path, Buffer.from(`${JSON.stringify(document, null, 2)}\n`))
  }
}

function* importsIn(parsed: unknown): Generator<[string, ImportRecord]> {
  if (typeof parsed !== 'object' || parsed === null) return
  if (!('version' in parsed) || parsed.version !== VERSION || !('imports' in parsed)) return
  if (typeof parsed.imports !== 'object' || parsed.imports === null) return
  for (const [root, record] of Object.entries(parsed.imports)) {
    const { infoHash, fingerprint: print } = (record ?? {}) as Partial<ImportRecord>
    if (typeof infoHash === 'string' && INFO_HASH.test(infoHash) && typeof print === 'string') {
      yield [root, { infoHash, fingerprint: print }]
    }
  }
}

function fingerprint(source: Source, format: TorrentFormat): string {
  const hash = createHash('sha256').update(`${format}\n`)
  const lines = source.entries.map(
    (entry) =>
      `${entry.path.join('/')}\0${entry.bytes}\0${entry.modifiedMs}\0${entry.inode}\0${entry.executable}\n`,
  )
  for (const line of lines.sort()) hash.update(line)
  return hash.digest('hex')
}
