// Picture files as the program reads them: what is shown is what is worked on.  Browsers turn some files another
// way, know fewer formats and other colours.  Python's side is app/widgets/shown.py.

/** @import { SendFile } from "./exchange.js" */
/** @import { Picture } from "./board.js" */
/**
 * `picture`: any; `mask`: grey, 255 where it is filled; `map`: colours, never mixed.
 * @typedef {"picture" | "mask" | "map"} Kind
 */
/**
 * `width` and `height` are the file's own; what is shown may be smaller.
 * @typedef {{ blob: Blob, width: number, height: number, notes: string[] }} Shown
 */

const LARGEST_FILE = 45_000_000; // bytes; what the program takes

// Why a file cannot be used, as the end of a sentence.
export class Refused extends Error {}

export class Reader {
  /** @param {SendFile} upload */
  constructor(upload) {
    this.upload = upload;
  }

  /**
   * A picture to work on; it is uploaded.
   * @param {Blob} blob
   * @returns {Promise<Picture & { notes: string[], shrunk: boolean }>}
   */
  async read(blob) {
    const path = await this.send(blob);
    const { bitmap, shown } = await this.show(path);
    const upload = { path, time: Date.now() };
    return { bitmap, blob, upload, notes: shown.notes, shrunk: shown.width !== bitmap.width };
  }

  /** @type {(blob: Blob) => Promise<string>} */
  async send(blob) {
    if (blob.size > LARGEST_FILE)
      throw new Refused(`It has ${Math.round(blob.size / 1e6)} MB; files of up to ${LARGEST_FILE / 1e6} MB can be used.`);
    const suffix = blob.type.split("/")[1] ?? "picture";
    const name = blob instanceof File ? blob.name : `picture.${suffix}`;
    const { path } = await this.upload(new File([blob], name, { type: blob.type }));
    return path;
  }

  /** @type {(path: string) => Promise<{ bitmap: ImageBitmap, shown: Shown }>} */
  async show(path) {
    const shown = await this.fetch(path, "picture");
    return { bitmap: await createImageBitmap(shown.blob), shown };
  }

  /** @type {(path: string, kind: Kind) => Promise<Shown>} */
  async fetch(path, kind) {
    const answer = await fetch(new URL(`picture?${new URLSearchParams({ path, kind })}`, import.meta.url));
    if (!answer.ok) throw new Error(answer.statusText);
    if (answer.headers.has("x-refused")) throw new Refused(await answer.text());
    const facts = JSON.parse(answer.headers.get("x-picture") ?? "{}");
    return { blob: await answer.blob(), ...facts };
  }
}
