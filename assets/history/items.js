// The items that were fetched last: as many as fit into the memory that a long list may take.

/** @import { Item } from "./api.js" */

const KEPT = 3000;
const MOST = 200; // in one question

export class Items {
  /** @param {(ids: number[]) => Promise<Item[]>} ask */
  constructor(ask) {
    this.ask = ask;
    /** @type {Map<number, Item>} the newest used last */
    this.known = new Map();
    /** @type {Map<number, Promise<void>>} */
    this.asked = new Map();
  }

  /** @param {number} id */
  get(id) {
    return this.known.get(id);
  }

  /** Forgets what may have changed; what is shown stays until the new is there. */
  forget() {
    this.known.clear();
  }

  /**
   * What came with a search.
   * @param {{ items: Item[], revision: number }} found
   * @param {number} revision  of those that are known
   */
  take(found, revision) {
    if (found.revision !== revision) this.forget();
    found.items.forEach((item) => this.put(item));
  }

  /** @param {Item} item */
  put(item) {
    this.known.delete(item.id);
    this.known.set(item.id, item);
    for (const id of this.known.keys()) {
      if (this.known.size <= KEPT) break;
      this.known.delete(id);
    }
  }

  /**
   * Fetches those that are not known.
   * @param {number[]} ids
   */
  async need(ids) {
    const missing = ids.filter((id) => !this.known.has(id) && !this.asked.has(id));
    for (let from = 0; from < missing.length; from += MOST) {
      const some = missing.slice(from, from + MOST);
      const answer = this.ask(some).then(
        (items) => items.forEach((item) => this.put(item)),
        () => {} // a question that failed is asked again when somebody looks
      );
      const done = answer.finally(() => some.forEach((id) => this.asked.delete(id)));
      for (const id of some) this.asked.set(id, done);
    }
    await Promise.all(ids.map((id) => this.asked.get(id)));
  }
}
