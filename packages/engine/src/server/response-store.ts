/**
 * The latest responses, kept in memory so that later requests can name them and their items.
 */

import type { EventLog } from './event-log.ts';

/** An item with its id, in the API's own shape. */
export interface StoredItem {
  readonly id: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A response and the conversation that it ends. */
export interface StoredResponse {
  readonly id: string;
  /** As the API shows it. */
  readonly response: object;
  /** The whole conversation before the output: what the request resolved to. */
  readonly input: readonly StoredItem[];
  readonly output: readonly StoredItem[];
}

/** How much is kept. */
export interface StoreBounds {
  /** Responses. */
  readonly responses: number;
  /** Characters of their JSON and their events', all together. A response that has more by itself is not kept. */
  readonly characters: number;
}

interface Kept {
  readonly json: string;
  readonly items: readonly string[];
  /** The events that it was streamed as, whole; null where they are not kept. */
  readonly log: EventLog | null;
  readonly characters: number;
}

/** Keeps responses as JSON, so that what they take is known. The oldest go first; one that is stored again is new. */
export class ResponseStore {
  readonly #bounds: StoreBounds;
  readonly #texts = new Map<string, Kept>();
  /** Which responses have an item. */
  readonly #owners = new Map<string, Set<string>>();
  #characters = 0;

  constructor(bounds: StoreBounds) {
    this.#bounds = bounds;
  }

  /** How many responses are kept. */
  get size(): number {
    return this.#texts.size;
  }

  /** Whether nothing is ever kept. */
  get isClosed(): boolean {
    return this.#bounds.responses === 0;
  }

  put(stored: StoredResponse): void {
    this.delete(stored.id);
    // A whole conversation is not written only to be thrown away.
    if (this.isClosed) return;
    const json = JSON.stringify(stored);
    if (json.length > this.#bounds.characters) return;
    const items = [...stored.input, ...stored.output].map(({ id }) => id);
    this.#texts.set(stored.id, { json, items, log: null, characters: json.length });
    for (const id of items) this.#owners.set(id, (this.#owners.get(id) ?? new Set()).add(stored.id));
    this.#characters += json.length;
    this.#makeRoom();
  }

  /** Keeps the events of a response that is over beside it, where it is kept and there is room for both. */
  attach(id: string, log: EventLog): void {
    const kept = this.#texts.get(id);
    if (kept === undefined || kept.json.length + log.characters > this.#bounds.characters) return;
    this.#texts.set(id, { ...kept, log, characters: kept.json.length + log.characters });
    this.#characters += log.characters;
    this.#makeRoom();
  }

  /** The events of a response; null where there is none, or they are not kept. */
  events(id: string): EventLog | null {
    return this.#texts.get(id)?.log ?? null;
  }

  get(id: string): StoredResponse | null {
    const found = this.#texts.get(id);
    return found === undefined ? null : (JSON.parse(found.json) as StoredResponse);
  }

  /** Those of these items that are in a conversation that is kept, by their ids. Each conversation is read once. */
  items(ids: readonly string[]): ReadonlyMap<string, StoredItem> {
    const found = new Map<string, StoredItem>();
    for (const id of ids) {
      const [owner] = this.#owners.get(id) ?? [];
      if (owner === undefined || found.has(id)) continue;
      const stored = this.get(owner);
      for (const item of [...(stored?.input ?? []), ...(stored?.output ?? [])]) found.set(item.id, item);
    }
    return found;
  }

  /** Returns whether there was one. */
  delete(id: string): boolean {
    const found = this.#texts.get(id);
    if (found === undefined) return false;
    this.#texts.delete(id);
    this.#characters -= found.characters;
    for (const item of found.items) {
      const owners = this.#owners.get(item);
      owners?.delete(id);
      if (owners?.size === 0) this.#owners.delete(item);
    }
    return true;
  }
  #makeRoom(): void {
    for (const id of this.#texts.keys()) {
      if (this.#texts.size <= this.#bounds.responses && this.#characters <= this.#bounds.characters) break;
      this.delete(id);
    }
  }
}
