// What is on the canvas, kept by the browser across reloads.  Each browser tab keeps its own, for as long as
// it is open and a week longer.

/** @import { Mode, Settings } from "./board.js" */
/** @import { Size } from "./geometry.js" */
/** @import { Box, Packed } from "./value.js" */
/**
 * What is kept of a canvas.
 * @typedef {Size & { mode: Mode, packed: Packed, boxes: readonly Box[], picture: Blob | null, settings: Settings }} Kept
 */

const DATABASE = "latent-atelier";
const STORE = "canvases";
const RECORDS = 16;
const LARGEST_PICTURE = 45_000_000; // bytes
const OLDEST = 7 * 24 * 3600 * 1000; // milliseconds

export class Keeper {
  /** @param {string} name  which canvas of the page this is */
  constructor(name) {
    this.key = `${tabId()}/${name}`;
    /** @type {Promise<void> | null} */
    this.saving = null;
    /** @type {Kept | null} */
    this.next = null;
  }

  /**
   * Saves a record; of several that wait, the last.  Where the browser keeps nothing, nothing is kept.
   * @param {Kept} record
   */
  save(record) {
    this.next = record;
    this.saving ??= this.#saveAll();
  }

  async #saveAll() {
    try {
      while (this.next) {
        const { picture, ...record } = this.next;
        this.next = null;
        const small = picture && picture.size <= LARGEST_PICTURE ? picture : null;
        await request("readwrite", (store) =>
          store.put({ ...record, picture: small, saved: Date.now() }, this.key)
        );
      }
    } catch {
      this.next = null; // private window or full disk
    }
    this.saving = null;
  }

  /**
   * The record saved last in this browser tab, or null.
   * @returns {Promise<Kept | null>}
   */
  async load() {
    try {
      const record = (await request("readonly", (store) => store.get(this.key))) ?? null;
      prune().catch(() => {}); // the next page tries again
      return record;
    } catch {
      return null;
    }
  }
}

const tabId = () => {
  try {
    const id = sessionStorage.getItem("latent-atelier.tab") ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
    sessionStorage.setItem("latent-atelier.tab", id);
    return id;
  } catch {
    return "page";
  }
};

/**
 * @template T
 * @param {IDBRequest<T>} wanted
 * @returns {Promise<T>}
 */
const settled = (wanted) =>
  new Promise((resolve, reject) => {
    wanted.onsuccess = () => resolve(wanted.result);
    wanted.onerror = () => reject(wanted.error);
  });

/** @type {Promise<IDBDatabase> | null} */
let opening = null;
const database = () => {
  opening ??= new Promise((resolve, reject) => {
    const wanted = indexedDB.open(DATABASE, 1);
    wanted.onupgradeneeded = () => wanted.result.createObjectStore(STORE);
    wanted.onsuccess = () => resolve(wanted.result);
    wanted.onerror = () => reject(wanted.error);
  });
  return opening;
};

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<T>}
 */
const request = async (mode, work) => {
  const transaction = (await database()).transaction(STORE, mode);
  return settled(work(transaction.objectStore(STORE)));
};

// Drops what is old, and the oldest beyond the limit.
const prune = async () => {
  const store = (await database()).transaction(STORE, "readwrite").objectStore(STORE);
  const [keys, records] = await Promise.all([settled(store.getAllKeys()), settled(store.getAll())]);
  const newest = keys.map((key, i) => ({ key, saved: records[i].saved })).sort((a, b) => b.saved - a.saved);
  for (const [i, { key, saved }] of newest.entries())
    if (i >= RECORDS || Date.now() - saved > OLDEST) store.delete(key);
};
