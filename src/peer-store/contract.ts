/**
 * The strict form of the contract, as chihaya states it: what does not exist is an error.
 *
 * The hot interface returns false or 0, because on a tracker "not there" is an ordinary answer and an error costs
 * microseconds. This form is for callers and tests that want chihaya's semantics to the letter.
 */
import { peerStoreError } from './errors.ts'
import type { AddressFamily, PeerStore, SwarmCounts } from './types.ts'

export interface StrictPeerStore {
  putSeeder(infoHash: Uint8Array, address: Uint8Array, port: number): void
  putLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void
  /** Throws PEER_STORE_DOES_NOT_EXIST. */
  deleteSeeder(infoHash: Uint8Array, address: Uint8Array, port: number): void
  /** Throws PEER_STORE_DOES_NOT_EXIST. */
  deleteLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void
  graduateLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void
  /** Compact peers. Throws PEER_STORE_DOES_NOT_EXIST for an info-hash without peers of either family. */
  announcePeers(
    infoHash: Uint8Array,
    seeder: boolean,
    wanted: number,
    address: Uint8Array,
    port: number,
  ): Uint8Array
  scrapeSwarm(infoHash: Uint8Array, family: AddressFamily): SwarmCounts
  stop(): void
}

export function contractOf(store: PeerStore): StrictPeerStore {
  const mustExist = (exists: boolean, what: string): void => {
    if (!exists) throw peerStoreError('PEER_STORE_DOES_NOT_EXIST', `${what} does not exist`)
  }
  const scrapeSwarm = (infoHash: Uint8Array, family: AddressFamily): SwarmCounts => {
    const counts = { seeders: 0, leechers: 0, completed: 0 }
    store.scrapeSwarm(infoHash, family, counts)
    return counts
  }
  return {
    putSeeder: (infoHash, address, port) => store.putSeeder(infoHash, address, port),
    putLeecher: (infoHash, address, port) => store.putLeecher(infoHash, address, port),
    deleteSeeder: (infoHash, address, port) =>
      mustExist(store.deleteSeeder(infoHash, address, port), 'the seeder'),
    deleteLeecher: (infoHash, address, port) =>
      mustExist(store.deleteLeecher(infoHash, address, port), 'the leecher'),
    graduateLeecher: (infoHash, address, port) => store.graduateLeecher(infoHash, address, port),
    announcePeers(infoHash, seeder, wanted, address, port) {
      const most = [4, 6].reduce((peers, family) => {
        const { seeders, leechers } = scrapeSwarm(infoHash, family === 4 ? 4 : 6)
        return peers + seeders + leechers
      }, 0)
      const target = new Uint8Array(Math.min(wanted, most) * 18)
      const count = store.announcePeers(infoHash, seeder, wanted, address, port, target, 0)
      mustExist(most > 0, 'the swarm')
      const isIpv4 = address.length === 4 || (count > 0 && isMapped(address))
      return target.subarray(0, count * (isIpv4 ? 6 : 18))
    },
    scrapeSwarm,
    stop: () => store.stop(),
  }
}

function isMapped(address: Uint8Array): boolean {
  return address.every((byte, i) => (i < 10 ? byte === 0 : i < 12 ? byte === 0xff : true))
}
