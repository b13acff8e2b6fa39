/** Events with types: the listener's arguments are those that `Events` names. */
export class Emitter<Events extends { [K in keyof Events]: unknown[] }> {
  /** Lists that are replaced, not changed: most have one entry, and whoever emits may be half through one. */
  #listeners: { [K in keyof Events]?: readonly ((...args: Events[K]) => void)[] } | undefined

  on<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this {
    this.#listeners ??= {}
    this.#listeners[event] = (this.#listeners[event] ?? []).concat(listener)
    return this
  }

  off<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this {
    if (this.#listeners === undefined) return this
    this.#listeners[event] = this.#listeners[event]?.filter((other) => other !== listener)
    return this
  }

  protected emit<K extends keyof Events>(event: K, ...args: Events[K]): void {
    for (const listener of this.#listeners?.[event] ?? []) listener(...args)
  }
}
