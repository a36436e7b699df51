// Picture files as the program reads them: what is shown is what is worked on.  Browsers turn some files another
// way, know fewer formats and other colours.  Python's side is app/widgets/shown.py.

/** @import { SendFile } from "./exchange.js" */
/** @import { KeptPicture } from "./keep.js" */
/** @import { FetchTile } from "./tiles.js" */
/** @import { Picture } from "./board.js" */
/**
 * `picture`: any; `mask`: grey, 255 where it is filled; `map`: colours, never mixed.
 * @typedef {"picture" | "mask" | "map"} Kind
 */
/**
 * `width` and `height` are the file's own; what is shown may be smaller.
 * @typedef {{ blob: Blob, width: number, height: number, notes: string[] }} Shown
 */

const LARGEST_FILE = 450_000_000; // bytes; what the program takes

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
   * @returns {Promise<Picture & { notes: string[] }>}
   */
  async read(blob) {
    const path = await this.send(blob);
    return this.uploaded(path, blob);
  }

  /** @type {(path: string, file: Blob | Promise<Blob>) => Promise<Picture & { notes: string[] }>} */
  async uploaded(path, file) {
    const [shown, blob] = await Promise.all([this.fetch(path, "picture"), file]);
    const { width, height, notes } = shown;
    const bitmap = await createImageBitmap(shown.blob);
    return { bitmap, full: { width, height }, blob, upload: { path, time: Date.now() }, notes };
  }

  /**
   * A picture that was kept across a reload: the program may have it still.
   * @type {(kept: KeptPicture) => Promise<Picture>}
   */
  async reopen({ blob, path }) {
    if (path) {
      try {
        return await this.uploaded(path, blob);
      } catch {
        // sent anew
      }
    }
    return this.read(blob);
  }

  /** @type {FetchTile} */
  async tile(path, { level, column, row }, signal) {
    const asked = new URLSearchParams({ path, level: `${level}`, column: `${column}`, row: `${row}` });
    const answer = await fetch(new URL(`tile?${asked}`, import.meta.url), { signal });
    if (!answer.ok) throw new Error(answer.statusText);
    return createImageBitmap(await answer.blob());
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

  /** @type {(path: string, kind: Kind) => Promise<Shown>} */
  async fetch(path, kind) {
    const answer = await fetch(new URL(`picture?${new URLSearchParams({ path, kind })}`, import.meta.url));
    if (!answer.ok) throw new Error(answer.statusText);
    if (answer.headers.has("x-refused")) throw new Refused(await answer.text());
    const facts = JSON.parse(answer.headers.get("x-picture") ?? "{}");
    return { blob: await answer.blob(), ...facts };
  }
}
