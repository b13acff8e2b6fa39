/** What the figures were measured on. */
import { cpus, release, totalmem, type } from 'node:os'

export function machine(): string {
  const processors = cpus()
  const model = processors[0]?.model.trim() ?? 'unknown processor'
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB`
  return `${processors.length} x ${model}, ${memory}, ${type()} ${release()}, Node ${process.versions.node}`
}
