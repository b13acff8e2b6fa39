/** Loop devices, for tests and benchmarks that want a real block device. Linux, root, losetup. */
import { execFileSync } from 'node:child_process'

export interface Loop {
  readonly path: string
  readonly image: string
  detach(): void
}

/** A block device over the file `image`; undefined where that cannot be had. */
export function attachLoop(image: string, sectorBytes = 512): Loop | undefined {
  if (process.getuid?.() !== 0) return undefined
  try {
    const args = ['-f', '--show', '--direct-io=on', `--sector-size=${sectorBytes}`, image]
    const path = execFileSync('losetup', args, { encoding: 'utf8', stdio: 'pipe' }).trim()
    return { path, image, detach: () => void execFileSync('losetup', ['-d', path]) }
  } catch {
    return undefined
  }
}
