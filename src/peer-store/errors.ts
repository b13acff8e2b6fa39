/** The errors of the peer store. Peers that are not there are no errors: the calls return false or 0. */
import { errorMaker } from '../base/index.ts'

export const peerStoreErrors = {
  PEER_STORE_INVALID_ADDRESS: 'The address of a peer is neither 4 nor 16 bytes long.',
  PEER_STORE_INVALID_INFO_HASH: 'The info-hash of a swarm is not 20 bytes long.',
  PEER_STORE_LIFETIME_TOO_LONG:
    'The lifetime of peers is longer than the 16 bits of their age can tell apart.',
  PEER_STORE_INVALID_OPTION: 'An option of the peer store is outside its bounds.',
  PEER_STORE_STOPPED: 'The peer store was used after it had been stopped.',
} as const

export const peerStoreError: ReturnType<typeof errorMaker<typeof peerStoreErrors>> =
  errorMaker(peerStoreErrors)
