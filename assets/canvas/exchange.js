// The canvas's value on its way to Python and back.  Python's side is app/widgets/canvas.py.
//
// To Python goes the whole content, at the end of every stroke and before anything else can be pressed:
//   { mode, width, height, classes, packing, labels, boxes, picture, feather, outline }
// `picture` is null, { path } of the uploaded file, or { state: "sending" | "lost" } until there is one.
// From Python come the same fields, each null for "stays as it is", and `setup`, marked by `from: "python"`.

import { fromBase64, fromBoxes, toBase64, toBoxes, unpack } from "./value.js";

const FRESH = 30 * 60 * 1000; // milliseconds after which the server may have dropped an upload

export class Exchange {
  // `upload(file)` is gradio's; `put(value)` hands a value to gradio; `note(text)` tells the person.
  constructor({ board, upload, put, note }) {
    Object.assign(this, { board, upload, put, note });
  }

  // `page` is the board's page, where the caller has it already.
  send({ width, height, packed, boxes } = this.board.page()) {
    const { board } = this;
    const value = { mode: board.mode, width, height, classes: [], packing: null, labels: null, boxes: [] };
    if (board.mode === "boxes") value.boxes = toBoxes(boxes, board.sheet);
    else Object.assign(value, { packing: packed.packing, labels: toBase64(packed.bytes) });
    if (board.mode === "classes") value.classes = board.palette.map(({ name }) => name);
    value.picture = this.#picture();
    value.feather = board.settings.feather;
    value.outline = board.outline;
    this.put(value);
  }

  // Whether the picture is still on its way, so that Python could not use the value.
  get sending() {
    return this.board.picture?.upload?.state === "sending";
  }

  #picture() {
    const { picture } = this.board;
    if (!picture) return null;
    const { upload } = picture;
    if (upload?.path && Date.now() - upload.time < FRESH) return { path: upload.path };
    if (upload?.state !== "lost") this.#sendPicture(picture);
    return picture.upload?.path ? { path: picture.upload.path } : { state: picture.upload.state };
  }

  // Uploads the picture once; when it has arrived the value is sent again, with its path.
  async #sendPicture(picture) {
    if (picture.sending) return;
    picture.sending = true;
    picture.upload ??= { state: "sending" };
    try {
      const suffix = picture.blob.type.split("/")[1] ?? "png";
      const { path } = await this.upload(new File([picture.blob], `picture.${suffix}`, { type: picture.blob.type }));
      picture.upload = { path, time: Date.now() };
    } catch {
      if (!picture.upload.path) picture.upload = { state: "lost" };
      this.note("The picture did not reach the program. Open it again, or reload the page.");
    }
    picture.sending = false;
    if (this.board.picture === picture) this.send();
  }

  // Takes up what Python says.
  async receive(value) {
    const { board } = this;
    if (!value) {
      board.open({ width: board.sheet.width, height: board.sheet.height });
      return;
    }
    if (value.setup) board.setUp(value.setup);
    if (Number.isInteger(value.feather)) board.set({ feather: value.feather });
    const width = value.width ?? board.sheet.width;
    const height = value.height ?? board.sheet.height;
    const stays = width === board.sheet.width && height === board.sheet.height;
    const picture = value.picture ? await this.#fetchPicture(value.picture) : stays ? board.picture : null;
    if (stays && !value.labels && !value.boxes) {
      if (picture !== board.picture) board.replacePicture(picture);
      return;
    }
    const page = stays ? board.page() : { width, height };
    if (value.labels) page.packed = { packing: value.packing, bytes: fromBase64(value.labels) };
    if (value.boxes) page.boxes = fromBoxes(value.boxes, { width, height });
    board.open({ ...page, picture }, { undoable: value.undoable === true });
  }

  async #fetchPicture({ path, url }) {
    try {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(answer.statusText);
      const blob = await answer.blob();
      return { bitmap: await createImageBitmap(blob), blob, upload: { path, time: Date.now() } };
    } catch {
      this.note("The picture could not be fetched. Reload the page.");
      return null;
    }
  }
}

// What the browser keeps of a board across reloads.
export const toRecord = (board, page = board.page()) => ({
  ...page,
  mode: board.mode,
  picture: page.picture?.blob ?? null,
  settings: { ...board.settings },
});

// Opens a kept record on the board; false where it does not fit.
export const openRecord = async (board, record) => {
  const { width, height, packed, boxes, picture, settings, mode } = record ?? {};
  if (mode !== board.mode || !width || !height) return false;
  if (unpack(packed, width * height).length !== width * height) return false;
  const bitmap = picture && (await createImageBitmap(picture).catch(() => null));
  const current = Math.min(settings.current, Math.max(0, board.palette.length - 1));
  board.set({ ...settings, current });
  board.open({ width, height, packed, boxes, picture: bitmap ? { bitmap, blob: picture, upload: null } : null });
  return true;
};
