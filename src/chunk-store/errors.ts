/** The errors of chunk stores; they reach the caller through callbacks. */
import { type ErrorMaker, errorMaker } from '../base/index.ts'

export const chunkStoreErrors = {
  CHUNK_MISSING: 'The chunk was never put into the store, or was found rotten.',
  CHUNK_RANGE: 'An index, an offset or a length is not one of the store, or a chunk has another.',
  CHUNK_STORE_CLOSED: 'The store was closed or destroyed before the operation.',
  CHUNK_STORE_TORRENT:
    'A volume needs the info dictionary of the torrent, or holds that torrent in another shape.',
} as const

export const chunkStoreError: ErrorMaker<keyof typeof chunkStoreErrors> =
  errorMaker(chunkStoreErrors)
