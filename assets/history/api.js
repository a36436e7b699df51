// Asks the program (app/web/history.py).

/**
 * @typedef {object} Item  a picture as the grid shows it
 * @property {number} id
 * @property {string} digest  begins its addresses: another content has another one
 * @property {string} name
 * @property {number} width
 * @property {number} height
 * @property {string} task
 * @property {string} words
 * @property {number} created  seconds since 1970
 * @property {boolean} starred
 * @property {boolean} trashed
 */
/**
 * @typedef {Item & { settings: [name: string, value: string][], notes: string[], boards: number[], path: string,
 *   bytes: string }} Details
 */
/** @typedef {{ id: number, name: string, count: number }} Board */
/** @typedef {[name: string, count: number][]} Counted */
/**
 * @typedef {object} Choices
 * @property {Counted} tasks
 * @property {Counted} models
 * @property {Counted} adapters
 * @property {Board[]} boards
 * @property {number} pictures
 * @property {number} starred
 * @property {number} trashed
 * @property {boolean} private  whether only the owner of the computer sees the page
 */
/** @typedef {{ revision: number, reading: [done: number, total: number] | null, notice: string }} State */

const address = (/** @type {string} */ path) => new URL(`history/${path}`, document.baseURI).href;

/** What the program refuses, as a sentence for a person. */
export class Problem extends Error {}

/**
 * @param {Response} answer
 * @returns {Promise<any>}
 */
const read = async (answer) => {
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(value.problem || "The program does not answer. Is it still running?");
  return value;
};

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 */
export const get = async (path, signal) => {
  const answer = await fetch(address(path), { signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem("The program does not answer. Is it still running?");
  });
  return read(answer);
};

/**
 * @param {string} path
 * @param {object} body
 */
export const post = async (path, body) => {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(address(path), { method: "POST", headers, body: JSON.stringify(body) }).catch(() => {
    throw new Problem("The program does not answer. Is it still running?");
  });
  return read(answer);
};

export const thumb = (/** @type {Item} */ item) => address(`thumb/${item.id}/${item.digest}`);
export const file = (/** @type {Item} */ item) => address(`file/${item.id}/${item.digest}`);

/** Saves what is at an address of the program. */
export const save = (/** @type {string} */ url) => {
  const link = document.createElement("a");
  link.href = new URL(url, document.baseURI).href;
  link.download = "";
  link.click();
};
