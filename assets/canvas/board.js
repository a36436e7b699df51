// What is being worked on: label map, boxes, picture, settings and undo, and every way to change them.
// Draws nothing itself: it tells `layers` which pixels changed, and `tell` what happened:
// "content" (map or boxes), "page" (size or picture), "settings", "outline", "lines" (something drawn over the
// sheet).

import { changedTiles, History, readTile, sizeOf, writeTile } from "./history.js";
import { moveBox, unite } from "./geometry.js";
import { Sheet } from "./sheet.js";
import { pack, unpack } from "./value.js";

export const LARGEST_SIDE = 2048;
export const LARGEST_BRUSH = 400;

// Ids of a pixel with nothing painted, and of a painted one where there is only one kind of paint.
const IDS = { mask: { empty: 0, paint: 255 }, classes: { empty: 255 }, boxes: { empty: 255 } };

const firstSettings = ({ mode, feather }) => ({
  tool: mode === "boxes" ? "box" : "brush",
  size: 40, // brush's diameter in pixels of the picture
  current: 0, // index of the class to paint with
  erasing: false, // bucket, rectangle and lasso take paint away
  pressure: false,
  opacity: mode === "mask" ? 55 : 80, // percent
  feather,
  distance: 4, // pixels of one Grow or Shrink
  cells: false,
});

export class Board {
  constructor(given, layers, tell) {
    const { mode, palette, cells, maxBoxes } = given;
    this.mode = mode;
    this.ids = IDS[mode];
    this.layers = layers;
    this.tell = tell;
    this.history = new History();
    this.boxes = [];
    this.outline = { left: 0, top: 0, width: 0, height: 0 };
    this.settings = firstSettings(given);
    this.setUp({ palette, cells, maxBoxes });
  }

  // What follows from the model: its classes, its latent's cells, how many boxes it takes; and the outline,
  // { left, top, width, height }, of what will be made.
  setUp({ palette, cells, maxBoxes, outline }) {
    if (palette) this.#setPalette(palette);
    this.cellSize = cells ?? this.cellSize;
    this.maxBoxes = maxBoxes ?? this.maxBoxes;
    this.outline = outline ?? this.outline;
    if (this.sheet) this.set({});
    if (outline) this.tell("outline");
  }

  // Keeps what is painted in classes that the new palette has too, by name or by what they stand for; the
  // rest is cleared.
  #setPalette(palette) {
    const old = this.palette;
    this.palette = palette;
    this.settings.current = Math.min(this.settings.current, Math.max(0, palette.length - 1));
    if (this.mode !== "classes" || !old || !this.sheet) return;
    const ids = new Uint8Array(256).fill(this.ids.empty);
    if (JSON.stringify(old) === JSON.stringify(palette)) return;
    old.forEach(({ name, stuff }, id) => {
      const same = palette.findIndex((entry) => entry.name === name);
      const found = same >= 0 ? same : palette.findIndex((entry) => entry.stuff.some((one) => stuff.includes(one)));
      if (found >= 0) ids[id] = found;
    });
    const labels = this.sheet.labels.map((id) => ids[id]);
    this.open({ ...this.page(), packed: pack(labels) });
  }

  // Settings -------------------------------------------------------------------------------------------

  set(changes) {
    Object.assign(this.settings, changes);
    const { settings, layers } = this;
    settings.size = Math.min(LARGEST_BRUSH, Math.max(1, Math.round(settings.size)));
    layers.paintWith(this.colours());
    layers.setCell(settings.cells && this.mode !== "boxes" ? this.cellSize : 0);
    this.tell("settings");
    this.tell("lines");
  }

  colours() {
    if (this.mode === "mask") return [[this.ids.paint, "#e5484d"]];
    return this.mode === "classes" ? this.palette.map(({ colour }, id) => [id, colour]) : [];
  }

  colourOf(name) {
    return this.palette.find((entry) => entry.name === name)?.colour ?? "#9a9a9a";
  }

  get className() {
    return this.palette[this.settings.current]?.name ?? "";
  }

  // The id to paint with, or to take away with.
  paint(erase) {
    return erase ? this.ids.empty : (this.ids.paint ?? this.settings.current);
  }

  // Chooses a class; a selected box becomes one of that class, unless it was just drawn: then the next is meant.
  choose(index) {
    this.set({ current: index, erasing: false, tool: this.settings.tool === "eraser" ? "brush" : this.settings.tool });
    const box = this.boxes[this.selected];
    if (this.mode !== "boxes" || !box || box.label === this.className || this.drawn) return;
    this.replaceBox(this.selected, { ...box, label: this.className });
    this.commit();
  }

  // Strokes --------------------------------------------------------------------------------------------

  // Notes that a stroke changed pixels of `rect`.
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

  // What the content is at the last commit, to see what the next stroke changes.
  #remember(rect) {
    const { labels, width } = this.sheet;
    this.before.boxes = this.boxes;
    if (rect) this.before.labels.set(labels.subarray(rect.y0 * width, rect.y1 * width), rect.y0 * width);
  }

  #record(step) {
    this.history.push({ ...step, size: sizeOf(step) });
  }

  undo() {
    this.#step("undo");
  }

  redo() {
    this.#step("redo");
  }

  #step(direction) {
    this.revert();
    let paged = false;
    this.history[direction]((step) => {
      paged = Boolean(step.page);
      const back = paged ? this.#exchangePage(step.page) : this.#exchangeTiles(step);
      return { ...back, size: sizeOf(back) };
    });
    this.tell(paged ? "page" : "content");
    this.tell("lines");
  }

  #exchangeTiles({ tiles, boxes }) {
    const { labels, width } = this.sheet;
    const back = { tiles: tiles.map((tile) => readTile(labels, tile, width)), boxes: this.boxes };
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

  #exchangePage(page) {
    const back = { page: this.page() };
    this.#show(page);
    return back;
  }

  // Pages ----------------------------------------------------------------------------------------------

  // Everything on the page; `picture` is null or { bitmap, blob, upload }.
  page() {
    const { width, height, labels } = this.sheet;
    return { width, height, packed: pack(labels), boxes: this.boxes, picture: this.picture };
  }

  // Shows a page.  Unless `undoable`, what was before is gone, undo included.
  open(page, { undoable = false } = {}) {
    if (undoable && this.sheet) this.#record({ page: this.page() });
    else this.history.forget();
    this.#show(page);
    this.tell("page");
    this.tell("lines");
  }

  #show({ width, height, packed = null, boxes = [], picture = null }) {
    const sheet = new Sheet(width, height, this.ids.empty);
    if (packed) sheet.labels = unpack(packed, width * height);
    this.sheet = sheet;
    this.boxes = boxes;
    this.selected = -1;
    this.picture = picture;
    this.stroked = null;
    this.before = { labels: sheet.labels.slice(), boxes };
    this.layers.show(sheet, picture?.bitmap);
  }

  // An empty page and the settings of the beginning.
  reset(given) {
    Object.assign(this.settings, firstSettings(given));
    this.open({ width: given.width, height: given.height });
    this.set({});
  }

  // Puts a picture under the drawing.  At another size the drawing begins anew.
  setPicture(picture) {
    const { width, height } = picture?.bitmap ?? this.sheet;
    const same = width === this.sheet.width && height === this.sheet.height;
    const drawing = same ? this.page() : { width, height };
    this.open({ ...drawing, picture }, { undoable: true });
  }

  // Another picture of the same size under the drawing, which stays, its undo included.
  replacePicture(picture) {
    this.picture = picture;
    this.layers.show(this.sheet, picture?.bitmap);
    this.tell("content");
  }

  // Replaces the drawing with a loaded map of any size; the picture stays where the size is the same.
  setLabels(labels, width, height) {
    const same = width === this.sheet.width && height === this.sheet.height;
    if (same) {
      this.sheet.labels.set(labels);
      this.touch(this.sheet.bounds);
      this.commit();
    } else this.open({ width, height, packed: pack(labels), picture: null }, { undoable: true });
  }

  // Whole sheet ----------------------------------------------------------------------------------------

  clear() {
    this.boxes = this.boxes.length ? [] : this.boxes;
    this.selected = -1;
    this.touch(this.sheet.rectangle(this.sheet.bounds, this.ids.empty));
    this.commit();
  }

  invert() {
    this.touch(this.sheet.swap(this.ids.empty, this.ids.paint));
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

  addBox(rect) {
    this.boxes = [...this.boxes, { label: this.className, ...rect }];
    this.select(this.boxes.length - 1);
    this.drawn = true;
  }

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

  // Moves the selected box, or only its right and lower edge, inside the picture.
  nudge(dx, dy, resize) {
    const box = this.boxes[this.selected];
    if (!box) return;
    this.replaceBox(this.selected, moveBox(box, dx, dy, this.sheet, resize ? "se" : "move"));
    this.commit();
  }
}
