// The form in which label maps travel to Python, are kept in the browser and wait for undo: runs of equal
// ids, exact and quick enough to be made at the end of every stroke.  app/widgets/canvas.py reads and writes the same.

/** @import { Rect, Size } from "./geometry.js" */
/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {{ packing: "runs" | "raw", bytes: Bytes }} Packed */
/** @typedef {Rect & { id?: string, label: string }} Box  in whole pixels of the picture; its id stays its own */
/**
 * A box in fractions of the picture, as requests hold it.
 * @typedef {{ id?: string, class: string, x: number, y: number, width: number, height: number }} BoxEntry
 */

const LONGEST = 0xffff;

/**
 * "runs": three bytes each, the id and its length (little endian); "raw" where that is shorter, so that noise
 * costs no more than itself.
 * @param {Bytes} labels
 * @returns {Packed}
 */
export const pack = (labels) => {
  const runs = new Uint8Array(labels.length);
  let used = 0;
  for (let i = 0; i < labels.length; ) {
    const id = labels[i];
    const limit = Math.min(labels.length, i + LONGEST);
    let end = i + 1;
    while (end < limit && labels[end] === id) end++;
    if (used + 3 > runs.length) return { packing: "raw", bytes: labels.slice() };
    runs[used++] = id;
    runs[used++] = (end - i) & 0xff;
    runs[used++] = (end - i) >> 8;
    i = end;
  }
  return { packing: "runs", bytes: runs.slice(0, used) };
};

/** @type {(packed: Packed, length: number) => Bytes} */
export const unpack = ({ packing, bytes }, length) => {
  if (packing === "raw") return bytes.slice();
  const labels = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const end = at + bytes[i + 1] + (bytes[i + 2] << 8);
    labels.fill(bytes[i], at, end);
    at = end;
  }
  return labels;
};

/**
 * The same map with `ids[id]` for each id.
 * @type {(packed: Packed, ids: Bytes) => Packed}
 */
export const packedIds = ({ packing, bytes }, ids) => ({
  packing,
  bytes: bytes.map((byte, i) => (packing === "raw" || i % 3 === 0 ? ids[byte] : byte)),
});

// Newer browsers do base64 themselves.  TypeScript's library for ES2023 does not know that yet.
/** @typedef {{ toBase64?: () => string }} ToBase64 */
/** @typedef {{ fromBase64?: (text: string) => Bytes }} FromBase64 */

/** @type {(bytes: Bytes) => string} */
export const toBase64 = (bytes) => {
  const own = /** @type {Bytes & ToBase64} */ (bytes);
  if (own.toBase64) return own.toBase64();
  const parts = [];
  for (let i = 0; i < bytes.length; i += 0x8000)
    parts.push(String.fromCharCode(...bytes.subarray(i, i + 0x8000)));
  return btoa(parts.join(""));
};

/** @type {(text: string) => Bytes} */
export const fromBase64 = (text) => {
  const own = /** @type {typeof Uint8Array & FromBase64} */ (Uint8Array);
  if (own.fromBase64) return own.fromBase64(text);
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
};

let made = 0;
/** An id that no other box has. */
export const newId = () => `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}-${made++}`;

/** @type {(box: Box, size: Size) => BoxEntry} */
const fractions = ({ id, label, x0, y0, x1, y1 }, { width, height }) => ({
  ...(id === undefined ? {} : { id }),
  class: label,
  x: x0 / width,
  y: y0 / height,
  width: (x1 - x0) / width,
  height: (y1 - y0) / height,
});

/** @type {(boxes: readonly Box[], size: Size) => BoxEntry[]} */
export const toBoxes = (boxes, size) => boxes.map((box) => fractions(box, size));

/** @type {(value: number, limit: number) => number} */
const inside = (value, limit) => Math.min(limit, Math.max(0, Math.round(value * limit)));

/**
 * @param {unknown} entry
 * @returns {entry is BoxEntry}
 */
const isEntry = (entry) => {
  const { class: label, x, y, width, height } = /** @type {Partial<BoxEntry>} */ (entry ?? {});
  return typeof label === "string" && [x, y, width, height].every(Number.isFinite);
};

/**
 * Fractions -> boxes in whole pixels, inside the picture; entries that are no boxes are left out.
 * @param {readonly unknown[]} entries
 * @param {Size} size
 * @returns {Box[]}
 */
export const fromBoxes = (entries, { width, height }) =>
  entries.flatMap((entry) => {
    if (!isEntry(entry)) return [];
    const { class: label, x, y, width: w, height: h } = entry;
    const box = {
      ...(entry.id === undefined ? {} : { id: String(entry.id).slice(0, 40) }),
      label: label.slice(0, 80),
      x0: inside(x, width),
      y0: inside(y, height),
      x1: inside(x + w, width),
      y1: inside(y + h, height),
    };
    return box.x0 < box.x1 && box.y0 < box.y1 ? [box] : [];
  });
