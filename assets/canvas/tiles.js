// A picture that is larger than the sheet, where one looks closely: tiles of its own pixels over the smaller copy,
// in levels that are each half as large as the one before.  Loaded when the view rests; strokes never wait for them.
// Python's side is `tile` of app/widgets/shown.py.

import { contextOf } from "./dom.js";

/** @import { Picture } from "./board.js" */
/** @import { Rect, Size } from "./geometry.js" */
/** @import { View } from "./view.js" */
/** @typedef {{ level: number, column: number, row: number }} Place  of a tile */
/** @typedef {{ bitmap: ImageBitmap | null, loading: AbortController }} Tile */
/** @typedef {(path: string, place: Place, signal: AbortSignal) => Promise<ImageBitmap>} FetchTile */

export const SIDE = 512; // pixels of a tile
const REST = 80; // milliseconds without a move before tiles are asked for
const KEPT = 96; // tiles, a megabyte each

/**
 * The tiles that show a rectangle, `scale` pixels of the device for one of the picture's own.
 * @param {Size} full  the picture's own size
 * @param {Rect} seen  in the picture's own pixels
 * @param {number} scale
 */
export const placesIn = (full, seen, scale) => {
  const level = Math.max(0, Math.floor(-Math.log2(scale) + 1e-6));
  const step = SIDE * 2 ** level;
  /** @type {Place[]} */
  const places = [];
  const [right, bottom] = [Math.min(seen.x1, full.width), Math.min(seen.y1, full.height)];
  for (let row = Math.floor(Math.max(0, seen.y0) / step); row * step < bottom; row++)
    for (let column = Math.floor(Math.max(0, seen.x0) / step); column * step < right; column++)
      places.push({ level, column, row });
  return places;
};

/** @type {(place: Place) => string} */
const nameOf = ({ level, column, row }) => `${level}/${column}/${row}`;

export class Tiles {
  /**
   * @param {HTMLCanvasElement} canvas  inside the paper
   * @param {View} view
   * @param {FetchTile} fetchTile
   */
  constructor(canvas, view, fetchTile) {
    this.canvas = canvas;
    this.view = view;
    this.fetchTile = fetchTile;
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {Map<string, Tile>} */
    this.tiles = new Map(); // those looked at last stand last
    /** @type {Place[]} */
    this.wanted = [];
    this.level = -1; // of what is drawn
    this.resting = 0;
  }

  /**
   * Another page.
   * @param {Picture | null} picture
   */
  show(picture) {
    if (picture === this.picture) return;
    this.picture = picture;
    for (const { loading } of this.tiles.values()) loading.abort();
    this.tiles.clear();
    this.#hide();
    this.look();
  }

  // The view moved.
  look() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.#look(), REST);
  }

  #hide() {
    this.wanted = [];
    this.level = -1;
    this.canvas.hidden = true;
  }

  #look() {
    const { picture, view } = this;
    const factor = picture ? picture.full.width / picture.bitmap.width : 1; // own pixels for one of the sheet
    const scale = (view.zoom / factor) * devicePixelRatio;
    // Drawn no finer than the screen shows, the copy is as good.
    if (!picture || scale * factor <= 1 || factor <= 1) return this.#hide();
    const { clientWidth: x, clientHeight: y } = view.viewport;
    const [start, end] = [view.inside({ x: 0, y: 0 }), view.inside({ x, y })];
    const seen = { x0: start.x * factor, y0: start.y * factor, x1: end.x * factor, y1: end.y * factor };
    this.wanted = placesIn(picture.full, seen, scale);
    this.canvas.style.imageRendering = scale >= 2 ? "pixelated" : "auto";
    const names = new Set(this.wanted.map(nameOf));
    for (const [name, { bitmap, loading }] of this.tiles)
      if (!names.has(name) && (!bitmap || this.tiles.size > KEPT)) {
        loading.abort();
        this.tiles.delete(name);
      }
    for (const place of this.wanted) this.#load(picture, place);
    this.#draw();
  }

  /** @type {(picture: Picture, place: Place) => Promise<void>} */
  async #load(picture, place) {
    const { upload } = picture;
    const name = nameOf(place);
    const found = this.tiles.get(name);
    if (found) {
      this.tiles.delete(name);
      this.tiles.set(name, found);
    }
    if (found || !upload || !("path" in upload)) return;
    /** @type {Tile} */
    const tile = { bitmap: null, loading: new AbortController() };
    this.tiles.set(name, tile);
    try {
      tile.bitmap = await this.fetchTile(upload.path, place, tile.loading.signal);
      if (this.tiles.get(name) === tile) this.#draw();
    } catch {
      if (this.tiles.get(name) === tile) this.tiles.delete(name); // the next look tries again
    }
  }

  // Those of another level than is drawn all at once, so that nothing flickers.
  #draw() {
    const { picture, wanted, canvas } = this;
    if (!picture || !wanted.length) return;
    const there = wanted.flatMap((place) => {
      const bitmap = this.tiles.get(nameOf(place))?.bitmap;
      return bitmap ? [{ ...place, bitmap }] : [];
    });
    const { level } = wanted[0];
    if (!there.length || (this.level >= 0 && level !== this.level && there.length < wanted.length)) return;
    const [left, top] = [wanted[0].column, wanted[0].row];
    const width = Math.max(...there.map(({ column, bitmap }) => (column - left) * SIDE + bitmap.width));
    const height = Math.max(...there.map(({ row, bitmap }) => (row - top) * SIDE + bitmap.height));
    Object.assign(canvas, { width, height, hidden: false });
    this.level = level;
    const context = contextOf(canvas);
    for (const { column, row, bitmap } of there)
      context.drawImage(bitmap, (column - left) * SIDE, (row - top) * SIDE);
    // Own pixels of the picture -> the sheet's.
    const share = picture.bitmap.width / picture.full.width;
    const step = 2 ** level * share;
    const [x, y] = [left * SIDE * step, top * SIDE * step];
    Object.assign(canvas.style, {
      inlineSize: `${width}px`,
      blockSize: `${height}px`,
      transform: `translate(${x}px, ${y}px) scale(${step})`, // lengths would be rounded to 1/64 pixel
    });
  }
}
