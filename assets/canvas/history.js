// Undo and redo.  A step holds what the changed tiles of the label map looked like before, packed, and the
// boxes of before; a step that opened another page (picture, size) holds the whole page of before.
// Undoing exchanges the step's content with the present one, which makes it the step to redo.

import { pack, unpack } from "./value.js";

const TILE = 64;
const STEPS = 100;
const BYTES = 64 * 2 ** 20;

export class History {
  constructor() {
    this.forget();
  }

  forget() {
    this.past = [];
    this.future = [];
    this.size = 0;
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  push(step) {
    for (const undone of this.future) this.size -= undone.size;
    this.future = [];
    this.past.push(step);
    this.size += step.size;
    while (this.past.length > STEPS || (this.size > BYTES && this.past.length > 1))
      this.size -= this.past.shift().size;
  }

  // `exchange(step)` puts the step's content in place and returns the step that leads back.
  undo(exchange) {
    this.#move(this.past, this.future, exchange);
  }

  redo(exchange) {
    this.#move(this.future, this.past, exchange);
  }

  #move(from, to, exchange) {
    const step = from.pop();
    if (!step) return;
    const back = exchange(step);
    this.size += back.size - step.size;
    to.push(back);
  }
}

// The tiles inside `rect` in which `labels` differs from `before`, as they were before.
export const changedTiles = (before, labels, rect, width) => {
  const tiles = [];
  for (let y0 = rect.y0 - (rect.y0 % TILE); y0 < rect.y1; y0 += TILE)
    for (let x0 = rect.x0 - (rect.x0 % TILE); x0 < rect.x1; x0 += TILE) {
      const tile = {
        x0: Math.max(x0, rect.x0),
        y0: Math.max(y0, rect.y0),
        x1: Math.min(x0 + TILE, rect.x1),
        y1: Math.min(y0 + TILE, rect.y1),
      };
      if (differs(before, labels, tile, width)) tiles.push(readTile(before, tile, width));
    }
  return tiles;
};

const differs = (a, b, tile, width) => {
  for (let y = tile.y0; y < tile.y1; y++)
    for (let i = y * width + tile.x0; i < y * width + tile.x1; i++) if (a[i] !== b[i]) return true;
  return false;
};

export const readTile = (labels, tile, width) => {
  const columns = tile.x1 - tile.x0;
  const bytes = new Uint8Array(columns * (tile.y1 - tile.y0));
  for (let y = tile.y0; y < tile.y1; y++)
    bytes.set(labels.subarray(y * width + tile.x0, y * width + tile.x1), (y - tile.y0) * columns);
  return { ...tile, packed: pack(bytes) };
};

export const writeTile = (labels, tile, width) => {
  const columns = tile.x1 - tile.x0;
  const bytes = unpack(tile.packed, columns * (tile.y1 - tile.y0));
  for (let y = tile.y0; y < tile.y1; y++)
    labels.set(bytes.subarray((y - tile.y0) * columns, (y - tile.y0 + 1) * columns), y * width + tile.x0);
};

// What a step costs in memory; the pictures of old pages are counted as the browser holds them.
export const sizeOf = ({ tiles = [], page = null }) => {
  let size = 256;
  for (const tile of tiles) size += 64 + tile.packed.bytes.length;
  if (page) size += page.packed.bytes.length + (page.picture ? page.width * page.height * 4 : 0);
  return size;
};
