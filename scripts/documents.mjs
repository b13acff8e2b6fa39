// Writes the documents that are rendered from the code.
import { writeFileSync } from 'node:fs'
import { DOCUMENTS } from '../dist/test/house/documents.js'

for (const [path, render] of Object.entries(DOCUMENTS)) {
  writeFileSync(new URL(`../${path}`, import.meta.url), render())
  console.log(path)
}
