/**
 * A thread that digests pieces in memory that it is shown. It loads nothing but what it needs for that: a thread's start is
 * paid by every fast download.
 */
import { parentPort } from 'node:worker_threads'
import type { FromDigestThread, ToDigestThread } from './digest-messages.ts'
import { PieceDigester, type PieceDigests } from './piece-digester.ts'

const memories = new Map<number, SharedArrayBuffer>()
/** Tasks that have not had their last bytes. */
const digesters = new Map<number, PieceDigester>()

parentPort!.on('message', (message: ToDigestThread) => {
  for (const { id, memory } of message.memories) memories.set(id, memory)
  const answers: { task: number; digests?: PieceDigests }[] = []
  for (const { task, recipe, memory, from, length, isLast } of message.jobs) {
    if (length === 0) {
      digesters.delete(task)
      continue
    }
    const digester = recipe === undefined ? digesters.get(task)! : new PieceDigester(recipe)
    digester.update(new Uint8Array(memories.get(memory)!, from, length))
    if (isLast) {
      digesters.delete(task)
      answers.push({ task, digests: digester.digests() })
    } else {
      digesters.set(task, digester)
      answers.push({ task })
    }
  }
  if (answers.length > 0) parentPort!.postMessage({ answers } satisfies FromDigestThread)
})
