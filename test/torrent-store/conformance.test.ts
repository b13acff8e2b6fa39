/** Volumes and folders of ordinary files owe the same. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { seededRandom, systemClock } from '../../src/base/index.ts'
import { openFileDevice } from '../../src/block-device/index.ts'
import { formatVolume, mountVolume } from '../../src/filesystem/index.ts'
import { openPlainFolder, type PlainFolder } from '../../src/plain-files/index.ts'
import { torrentStoreConformance } from '../../src/torrent-store/index.ts'
import { oddTorrent } from './torrent.ts'

const clock = systemClock
const info = oddTorrent

describe('a folder of ordinary files', () => {
  torrentStoreConformance({
    test,
    info,
    async place() {
      const root = mkdtempSync(join(tmpdir(), 'seedbed-folder-'))
      return {
        open: () => openPlainFolder(root, { clock, blockBytes: 256 * 1024 }),
        async crash(store) {
          await (store as PlainFolder).abandon()
        },
        async discard() {
          rmSync(root, { recursive: true, force: true })
        },
      }
    },
  })
})

describe('a volume in an image file', () => {
  torrentStoreConformance({
    test,
    info,
    async place() {
      const root = mkdtempSync(join(tmpdir(), 'seedbed-volume-'))
      const path = join(root, 'image')
      const random = seededRandom(1)
      const device = await openFileDevice(path, { create: { bytes: 64 * 2 ** 20 } })
      await formatVolume(device, { clock, random, blockBytes: 256 * 1024 })
      await device.close()
      let current: Awaited<ReturnType<typeof openFileDevice>> | undefined
      return {
        async open() {
          const opened = await openFileDevice(path, { exclusive: true })
          current = opened
          return mountVolume(opened, { clock, random })
        },
        async crash() {
          await current?.close()
        },
        async discard() {
          rmSync(root, { recursive: true, force: true })
        },
      }
    },
  })
})
