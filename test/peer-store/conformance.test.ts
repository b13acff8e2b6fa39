/** One body, two stores: the typed arrays and the model of Maps. */
import { describe, test } from 'node:test'
import { createPeerStore, peerStoreConformance } from '../../src/peer-store/index.ts'
import { MapStore } from './map-store.ts'

for (const shardCountBits of [0, 10]) {
  describe(`typed arrays, 2^${shardCountBits} shards`, () => {
    peerStoreConformance({
      test,
      create: ({ clock, random }) => createPeerStore({ clock, random, shardCountBits }),
    })
  })
}

describe('model of Maps', () => {
  peerStoreConformance({ test, create: ({ clock, random }) => new MapStore(clock, random) })
})
