// What is on the canvas, kept by the browser across reloads.  Each browser tab keeps its own, for as long as
// it is open and a week longer.

/** @import { Class, Mode, Page, Settings } from "./board.js" */
/** @import { Size } from "./geometry.js" */
/** @import { Stroke } from "./history.js" */
/** @import { Box, Packed } from "./value.js" */
/** @typedef {{ blob: Blob, path: string | null }} KeptPicture  `path` of its upload, which may be gone */
/**
 * @template P
 * @typedef {(Stroke | { page: Omit<Page, "picture"> & { picture: P }, tiles?: undefined }) & { size: number }} StepOf
 */
/**
 * What is kept of a canvas, undo included.
 * @template P
 * @typedef {Size & { mode: Mode, palette: readonly Class[], packed: Packed, boxes: readonly Box[], picture: P, settings: Settings, past: StepOf<P>[], future: StepOf<P>[] }} RecordOf
 */
/** @typedef {StepOf<KeptPicture | null>} KeptStep */
/** @typedef {RecordOf<KeptPicture | null>} Kept */
/** @typedef {{ id: string, path: string | null } | null} Named  a picture in the database, written once */

const DATABASE = "latent-atelier";
const STORE = "canvases";
const PICTURES = "pictures"; // their keys begin with the canvas's
const RECORDS = 16;
const OLDEST = 7 * 24 * 3600 * 1000; // milliseconds

/**
 * A record with other pictures.
 * @template P, Q
 * @param {RecordOf<P>} record
 * @param {(picture: P) => Q} change
 * @returns {RecordOf<Q>}
 */
const withPictures = (record, change) => {
  /** @type {(step: StepOf<P>) => StepOf<Q>} */
  const changed = (step) =>
    step.page ? { ...step, page: { ...step.page, picture: change(step.page.picture) } } : step;
  const { picture, past, future } = record;
  return { ...record, picture: change(picture), past: past.map(changed), future: future.map(changed) };
};

export class Keeper {
  /** @param {string} name  which canvas of the page this is */
  constructor(name) {
    this.key = `${tabId()}/${name}`;
    /** @type {Promise<void> | null} */
    this.saving = null;
    /** @type {Kept | null} */
    this.next = null;
    /** @type {Map<Blob, string>} */
    this.names = new Map(); // of the pictures in the database
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
        const record = this.next;
        this.next = null;
        await this.#write(record);
      }
    } catch {
      this.next = null; // private window or full disk
    }
    this.saving = null;
  }

  /** @param {Kept} record */
  async #write(record) {
    /** @type {Map<Blob, string>} */
    const names = new Map();
    const named = withPictures(record, (picture) => {
      if (!picture) return null;
      const id = names.get(picture.blob) ?? this.names.get(picture.blob) ?? newName(this.key);
      names.set(picture.blob, id);
      return { id, path: picture.path };
    });
    const transaction = (await database()).transaction([STORE, PICTURES], "readwrite");
    const pictures = transaction.objectStore(PICTURES);
    for (const [blob, id] of names) if (!this.names.has(blob)) pictures.put(blob, id);
    const used = new Set(names.values());
    for (const [blob, id] of this.names) if (!names.has(blob) && !used.has(id)) pictures.delete(id);
    transaction.objectStore(STORE).put({ ...named, saved: Date.now() }, this.key);
    await finished(transaction);
    this.names = names;
  }

  /**
   * The record saved last in this browser tab, or null.
   * @returns {Promise<Kept | null>}
   */
  async load() {
    try {
      const record = await this.#read();
      prune().catch(() => {}); // the next page tries again
      return record;
    } catch {
      return null;
    }
  }

  /** @returns {Promise<Kept | null>} */
  async #read() {
    const transaction = (await database()).transaction([STORE, PICTURES], "readonly");
    /** @type {RecordOf<Named> | undefined} */
    const record = await settled(transaction.objectStore(STORE).get(this.key));
    if (!record) return null;
    const pictures = transaction.objectStore(PICTURES);
    const range = picturesOf(this.key);
    const [ids, blobs] = await Promise.all([settled(pictures.getAllKeys(range)), settled(pictures.getAll(range))]);
    const found = new Map(ids.map((id, i) => [id, blobs[i]]));
    this.names = new Map(ids.map((id, i) => [blobs[i], String(id)]));
    return withPictures(record, (named) => {
      const blob = named && found.get(named.id);
      return blob ? { blob, path: named.path } : null;
    });
  }
}

/** @param {string} key */
const newName = (key) => `${key}/${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** @param {string} key  of a canvas */
const picturesOf = (key) => IDBKeyRange.bound(`${key}/`, `${key}/\uffff`);

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

/** @type {(transaction: IDBTransaction) => Promise<void>} */
const finished = (transaction) =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });

/** @type {Promise<IDBDatabase> | null} */
let opening = null;
const database = () => {
  opening ??= new Promise((resolve, reject) => {
    const wanted = indexedDB.open(DATABASE, 2);
    wanted.onupgradeneeded = () => {
      const { result } = wanted;
      for (const name of result.objectStoreNames) result.deleteObjectStore(name); // of another form
      for (const name of [STORE, PICTURES]) result.createObjectStore(name);
    };
    wanted.onsuccess = () => {
      wanted.result.onversionchange = () => wanted.result.close(); // never in the way of a newer page
      resolve(wanted.result);
    };
    wanted.onerror = () => reject(wanted.error);
    wanted.onblocked = () => reject(new Error("an older page is open"));
  });
  return opening;
};

// Drops what is old, and the oldest beyond the limit, with their pictures.
const prune = async () => {
  const transaction = (await database()).transaction([STORE, PICTURES], "readwrite");
  const store = transaction.objectStore(STORE);
  const [keys, records] = await Promise.all([settled(store.getAllKeys()), settled(store.getAll())]);
  const newest = keys
    .map((key, i) => ({ key: String(key), saved: records[i].saved }))
    .sort((a, b) => b.saved - a.saved);
  for (const [i, { key, saved }] of newest.entries())
    if (i >= RECORDS || Date.now() - saved > OLDEST) {
      store.delete(key);
      transaction.objectStore(PICTURES).delete(picturesOf(key));
    }
};
