/** The table of what peers did with each other, which a test prints at its end. */
import { after } from 'node:test'

export class Rows {
  readonly #rows: string[][]
  readonly #columns: number

  /** To be made at the top of a test file. */
  constructor(...header: readonly string[]) {
    this.#columns = header.length
    this.#rows = [[...header], header.map(() => '---')]
    after(() => {
      if (this.#rows.length === 2) return
      console.log(this.#rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n'))
    })
  }

  add(...cells: readonly string[]): void {
    if (cells.length !== this.#columns) throw new Error(`a row of ${this.#columns} cells is wanted`)
    this.#rows.push([...cells])
  }
}
