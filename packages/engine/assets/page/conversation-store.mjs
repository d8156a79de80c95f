/** Conversations, kept in this browser's IndexedDB. Where that is closed to the page, they live as long as the page. */

import { isConversation } from './conversation.mjs';

/** @typedef {import('./conversation.mjs').Conversation} Conversation */

const DATABASE = 'switchyard';
const TABLE = 'conversations';
const VERSION = 1;

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function resultOf(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error ?? new Error('the database gave no reason')));
  });
}

/** @returns {Promise<IDBDatabase>} */
async function openDatabase() {
  const request = indexedDB.open(DATABASE, VERSION);
  request.addEventListener('upgradeneeded', () => request.result.createObjectStore(TABLE, { keyPath: 'id' }));
  return await resultOf(request);
}

export class ConversationStore {
  /** @type {IDBDatabase | null} */
  #database;
  /** @type {Map<string, Conversation>} */
  #known = new Map();

  /** @param {IDBDatabase | null} database null where nothing lasts */
  constructor(database) {
    this.#database = database;
  }

  /** @returns {Promise<ConversationStore>} */
  static async open() {
    const store = new ConversationStore(await openDatabase().catch(() => null));
    await store.#load();
    return store;
  }

  /** Whether conversations are there when the page is opened again. */
  get lasts() {
    return this.#database !== null;
  }

  /** All conversations, the latest first. */
  get all() {
    return [...this.#known.values()].sort((first, second) => second.updated - first.updated);
  }

  /** @param {string} id */
  get(id) {
    return this.#known.get(id);
  }

  /**
   * Keeps a conversation as it is now. False where it is kept no longer than the page.
   *
   * @param {Conversation} conversation
   * @returns {Promise<boolean>}
   */
  async put(conversation) {
    this.#known.set(conversation.id, conversation);
    return await this.#write((table) => table.put(conversation));
  }

  /**
   * @param {string} id
   * @returns {Promise<boolean>}
   */
  async remove(id) {
    this.#known.delete(id);
    return await this.#write((table) => table.delete(id));
  }

  async #load() {
    if (this.#database === null) return;
    try {
      const table = this.#database.transaction(TABLE).objectStore(TABLE);
      for (const value of await resultOf(table.getAll())) if (isConversation(value)) this.#known.set(value.id, value);
    } catch {
      this.#database = null;
    }
  }

  /** @param {(table: IDBObjectStore) => IDBRequest} change */
  async #write(change) {
    if (this.#database === null) return false;
    try {
      await resultOf(change(this.#database.transaction(TABLE, 'readwrite').objectStore(TABLE)));
      return true;
    } catch {
      return false;
    }
  }
}
