// Opening and saving pictures, masks, label maps and boxes; dropping and pasting.

import { LARGEST_SIDE } from "./board.js";
import { contextOf } from "./dom.js";
import { decodePng, encodePng } from "./png.js";
import { Refused } from "./reader.js";
import { fromBoxes, toBoxes } from "./value.js";

/** @import { Board, Class } from "./board.js" */
/** @import { Size } from "./geometry.js" */
/** @import { Png, Rgb } from "./png.js" */
/** @import { Reader } from "./reader.js" */
/** @import { Bytes } from "./value.js" */
/** @typedef {Size & { values: Bytes }} LabelMap */

const STUFF = 182; // classes of COCO-Stuff

export class Files {
  /**
   * @param {Board} board
   * @param {Reader} reader
   * @param {(text: string) => void} note  tells the person
   */
  constructor(board, reader, note) {
    this.board = board;
    this.reader = reader;
    this.note = note;
  }

  /**
   * A picture to work on -> true when it was opened.
   * @param {Blob} blob
   */
  async openPicture(blob) {
    const picture = await this.#read(() => this.reader.read(blob));
    if (!picture) return false;
    this.board.setPicture(picture);
    const { width, height } = picture.bitmap;
    const large = width < picture.full.width;
    const painted = large ? [`Zoom in to see all its pixels; it is painted on at ${width} × ${height}.`] : [];
    if (painted.length + picture.notes.length) this.note([...picture.notes, ...painted].join(" "));
    return true;
  }

  /**
   * A mask, label map or boxes, as the mode has it.
   * @param {Blob} blob
   */
  async openDrawing(blob) {
    if (this.board.mode === "boxes") return this.#openBoxes(blob);
    const map = await this.#read(() => this.#readMap(blob));
    if (!map) return false;
    const { sheet, picture } = this.board;
    const fits = map.width === sheet.width && map.height === sheet.height;
    if (picture && !fits) {
      this.board.setLabels(resample(map, sheet.width, sheet.height), sheet.width, sheet.height);
      this.note(`It was ${map.width} × ${map.height} and is now the size of the picture.`);
    } else this.board.setLabels(map.values, map.width, map.height);
    return true;
  }

  /** @param {Blob} blob */
  async #openBoxes(blob) {
    const entries = await this.#read(async () => {
      const text = await blob.text();
      try {
        /** @type {unknown} */
        const content = JSON.parse(text);
        const list = Array.isArray(content) ? content : /** @type {{ boxes?: unknown } | null} */ (content)?.boxes;
        if (Array.isArray(list)) return fromBoxes(list.slice(0, 1000), this.board.sheet);
      } catch {
        // told below
      }
      throw new Refused("This file cannot be opened: it holds no boxes, or it is damaged.");
    });
    if (!entries) return false;
    const { board } = this;
    board.boxes = entries.slice(0, board.maxBoxes);
    board.selected = -1;
    board.commit();
    if (entries.length > board.maxBoxes) this.note(`This model takes up to ${board.maxBoxes} boxes.`);
    return true;
  }

  /**
   * A file whose purpose is not said: boxes are JSON; a picture goes under the drawing.
   * @param {File} file
   */
  openAny(file) {
    const boxes = this.board.mode === "boxes" && (file.type === "application/json" || /\.json$/i.test(file.name));
    return boxes ? this.openDrawing(file) : this.openPicture(file);
  }

  // The picture's transparent parts as the mask.
  maskFromTransparency() {
    const { picture } = this.board;
    if (!picture) return;
    const { data, width, height } = pixelsOf(picture.bitmap);
    const values = new Uint8Array(width * height);
    for (let i = 0; i < values.length; i++) values[i] = this.board.paint(data[4 * i + 3] >= 128);
    if (values.some(Boolean)) this.board.setLabels(values, width, height);
    else this.note("No part of this picture is transparent.");
  }

  async save() {
    const { board } = this;
    const { labels, width, height } = board.sheet;
    if (board.mode === "boxes") {
      const text = JSON.stringify(toBoxes(board.boxes, board.sheet), null, 2);
      download(new Blob([text], { type: "application/json" }), "boxes.json");
    } else if (board.mode === "mask") download(await encodePng(labels, width, height), "mask.png");
    else {
      const palette = board.palette.map(({ colour }) => rgbOf(colour));
      download(await encodePng(labels, width, height, palette), "labels.png");
    }
  }

  /** @type {(blob: Blob) => Promise<LabelMap>} */
  async #readMap(blob) {
    if (this.board.mode === "mask") return this.#readMask(blob);
    const png = await decodePng(await blob.arrayBuffer());
    if (png && Math.max(png.width, png.height) <= LARGEST_SIDE) {
      const values = this.#classIds(png);
      if (values) return { ...png, values };
    }
    const shown = await this.reader.fetch(await this.reader.send(blob), "map");
    const { data, width, height } = pixelsOf(await createImageBitmap(shown.blob));
    return { values: nearest(data, this.board.palette), width, height };
  }

  /** @type {(blob: Blob) => Promise<LabelMap>} */
  async #readMask(blob) {
    const shown = await this.reader.fetch(await this.reader.send(blob), "mask");
    const mask = await decodePng(await shown.blob.arrayBuffer());
    if (!mask) throw new Error("no mask came");
    if (shown.notes.length) this.note(shown.notes.join(" "));
    return mask;
  }

  /**
   * A file's values as class ids, or null where they are not meant so.  A file painted in the palette's own
   * colours, most of them at least, is read by colour, whatever order its writer gave them; else the indices are
   * the ids.
   * @type {(png: Png) => Bytes | null}
   */
  #classIds({ values, palette }) {
    const used = [...new Set(values)];
    const ours = new Map(this.board.palette.map(({ colour }, id) => [colour, id]));
    if (palette) {
      const ids = new Uint8Array(256).fill(255);
      for (const value of used) ids[value] = ours.get(hex(palette[value] ?? [])) ?? 255;
      const known = used.filter((value) => ids[value] !== 255 || value === 255);
      if (known.length === used.length) return values.map((value) => ids[value]);
      if (known.length > used.length / 2) return null;
    }
    const own = this.board.palette;
    if (used.every((value) => value < own.length || value === 255)) return values;
    if (palette || used.some((value) => value >= STUFF && value !== 255)) return null;
    // Grey values that are no ids of this palette: the ids of COCO-Stuff, as real label maps have them.
    const ids = new Uint8Array(256).fill(255);
    for (const value of used) {
      const found = own.findIndex(({ stuff }) => stuff.includes(value));
      if (found >= 0) ids[value] = found;
    }
    this.note("Read as a map of COCO-Stuff's classes; what this model does not know is left empty.");
    return values.map((value) => ids[value]);
  }

  /**
   * What `work` reads; null, and the person is told, where the file cannot be read.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T | null>}
   */
  async #read(work) {
    try {
      return await work();
    } catch (error) {
      this.note(error instanceof Refused ? error.message : "The file did not reach the program; open it again.");
      return null;
    }
  }
}

/**
 * Takes files that are dropped on the element, and pictures whose paste is meant for it.
 * @param {HTMLElement} element
 * @param {(event: ClipboardEvent) => boolean} mine
 * @param {(file: File) => void} open
 */
export const receiveFiles = (element, mine, open) => {
  const carries = (/** @type {DragEvent} */ event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  element.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    element.classList.add("dropping");
  });
  element.addEventListener("dragleave", () => element.classList.remove("dropping"));
  element.addEventListener("drop", (event) => {
    element.classList.remove("dropping");
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    open(file);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file || !mine(event)) return;
    event.preventDefault();
    open(file);
  });
};

/** @type {(blob: Blob, name: string) => void} */
export const download = (blob, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};


/** @param {ImageBitmap} bitmap */
const pixelsOf = (bitmap) => {
  const context = contextOf(new OffscreenCanvas(bitmap.width, bitmap.height));
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
};

/**
 * Each pixel's class by the nearest colour of the palette; transparent pixels are empty.
 * @type {(data: Uint8ClampedArray, palette: readonly Class[]) => Bytes}
 */
const nearest = (data, palette) => {
  const colours = palette.map(({ colour }) => rgbOf(colour));
  const known = new Map(); // most pixels of a map share a few colours
  const ids = new Uint8Array(data.length / 4).fill(255);
  for (let i = 0; i < ids.length; i++) {
    const [red, green, blue, alpha] = [data[4 * i], data[4 * i + 1], data[4 * i + 2], data[4 * i + 3]];
    if (alpha < 128) continue;
    const key = (red << 16) | (green << 8) | blue;
    let id = known.get(key);
    if (id === undefined) {
      const distances = colours.map(([r, g, b]) => (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2);
      id = distances.indexOf(Math.min(...distances));
      known.set(key, id);
    }
    ids[i] = id;
  }
  return ids;
};

/**
 * The map at another size, each pixel from the one at its centre: ids cannot be mixed.
 * @type {(map: LabelMap, width: number, height: number) => Bytes}
 */
const resample = (map, width, height) => {
  const values = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * map.height) / height) * map.width;
    for (let x = 0; x < width; x++)
      values[y * width + x] = map.values[row + Math.floor(((x + 0.5) * map.width) / width)];
  }
  return values;
};

/** @type {(colour: string) => Rgb} */
const rgbOf = (colour) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
/** @type {(rgb: Rgb) => string} */
const hex = (rgb) => `#${rgb.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
