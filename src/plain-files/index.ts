/** Torrents as ordinary files in a folder. */
export { plainFileErrors } from './errors.ts'
export { openPlainFolder, PlainFolder, type PlainFolderOptions } from './folder.ts'
