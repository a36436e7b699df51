// What is being worked on: label map, boxes, picture, settings and undo, and every way to change them.
// Draws nothing itself: it tells `layers` which pixels changed, and `tell` what happened:
// "content" (map or boxes), "page" (size or picture), "settings", "tool" (one was chosen), "outline", "lines"
// (something drawn over the sheet).

import { changedTiles, History, readTile, sizeOf, withIds, writeTile } from "./history.js";
import { moveBox, unite } from "./geometry.js";
import { Sheet } from "./sheet.js";
import { newId, pack, unpack } from "./value.js";

/** @import { Rect, Size } from "./geometry.js" */
/** @import { Change, Step, Stroke } from "./history.js" */
/** @import { Layers } from "./layers.js" */
/** @import { Box, Bytes, Packed } from "./value.js" */
/** @typedef {"mask" | "classes" | "boxes"} Mode */
/** @typedef {"content" | "page" | "settings" | "tool" | "outline" | "lines"} What */
/** @typedef {{ name: string, colour: string, stuff: readonly number[] }} Class  `stuff`: what it is of COCO-Stuff */
/** @typedef {{ left: number, top: number, width: number, height: number }} Outline */
/** @typedef {{ state: "sending" | "lost" } | { path: string, time: number }} Upload  `time` in milliseconds */
/**
 * `bitmap` is what the sheet shows, `full` the picture's own size, which may be larger.
 * @typedef {{ bitmap: ImageBitmap, full: Size, blob: Blob, upload: Upload | null, sending?: boolean }} Picture
 */
/** @typedef {"brush" | "eraser" | "bucket" | "rectangle" | "lasso" | "wand" | "box"} ToolName */
/**
 * What follows from the model.
 * @typedef {{ palette: readonly Class[], cells: number, maxBoxes: number, outline: Outline }} Setup
 */
/** @typedef {Size & { mode: Mode, palette: readonly Class[], cells: number, maxBoxes: number, feather: number }} Beginning */
/** @typedef {Size & { packed: Packed, boxes: readonly Box[], picture: Picture | null }} Page */
/** @typedef {Size & Partial<Page>} Content  of a page to open; what is missing is empty */
/**
 * @typedef {object} Settings
 * @property {ToolName} tool
 * @property {number} size  the brush's diameter in pixels of the picture
 * @property {number} current  index of the class to paint with
 * @property {number} tolerance  of the wand: how far colours may differ, of 255
 * @property {boolean} erasing  bucket, rectangle, lasso and wand take paint away
 * @property {boolean} pressure  of a pen sets the brush's size
 * @property {number} opacity  percent
 * @property {number} feather  pixels
 * @property {number} distance  pixels of one Grow or Shrink
 * @property {boolean} cells  whether the latent's cells are shown
 */

export const LARGEST_SIDE = 2048;
export const LARGEST_BRUSH = 400;

// Ids of a pixel with nothing painted, and of a painted one where there is only one kind of paint.
/** @type {Record<Mode, { empty: number, paint?: number }>} */
const IDS = { mask: { empty: 0, paint: 255 }, classes: { empty: 255 }, boxes: { empty: 255 } };

/** @type {(given: Beginning) => Settings} */
const firstSettings = ({ mode, feather }) => ({
  tool: mode === "boxes" ? "box" : "brush",
  size: 40,
  current: 0,
  tolerance: 24,
  erasing: false,
  pressure: false,
  opacity: mode === "mask" ? 55 : 80,
  feather,
  distance: 4,
  cells: false,
});

/**
 * Whether two pages show the same.
 * @type {(a: Page, b: Page) => boolean}
 */
const isSame = (a, b) =>
  a.width === b.width &&
  a.height === b.height &&
  pathOf(a.picture) === pathOf(b.picture) &&
  a.packed.packing === b.packed.packing &&
  a.packed.bytes.length === b.packed.bytes.length &&
  a.packed.bytes.every((byte, i) => byte === b.packed.bytes[i]) &&
  JSON.stringify(a.boxes) === JSON.stringify(b.boxes);

/**
 * What tells a picture from others: its upload, else itself.
 * @param {Picture | null} picture
 */
const pathOf = (picture) => (picture?.upload && "path" in picture.upload ? picture.upload.path : picture);

export class Board {
  /**
   * @param {Beginning} given
   * @param {Layers} layers
   * @param {(what: What) => void} tell
   */
  constructor(given, layers, tell) {
    this.mode = given.mode;
    this.ids = IDS[given.mode];
    this.layers = layers;
    this.tell = tell;
    this.history = new History();
    this.settings = firstSettings(given);
    this.palette = given.palette;
    this.cellSize = given.cells; // side of a latent's cell in pixels
    this.maxBoxes = given.maxBoxes;
    this.outline = { left: 0, top: 0, width: 0, height: 0 }; // of what will be made
    this.sheet = new Sheet(given.width, given.height, this.ids.empty);
    /** @type {readonly Box[]} */
    this.boxes = [];
    /** @type {Picture | null} */
    this.picture = null;
    this.selected = -1; // index of a box
    this.drawn = false; // whether the selected box was just drawn
    /** @type {Rect | null} */
    this.stroked = null; // what the stroke under way may have changed
    this.before = { labels: this.sheet.labels.slice(), boxes: this.boxes }; // at the last commit
  }

  /**
   * Takes up what follows from the model; what is missing stays.
   * @param {Partial<Setup>} setup
   */
  setUp({ palette, cells, maxBoxes, outline }) {
    if (palette) this.#setPalette(palette);
    this.cellSize = cells ?? this.cellSize;
    this.maxBoxes = maxBoxes ?? this.maxBoxes;
    this.outline = outline ?? this.outline;
    this.set({});
    if (outline) this.tell("outline");
  }

  /**
   * Keeps what is painted in classes that the new palette has too, by name or by what they stand for; the rest
   * is cleared, in the steps of the undo as well.
   * @param {readonly Class[]} palette
   */
  #setPalette(palette) {
    const old = this.palette;
    this.palette = palette;
    this.settings.current = Math.min(this.settings.current, Math.max(0, palette.length - 1));
    if (this.mode !== "classes") return;
    const ids = new Uint8Array(256).fill(this.ids.empty);
    if (JSON.stringify(old) === JSON.stringify(palette)) return;
    old.forEach(({ name, stuff }, id) => {
      const same = palette.findIndex((entry) => entry.name === name);
      const found = same >= 0 ? same : palette.findIndex((entry) => entry.stuff.some((one) => stuff.includes(one)));
      if (found >= 0) ids[id] = found;
    });
    this.history.change((step) => withIds(step, ids));
    this.#show({ ...this.page(), packed: pack(this.sheet.labels.map((id) => ids[id])) });
    this.tell("page");
  }

  // Settings -------------------------------------------------------------------------------------------

  /** @param {Partial<Settings>} changes */
  set(changes) {
    Object.assign(this.settings, changes);
    const { settings, layers } = this;
    settings.size = Math.min(LARGEST_BRUSH, Math.max(1, Math.round(settings.size)));
    layers.paintWith(this.colours());
    layers.setCell(settings.cells && this.mode !== "boxes" ? this.cellSize : 0);
    this.tell("settings");
    if (changes.tool) this.tell("tool");
    this.tell("lines");
  }

  /** @returns {[id: number, colour: string][]} */
  colours() {
    if (this.mode === "mask") return [[this.paint(false), "#e5484d"]];
    return this.mode === "classes" ? this.palette.map(({ colour }, id) => [id, colour]) : [];
  }

  /** @param {string} name */
  colourOf(name) {
    return this.palette.find((entry) => entry.name === name)?.colour ?? "#9a9a9a";
  }

  /**
   * What is drawn: the classes by name, or the boxes by id.
   * @returns {{ key: string, name: string, colour: string }[]}
   */
  parts() {
    if (this.mode === "boxes")
      return this.boxes.map(({ id, label }, index) => ({
        key: id ?? String(index), name: `${index + 1} ${label}`, colour: this.colourOf(label),
      }));
    if (this.mode === "mask") return [];
    const painted = new Uint8Array(256);
    for (const id of this.sheet.labels) painted[id] = 1;
    return this.palette.flatMap(({ name, colour }, id) => (painted[id] ? [{ key: name, name, colour }] : []));
  }

  get className() {
    return this.palette[this.settings.current]?.name ?? "";
  }

  /**
   * The id to paint with, or to take away with.
   * @param {boolean} erase
   */
  paint(erase) {
    return erase ? this.ids.empty : (this.ids.paint ?? this.settings.current);
  }

  /**
   * Chooses a class; a selected box becomes one of that class, unless it was just drawn: then the next is meant.
   * @param {number} index
   */
  choose(index) {
    this.set({ current: index, erasing: false, tool: this.settings.tool === "eraser" ? "brush" : this.settings.tool });
    const box = this.boxes[this.selected];
    if (this.mode !== "boxes" || !box || box.label === this.className || this.drawn) return;
    this.replaceBox(this.selected, { ...box, label: this.className });
    this.commit();
  }

  // Strokes --------------------------------------------------------------------------------------------

  /**
   * Notes that a stroke changed pixels of `rect`.
   * @param {Rect | null} rect
   */
  touch(rect) {
    if (!rect) return;
    this.stroked = unite(this.stroked, rect);
    this.layers.touch(rect);
  }

  // Ends a stroke: it becomes one step of the undo.
  commit() {
    const { sheet, before, stroked } = this;
    const tiles = stroked ? changedTiles(before.labels, sheet.labels, stroked, sheet.width) : [];
    this.stroked = null;
    if (!tiles.length && this.boxes === before.boxes) return;
    this.#record({ tiles, boxes: before.boxes });
    this.#remember(stroked);
    this.tell("content");
    this.tell("lines");
  }

  // Takes back a stroke that is not ended.
  revert() {
    const { sheet, before, stroked } = this;
    this.boxes = before.boxes;
    this.stroked = null;
    this.#keepSelection();
    if (stroked) {
      const [start, end] = [stroked.y0 * sheet.width, stroked.y1 * sheet.width];
      sheet.labels.set(before.labels.subarray(start, end), start);
      this.layers.touch(stroked);
    }
    this.tell("lines");
  }

  /**
   * What the content is at the last commit, to see what the next stroke changes.
   * @param {Rect | null} rect
   */
  #remember(rect) {
    const { labels, width } = this.sheet;
    this.before.boxes = this.boxes;
    if (rect) this.before.labels.set(labels.subarray(rect.y0 * width, rect.y1 * width), rect.y0 * width);
  }

  /** @param {Change} change */
  #record(change) {
    this.history.push({ ...change, size: sizeOf(change) });
  }

  undo() {
    this.#step("undo");
  }

  redo() {
    this.#step("redo");
  }

  /** @param {"undo" | "redo"} direction */
  #step(direction) {
    this.revert();
    let paged = false;
    /** @type {(step: Step) => Step} */
    const exchange = (step) => {
      paged = step.page !== undefined;
      const back = step.page ? this.#exchangePage(step.page) : this.#exchangeTiles(step);
      return { ...back, size: sizeOf(back) };
    };
    this.history[direction](exchange);
    this.tell(paged ? "page" : "content");
    this.tell("lines");
  }

  /** @type {(stroke: Stroke) => Stroke} */
  #exchangeTiles({ tiles, boxes }) {
    const { labels, width } = this.sheet;
    const back = { tiles: tiles.map((tile) => readTile(labels, tile, width)), boxes: this.boxes };
    /** @type {Rect | null} */
    let rect = null;
    for (const tile of tiles) {
      writeTile(labels, tile, width);
      rect = unite(rect, { x0: tile.x0, y0: tile.y0, x1: tile.x1, y1: tile.y1 });
    }
    this.boxes = boxes;
    this.#remember(rect);
    this.#keepSelection();
    this.layers.touch(rect);
    return back;
  }

  /** @type {(page: Page) => Change} */
  #exchangePage(page) {
    const back = { page: this.page() };
    this.#show(page);
    return back;
  }

  // Pages ----------------------------------------------------------------------------------------------

  /**
   * Everything on the page.
   * @returns {Page}
   */
  page() {
    const { width, height, labels } = this.sheet;
    return { width, height, packed: pack(labels), boxes: this.boxes, picture: this.picture };
  }

  // How many of the picture's own pixels are one of the sheet's.
  get scale() {
    return this.picture ? this.picture.full.width / this.sheet.width : 1;
  }

  /**
   * Shows a page; undo goes back to the one before, where that was another.
   * @param {Content} page
   */
  open(page) {
    const before = this.page();
    this.#show(page);
    if (!isSame(before, this.page())) this.#record({ page: before });
    this.tell("page");
    this.tell("lines");
  }

  /** @param {Content} page */
  #show({ width, height, packed, boxes = [], picture = null }) {
    const sheet = new Sheet(width, height, this.ids.empty);
    if (packed) sheet.labels = unpack(packed, width * height);
    this.sheet = sheet;
    this.boxes = boxes;
    this.selected = -1;
    this.picture = picture;
    this.stroked = null;
    this.before = { labels: sheet.labels.slice(), boxes };
    this.layers.show(sheet, picture?.bitmap ?? null);
  }

  /**
   * An empty page and the settings of the beginning.
   * @param {Beginning} given
   */
  reset(given) {
    Object.assign(this.settings, firstSettings(given));
    this.open({ width: given.width, height: given.height });
    this.history.forget();
    this.set({});
  }

  /**
   * Puts a picture under the drawing.  At another size the drawing begins anew.
   * @param {Picture | null} picture
   */
  setPicture(picture) {
    const { width, height } = picture?.bitmap ?? this.sheet;
    const same = width === this.sheet.width && height === this.sheet.height;
    const drawing = same ? this.page() : { width, height };
    this.open({ ...drawing, picture });
  }

  /**
   * Replaces the drawing with a loaded map of any size; the picture stays where the size is the same.
   * @param {Bytes} labels
   * @param {number} width
   * @param {number} height
   */
  setLabels(labels, width, height) {
    const same = width === this.sheet.width && height === this.sheet.height;
    if (same) {
      this.sheet.labels.set(labels);
      this.touch(this.sheet.bounds);
      this.commit();
    } else this.open({ width, height, packed: pack(labels), picture: null });
  }

  // Whole sheet ----------------------------------------------------------------------------------------

  clear() {
    this.boxes = this.boxes.length ? [] : this.boxes;
    this.selected = -1;
    this.touch(this.sheet.rectangle(this.sheet.bounds, this.ids.empty));
    this.commit();
  }

  invert() {
    this.touch(this.sheet.swap(this.ids.empty, this.paint(false)));
    this.commit();
  }

  grow() {
    this.touch(this.sheet.grow(this.paint(false), this.settings.distance));
    this.commit();
  }

  shrink() {
    this.touch(this.sheet.shrink(this.paint(false), this.settings.distance));
    this.commit();
  }

  // Boxes ----------------------------------------------------------------------------------------------
  // Arrays of boxes are never changed in place, so that undo can hold them as they are.

  /** @param {number} index */
  select(index) {
    this.selected = index;
    this.drawn = false;
    const found = this.palette.findIndex((entry) => entry.name === this.boxes[index]?.label);
    if (found >= 0) this.settings.current = found;
    this.tell("settings");
    this.tell("lines");
  }

  #keepSelection() {
    if (this.selected >= this.boxes.length) this.selected = -1;
  }

  get full() {
    return this.boxes.length >= this.maxBoxes;
  }

  /** @param {Rect} rect */
  addBox(rect) {
    this.boxes = [...this.boxes, { id: newId(), label: this.className, ...rect }];
    this.select(this.boxes.length - 1);
    this.drawn = true;
  }

  /** @type {(index: number, box: Box) => void} */
  replaceBox(index, box) {
    this.boxes = this.boxes.with(index, box);
    this.drawn = false;
    this.tell("lines");
  }

  deleteBox() {
    if (this.selected < 0) return;
    this.boxes = this.boxes.toSpliced(this.selected, 1);
    this.selected = -1;
    this.commit();
  }

  /**
   * Moves the selected box, or only its right and lower edge, inside the picture.
   * @param {number} dx
   * @param {number} dy
   * @param {boolean} resize
   */
  nudge(dx, dy, resize) {
    const box = this.boxes[this.selected];
    if (!box) return;
    this.replaceBox(this.selected, moveBox(box, dx, dy, this.sheet, resize ? "se" : "move"));
    this.commit();
  }
}
