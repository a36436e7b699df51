// The canvas's value on its way to Python and back.  Python's side is app/widgets/canvas.py.
//
// To Python goes the whole content, at the end of every stroke and before anything else can be pressed.

import { fromBase64, fromBoxes, toBase64, toBoxes, unpack } from "./value.js";

/** @import { Board, Content, Mode, Outline, Picture, Setup } from "./board.js" */

/** @import { Step } from "./history.js" */
/** @import { Kept, KeptPicture, KeptStep } from "./keep.js" */
/** @import { Reader } from "./reader.js" */
/** @import { BoxEntry, Packed } from "./value.js" */
/**
 * To Python.  `picture` is the uploaded file, or says why there is none yet.
 * @typedef {object} SentValue
 * @property {Mode} mode
 * @property {number} width
 * @property {number} height
 * @property {string[]} classes
 * @property {Packed["packing"] | null} packing
 * @property {string | null} labels  in base64
 * @property {BoxEntry[]} boxes
 * @property {{ path: string } | { state: "sending" | "lost" } | null} picture
 * @property {number} feather
 * @property {Outline} outline
 */
/**
 * From Python; what is null stays as it is.
 * @typedef {object} ReceivedValue
 * @property {"python"} from
 * @property {Partial<Setup> | null} [setup]
 * @property {boolean} [initial]  what the browser kept goes first
 * @property {number | null} [width]
 * @property {number | null} [height]
 * @property {Packed["packing"] | null} [packing]
 * @property {string | null} [labels]  in base64
 * @property {unknown[] | null} [boxes]
 * @property {{ path: string, url: string } | null} [picture]
 * @property {number | null} [feather]
 */
/** @typedef {(file: File) => Promise<{ path: string }>} SendFile  gradio's */
/**
 * @typedef {object} Parts
 * @property {Board} board
 * @property {Reader} reader
 * @property {(value: SentValue) => void} put  hands a value to gradio
 * @property {(text: string) => void} note  tells the person
 */

const FRESH = 30 * 60 * 1000; // milliseconds after which the server may have dropped an upload

export class Exchange {
  /** @param {Parts} parts */
  constructor({ board, reader, put, note }) {
    this.board = board;
    this.reader = reader;
    this.put = put;
    this.note = note;
  }

  // `page` is the board's page, where the caller has it already.
  send({ width, height, packed, boxes } = this.board.page()) {
    const { board } = this;
    const { mode, outline } = board;
    const drawn = mode !== "boxes";
    this.put({
      mode,
      width,
      height,
      classes: mode === "classes" ? board.palette.map(({ name }) => name) : [],
      packing: drawn ? packed.packing : null,
      labels: drawn ? toBase64(packed.bytes) : null,
      boxes: drawn ? [] : toBoxes(boxes, board.sheet),
      picture: this.#picture(),
      feather: board.settings.feather,
      outline,
    });
  }

  // Whether the picture is still on its way, so that Python could not use the value.
  get sending() {
    const upload = this.board.picture?.upload;
    return Boolean(upload && "state" in upload && upload.state === "sending");
  }

  /** @returns {SentValue["picture"]} */
  #picture() {
    const { picture } = this.board;
    if (!picture) return null;
    const { upload } = picture;
    if (upload && "state" in upload) return { state: upload.state };
    if (!upload || Date.now() - upload.time >= FRESH) this.#sendPicture(picture);
    return upload ? { path: upload.path } : { state: "sending" };
  }

  /**
   * Uploads the picture once; when it has arrived the value is sent again, with its path.
   * @param {Picture} picture
   */
  async #sendPicture(picture) {
    if (picture.sending) return;
    picture.sending = true;
    picture.upload ??= { state: "sending" };
    try {
      picture.upload = { path: await this.reader.send(picture.blob), time: Date.now() };
    } catch {
      this.note("The picture did not reach the program. Open it again, or reload the page.");
      if ("path" in picture.upload) {
        picture.sending = false; // the old upload may still be there; the next stroke tries again
        return;
      }
      picture.upload = { state: "lost" };
    }
    picture.sending = false;
    if (this.board.picture === picture) this.send();
  }

  /**
   * Takes up what Python says.
   * @param {ReceivedValue | null} value
   */
  async receive(value) {
    const { board } = this;
    if (!value) {
      board.open({ width: board.sheet.width, height: board.sheet.height });
      return;
    }
    if (value.setup) board.setUp(value.setup);
    if (typeof value.feather === "number") board.set({ feather: value.feather });
    const width = value.width ?? board.sheet.width;
    const height = value.height ?? board.sheet.height;
    const stays = width === board.sheet.width && height === board.sheet.height;
    const picture = value.picture ? await this.#fetchPicture(value.picture) : stays ? board.picture : null;
    if (stays && !value.labels && !value.boxes) {
      if (picture !== board.picture) board.setPicture(picture);
      return;
    }
    /** @type {Content} */
    const page = stays ? board.page() : { width, height };
    if (value.labels && value.packing) page.packed = { packing: value.packing, bytes: fromBase64(value.labels) };
    if (value.boxes) page.boxes = fromBoxes(value.boxes, { width, height });
    board.open({ ...page, picture });
  }

  /** @type {(file: { path: string, url: string }) => Promise<Picture | null>} */
  async #fetchPicture({ path, url }) {
    try {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(answer.statusText);
      return await this.reader.uploaded(path, answer.blob());
    } catch {
      this.note("The picture could not be fetched. Reload the page.");
      return null;
    }
  }
}

/** @type {(picture: Picture | null) => KeptPicture | null} */
const keptPicture = (picture) => {
  const upload = picture?.upload;
  return picture && { blob: picture.blob, path: upload && "path" in upload ? upload.path : null };
};

/** @type {(step: Step) => KeptStep} */
const keptStep = (step) =>
  step.page ? { ...step, page: { ...step.page, picture: keptPicture(step.page.picture) } } : step;

/**
 * What the browser keeps of a board across reloads.
 * @param {Board} board
 * @returns {Kept}
 */
export const toRecord = (board, page = board.page()) => ({
  ...page,
  mode: board.mode,
  palette: board.palette,
  picture: keptPicture(page.picture),
  settings: { ...board.settings },
  past: board.history.past.map(keptStep),
  future: board.history.future.map(keptStep),
});

/**
 * Opens a kept record on the board; false where it does not fit.
 * @param {Board} board
 * @param {Reader} reader
 * @param {Kept | null} record
 */
export const openRecord = async (board, reader, record) => {
  if (!record) return false;
  const { width, height, packed, boxes, picture, palette, settings, mode, past, future } = record;
  if (mode !== board.mode || !width || !height) return false;
  if (unpack(packed, width * height).length !== width * height) return false;
  /** @type {Map<Blob, Promise<Picture | null>>} */
  const opening = new Map(); // several steps share a picture
  /** @type {(kept: KeptPicture | null) => Promise<Picture | null> | null} */
  const opened = (kept) => {
    if (!kept) return null;
    const found = opening.get(kept.blob) ?? reader.reopen(kept).catch(() => null);
    opening.set(kept.blob, found);
    return found;
  };
  /** @type {(step: KeptStep) => Promise<Step>} */
  const openStep = async (step) =>
    step.page ? { ...step, page: { ...step.page, picture: await opened(step.page.picture) } } : step;
  const shown = await opened(picture);
  const steps = await Promise.all([past, future].map((list) => Promise.all((list ?? []).map(openStep))));
  if (palette) board.setUp({ palette });
  const current = Math.min(settings.current, Math.max(0, board.palette.length - 1));
  board.set({ ...settings, current });
  board.open({ width, height, packed, boxes, picture: shown });
  board.history.restore(steps[0], steps[1]);
  return true;
};
