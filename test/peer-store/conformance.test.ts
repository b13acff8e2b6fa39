/** One body, two stores: the one in shared memory, by itself and shared, and the model of Maps. */
import { describe, test } from 'node:test'
import { createPeerStore, peerStoreConformance } from '../../src/peer-store/index.ts'
import { MapStore } from './map-store.ts'

for (const shardCountBits of [0, 10]) {
  describe(`shared memory, 2^${shardCountBits} shards`, () => {
    peerStoreConformance({
      test,
      create: ({ clock, random }) => createPeerStore({ clock, random, shardCountBits }),
    })
  })
}

describe('shared memory, opened to other threads: every access locks, or reads and checks', () => {
  peerStoreConformance({
    test,
    create: ({ clock, random }) => {
      const store = createPeerStore({ clock, random, maxMemoryBytes: 64 * 2 ** 20 })
      store.handle()
      return store
    },
  })
})

describe('model of Maps', () => {
  peerStoreConformance({ test, create: ({ clock, random }) => new MapStore(clock, random) })
})
