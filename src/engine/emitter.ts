/** Events with types: the listener's arguments are those that `Events` names. */
export class Emitter<Events extends { [K in keyof Events]: unknown[] }> {
  readonly #listeners: { [K in keyof Events]?: Set<(...args: Events[K]) => void> } = {}

  on<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this {
    const set = this.#listeners[event] ?? new Set()
    this.#listeners[event] = set
    set.add(listener)
    return this
  }

  off<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this {
    this.#listeners[event]?.delete(listener)
    return this
  }

  protected emit<K extends keyof Events>(event: K, ...args: Events[K]): void {
    for (const listener of [...(this.#listeners[event] ?? [])]) listener(...args)
  }
}
