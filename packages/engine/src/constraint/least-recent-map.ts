/**
 * A map by text that forgets what was used longest ago.
 */
export class LeastRecentMap<Value> {
  readonly #capacity: number;
  readonly #forget: (value: Value) => void;
  readonly #values = new Map<string, Value>();

  /** @param forget Called with what has to go. */
  constructor(capacity: number, forget: (value: Value) => void = () => undefined) {
    this.#capacity = capacity;
    this.#forget = forget;
  }

  get(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, value);
    return value;
  }

  set(key: string, value: Value): void {
    this.#values.set(key, value);
    for (const [oldest, dropped] of this.#values) {
      if (this.#values.size <= this.#capacity) return;
      this.#values.delete(oldest);
      this.#forget(dropped);
    }
  }
}
