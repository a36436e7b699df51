// The bitmaps on the screen, in the picture's own pixels: the picture, and the label map in colour over it.
// Only the rectangle that changed is coloured anew, once a frame.

import { contextOf } from "./dom.js";
import { unite } from "./geometry.js";
import { Sheet } from "./sheet.js";

/** @import { Rect } from "./geometry.js" */

export class Layers {
  /**
   * @param {HTMLCanvasElement} picture
   * @param {HTMLCanvasElement} overlay
   */
  constructor(picture, overlay) {
    this.picture = picture;
    this.overlay = overlay;
    this.context = contextOf(overlay);
    this.sheet = new Sheet(1, 1, 0); // until `show` gives the first page
    this.image = this.context.createImageData(1, 1);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.colours = new Uint32Array(256); // id -> RGBA as four bytes
    /** @type {Uint8ClampedArray | null} */
    this.shown = null; // of the picture, once somebody has asked
    this.cell = 0; // side of a latent's cell in pixels; 0 shows single pixels
    /** @type {Rect | null} */
    this.dirty = null;
    /** @type {number | undefined} */
    this.frame = undefined;
  }

  /**
   * Another page: its label map and picture.
   * @param {Sheet} sheet
   * @param {ImageBitmap | null} bitmap
   */
  show(sheet, bitmap) {
    this.sheet = sheet;
    for (const canvas of [this.picture, this.overlay]) {
      canvas.width = sheet.width;
      canvas.height = sheet.height;
    }
    this.dirty = null;
    this.shown = null;
    this.image = this.context.createImageData(sheet.width, sheet.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    if (bitmap) contextOf(this.picture).drawImage(bitmap, 0, 0, sheet.width, sheet.height);
    this.touch(sheet.bounds);
  }

  // The picture's pixels at the sheet's size: red, green, blue, alpha.
  pictureColours() {
    this.shown ??= contextOf(this.picture).getImageData(0, 0, this.picture.width, this.picture.height).data;
    return this.shown;
  }

  /**
   * Sets the colours of ids; all other ids are transparent.
   * @param {readonly (readonly [id: number, colour: string])[]} entries  colours as "#rrggbb"
   */
  paintWith(entries) {
    this.colours.fill(0);
    const bytes = new Uint8Array(this.colours.buffer);
    for (const [id, colour] of entries) {
      for (let i = 0; i < 3; i++) bytes[id * 4 + i] = parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16);
      bytes[id * 4 + 3] = 255;
    }
    this.touch(this.sheet.bounds);
  }

  /** @param {number} cell */
  setCell(cell) {
    this.cell = cell;
    this.touch(this.sheet.bounds);
  }

  /** @param {Rect | null} rect */
  touch(rect) {
    if (!rect) return;
    this.dirty = unite(this.dirty, rect);
    this.frame ??= requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.frame = undefined;
    const rect = this.cell ? this.#wholeCells(this.dirty) : this.dirty;
    this.dirty = null;
    if (!rect) return;
    if (this.cell) this.#colourCells(rect);
    else this.#colourPixels(rect);
    this.context.putImageData(
      this.image, 0, 0, rect.x0, rect.y0, rect.x1 - rect.x0, rect.y1 - rect.y0
    );
  }

  /** @param {Rect} rect */
  #colourPixels({ x0, y0, x1, y1 }) {
    const { pixels, colours } = this;
    const { labels, width } = this.sheet;
    for (let y = y0; y < y1; y++)
      for (let i = y * width + x0; i < y * width + x1; i++) pixels[i] = colours[labels[i]];
  }

  /** @type {(rect: Rect | null) => Rect | null} */
  #wholeCells(rect) {
    const { cell, sheet } = this;
    if (!rect) return null;
    return {
      x0: rect.x0 - (rect.x0 % cell),
      y0: rect.y0 - (rect.y0 % cell),
      x1: Math.min(sheet.width, Math.ceil(rect.x1 / cell) * cell),
      y1: Math.min(sheet.height, Math.ceil(rect.y1 / cell) * cell),
    };
  }

  /**
   * What the model can resolve: each cell in the mean colour of what is painted in it, as opaque as the share of
   * the cell that is painted.
   * @param {Rect} rect
   */
  #colourCells({ x0, y0, x1, y1 }) {
    const { cell, pixels, colours } = this;
    const { labels, width, height } = this.sheet;
    const colourBytes = new Uint8Array(colours.buffer);
    for (let top = y0; top < y1; top += cell)
      for (let left = x0; left < x1; left += cell) {
        const bottom = Math.min(top + cell, height);
        const right = Math.min(left + cell, width);
        const sum = [0, 0, 0, 0];
        for (let y = top; y < bottom; y++)
          for (let i = y * width + left; i < y * width + right; i++) {
            const entry = labels[i] * 4;
            if (colourBytes[entry + 3] === 0) continue;
            for (let channel = 0; channel < 4; channel++) sum[channel] += colourBytes[entry + channel];
          }
        const painted = sum[3] / 255 || 1;
        const [red, green, blue] = sum.map((value) => Math.round(value / painted));
        const alpha = Math.round(sum[3] / ((bottom - top) * (right - left)));
        const colour = ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
        for (let y = top; y < bottom; y++) pixels.fill(colour, y * width + left, y * width + right);
      }
  }
}
