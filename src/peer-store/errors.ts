/** The errors of the peer store. Peers that are not there are no errors: the calls return false or 0. */
import { errorMaker } from '../base/index.ts'

export const peerStoreErrors = {
  PEER_STORE_INVALID_ADDRESS: 'The address of a peer is neither 4 nor 16 bytes long.',
  PEER_STORE_INVALID_INFO_HASH: 'The info-hash of a swarm is not 20 bytes long.',
  PEER_STORE_DOES_NOT_EXIST:
    'The swarm or the peer that a call of the strict contract is about does not exist.',
  PEER_STORE_LIFETIME_TOO_LONG:
    'The lifetime of peers is longer than the 16 bits of their age can tell apart.',
  PEER_STORE_INVALID_OPTION: 'An option of the peer store is outside its bounds.',
  PEER_STORE_NO_MEMORY: 'The system does not give the address space that the store would reserve.',
  PEER_STORE_FOREIGN_HANDLE:
    'What should be opened is not the memory of a peer store of this version.',
  PEER_STORE_LOCK_LOST:
    'A lock of the peer store does not move: a thread died or was stopped inside a call.',
  PEER_STORE_NOT_EMPTY: 'A snapshot is loaded into a store that has peers.',
  PEER_STORE_SNAPSHOT_FOREIGN: 'The file is not a snapshot of a peer store.',
  PEER_STORE_SNAPSHOT_NEWER: 'The snapshot was written by a newer version.',
  PEER_STORE_SNAPSHOT_TORN: 'The snapshot is incomplete or damaged.',
  PEER_STORE_STOPPED: 'The peer store was used after it had been stopped.',
} as const

export const peerStoreError: ReturnType<typeof errorMaker<typeof peerStoreErrors>> =
  errorMaker(peerStoreErrors)
