/**
 * Suite `fs`: the filesystem alone, without network and hashing. Fill and random reads on a loop device
 * against dd and fio; mount of many torrents; create and unlink; metadata written for a download; and
 * how the two allocators age. Method: bench/README.md.
 */
import type { Suite } from '../suite.ts'
import { benchAging } from './fs/aging.ts'
import { benchDevice } from './fs/device.ts'
import { benchMetadata } from './fs/metadata.ts'
import { benchMount } from './fs/mount.ts'

export const fs: Suite = {
  name: 'fs',
  about: 'the filesystem alone: fill, random reads, mount, create and unlink, metadata, aging',
  async run(context) {
    await benchDevice(context)
    await benchMount(context)
    await benchMetadata(context)
    await benchAging(context)
  },
}
