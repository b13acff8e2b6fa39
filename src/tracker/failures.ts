/**
 * What clients are told when a request is refused: worded as chihaya words it, so that whoever greps
 * for these texts finds them. They are fixed texts, never parts of a request, so they serve as labels of counters.
 */
export const failures = {
  invalidEscape: 'invalid query escape',
  invalidInfoHash: 'provided invalid infohash',
  invalidEvent: 'failed to provide valid client event',
  noInfoHash: 'no info_hash parameter supplied',
  manyInfoHashes: 'multiple info_hash parameters supplied',
  noPeerId: 'failed to parse parameter: peer_id',
  invalidPeerId: 'failed to provide valid peer_id',
  left: 'failed to parse parameter: left',
  downloaded: 'failed to parse parameter: downloaded',
  uploaded: 'failed to parse parameter: uploaded',
  numWant: 'failed to parse parameter: numwant',
  port: 'failed to parse parameter: port',
  address: 'failed to parse peer IP address',
  invalidPort: 'invalid port',
  badConnectionId: 'bad connection ID',
  unknownAction: 'unknown action ID',
  malformedPacket: 'malformed packet',
  malformedEvent: 'malformed event ID',
  missingJwt: 'unapproved request: missing jwt',
  invalidJwt: 'unapproved request: invalid jwt',
  unapprovedClient: 'unapproved client',
  unapprovedTorrent: 'unapproved torrent',
  missingPasskey: 'unapproved request: missing passkey',
  invalidPasskey: 'unapproved request: invalid passkey',
  tooMany: 'too many requests',
  malformedMessage: 'malformed message',
  toPeerId: 'failed to provide valid to_peer_id',
  offerId: 'failed to provide valid offer_id',
  peerIdTaken: 'peer_id is taken by another connection',
  notInSwarm: 'answer from outside of the swarm',
  full: 'no room for more peers',
} as const

export type Failure = (typeof failures)[keyof typeof failures]
