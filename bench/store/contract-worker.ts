/** One of two threads of a benchmark of the contract: waits for the start, runs, and says so. */
import { parentPort, workerData } from 'node:worker_threads'
import { openPeerStore, type PeerStoreHandle } from '../../src/peer-store/index.ts'
import { benchData, contractBenches, timeBench } from './contract.ts'

const { handle, control, name, number, operations } = workerData as {
  readonly handle: PeerStoreHandle
  readonly control: SharedArrayBuffer
  readonly name: string
  readonly number: number
  readonly operations: number
}
const bench = contractBenches.find((candidate) => candidate.name === name)!
const data = benchData()
const store = openPeerStore(handle)
// As chihaya's: thread k of n begins at k * 1000 / n.
timeBench(bench, store, data, number * 500, operations / 4)
parentPort!.postMessage(0)
Atomics.wait(new Int32Array(control), 0, 0)
timeBench(bench, store, data, number * 500, operations)
parentPort!.postMessage(1)
