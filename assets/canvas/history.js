// Undo and redo.  A step holds what the changed tiles of the label map looked like before, packed, and the
// boxes of before; a step that opened another page (picture, size) holds the whole page of before.
// Undoing exchanges the step's content with the present one, which makes it the step to redo.

import { pack, packedIds, unpack } from "./value.js";

/** @import { Rect } from "./geometry.js" */
/** @import { Box, Bytes, Packed } from "./value.js" */
/** @import { Page } from "./board.js" */
/** @typedef {Rect & { packed: Packed }} Tile */
/** @typedef {{ tiles: Tile[], boxes: readonly Box[], page?: undefined }} Stroke */
/** @typedef {{ page: Page, tiles?: undefined }} Turn  another page was opened */
/** @typedef {Stroke | Turn} Change */
/** @typedef {Change & { size: number }} Step  `size` in bytes */
/** @typedef {(step: Step) => Step} Swap  puts a step's content in place and returns the step that leads back */

const TILE = 64;
const STEPS = 100;
const BYTES = 256 * 2 ** 20; // a picture of 2048 x 2048 has 16

export class History {
  constructor() {
    /** @type {Step[]} */
    this.past = [];
    /** @type {Step[]} */
    this.future = [];
    this.size = 0;
  }

  forget() {
    this.past = [];
    this.future = [];
    this.size = 0;
  }

  /**
   * What was kept across a reload.
   * @type {(past: Step[], future: Step[]) => void}
   */
  restore(past, future) {
    this.past = past;
    this.future = future;
    this.size = [...past, ...future].reduce((size, step) => size + step.size, 0);
  }

  /**
   * Puts another in the place of each step.
   * @param {(step: Step) => Step} work
   */
  change(work) {
    this.restore(this.past.map(work), this.future.map(work));
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  /** @param {Step} step */
  push(step) {
    for (const undone of this.future) this.size -= undone.size;
    this.future = [];
    this.past.push(step);
    this.size += step.size;
    while (this.past.length > STEPS || (this.size > BYTES && this.past.length > 1))
      this.size -= this.past.shift()?.size ?? 0;
  }

  /** @param {Swap} exchange */
  undo(exchange) {
    this.#move(this.past, this.future, exchange);
  }

  /** @param {Swap} exchange */
  redo(exchange) {
    this.#move(this.future, this.past, exchange);
  }

  /** @type {(from: Step[], to: Step[], exchange: Swap) => void} */
  #move(from, to, exchange) {
    const step = from.pop();
    if (!step) return;
    const back = exchange(step);
    this.size += back.size - step.size;
    to.push(back);
  }
}

/**
 * The tiles inside `rect` in which `labels` differs from `before`, as they were before.
 * @param {Bytes} before
 * @param {Bytes} labels
 * @param {Rect} rect
 * @param {number} width
 */
export const changedTiles = (before, labels, rect, width) => {
  /** @type {Tile[]} */
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

/** @type {(a: Bytes, b: Bytes, tile: Rect, width: number) => boolean} */
const differs = (a, b, tile, width) => {
  for (let y = tile.y0; y < tile.y1; y++)
    for (let i = y * width + tile.x0; i < y * width + tile.x1; i++) if (a[i] !== b[i]) return true;
  return false;
};

/** @type {(labels: Bytes, tile: Rect, width: number) => Tile} */
export const readTile = (labels, tile, width) => {
  const columns = tile.x1 - tile.x0;
  const bytes = new Uint8Array(columns * (tile.y1 - tile.y0));
  for (let y = tile.y0; y < tile.y1; y++)
    bytes.set(labels.subarray(y * width + tile.x0, y * width + tile.x1), (y - tile.y0) * columns);
  const { x0, y0, x1, y1 } = tile;
  return { x0, y0, x1, y1, packed: pack(bytes) };
};

/** @type {(labels: Bytes, tile: Tile, width: number) => void} */
export const writeTile = (labels, tile, width) => {
  const columns = tile.x1 - tile.x0;
  const bytes = unpack(tile.packed, columns * (tile.y1 - tile.y0));
  for (let y = tile.y0; y < tile.y1; y++)
    labels.set(bytes.subarray((y - tile.y0) * columns, (y - tile.y0 + 1) * columns), y * width + tile.x0);
};

/**
 * What a step costs in memory, in bytes; the pictures of old pages are counted as the browser holds them.
 * @param {Change} change
 */
export const sizeOf = (change) => {
  if (change.tiles) return change.tiles.reduce((size, tile) => size + 64 + tile.packed.bytes.length, 256);
  const { packed, picture, width, height } = change.page;
  return 256 + packed.bytes.length + (picture ? width * height * 4 : 0);
};

/**
 * A step whose pixels have other ids.
 * @type {(step: Step, ids: Bytes) => Step}
 */
export const withIds = (step, ids) => {
  const { page, tiles, size } = step;
  if (page) return { page: { ...page, packed: packedIds(page.packed, ids) }, size };
  return { ...step, tiles: tiles.map((tile) => ({ ...tile, packed: packedIds(tile.packed, ids) })) };
};
