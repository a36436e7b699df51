// Selecting by colour: the pixels that are like the one under the pointer, and the tool that does it.

/** @import { Board } from "./board.js" */
/** @import { Input, Tool } from "./tools.js" */
/** @typedef {Uint8ClampedArray | Uint8Array} Colours  red, green, blue, alpha of each pixel */

export const LARGEST_TOLERANCE = 128; // of 255, in the channel that differs most
const DRAG = 2; // pixels of the screen for one step of the tolerance

/**
 * 1 for each pixel whose colour differs from that at `seed` by at most `tolerance` in every channel, as the
 * picture is seen: transparency counts as a channel.
 * @type {(colours: Colours, seed: number, tolerance: number) => Uint8Array}
 */
export const alike = (colours, seed, tolerance) => {
  const [red, green, blue, alpha] = colours.subarray(4 * seed, 4 * seed + 4);
  const found = new Uint8Array(colours.length / 4);
  for (let i = 0, at = 0; i < found.length; i++, at += 4)
    if (
      Math.abs(colours[at] - red) <= tolerance &&
      Math.abs(colours[at + 1] - green) <= tolerance &&
      Math.abs(colours[at + 2] - blue) <= tolerance &&
      Math.abs(colours[at + 3] - alpha) <= tolerance
    )
      found[i] = 1;
  return found;
};

/**
 * Of `chosen`, what hangs together with the pixel `seed`; specks inside it that differ belong to it, so that a
 * textured wall has no holes.
 * @type {(chosen: Uint8Array, width: number, seed: number) => Uint8Array}
 */
export const connected = (chosen, width, seed) => {
  const { length } = chosen;
  const region = new Uint8Array(length);
  flood(chosen, width, [seed], region);
  const rest = region.map((inside) => 1 - inside);
  const seen = new Uint8Array(length);
  flood(rest, width, edge(width, length / width), seen);
  const speck = Math.max(8, Math.round(length / 4000)); // pixels
  for (let i = 0; i < length; i++)
    if (rest[i] && !seen[i] && flood(rest, width, [i], seen) <= speck) flood(rest, width, [i], region);
  return region;
};

/** @type {(width: number, height: number) => number[]} */
const edge = (width, height) => [
  ...Array.from({ length: width }, (_, x) => [x, (height - 1) * width + x]).flat(),
  ...Array.from({ length: height }, (_, y) => [y * width, (y + 1) * width - 1]).flat(),
];

/**
 * Sets in `marked` what is 1 in `open` and hangs together with one of `seeds`; returns how many pixels are new.
 * @type {(open: Uint8Array, width: number, seeds: number[], marked: Uint8Array) => number}
 */
const flood = (open, width, seeds, marked) => {
  const height = open.length / width;
  let count = 0;
  for (let next = seeds.pop(); next !== undefined; next = seeds.pop()) {
    if (marked[next] || !open[next]) continue;
    const row = Math.floor(next / width);
    let start = next;
    let end = next + 1;
    while (start > row * width && open[start - 1] && !marked[start - 1]) start--;
    while (end < (row + 1) * width && open[end] && !marked[end]) end++;
    marked.fill(1, start, end);
    count += end - start;
    for (const beside of [row - 1, row + 1]) {
      if (beside < 0 || beside >= height) continue;
      const shift = (beside - row) * width;
      for (let i = start + shift; i < end + shift; i++)
        if (open[i] && !marked[i] && (i === start + shift || !open[i - 1] || marked[i - 1])) seeds.push(i);
    }
  }
  return count;
};

/** Paints what is like the pixel that is pressed; dragging to the right takes more in, to the left less. */
export class Wand {
  /**
   * @param {Board} board
   * @param {(text: string) => void} note
   */
  constructor(board, note) {
    this.board = board;
    this.note = note;
    /** @type {{ colours: Colours, seed: number, id: number, x: number, zoom: number, tolerance: number } | null} */
    this.press = null;
  }

  get news() {
    return this.press ? `Tolerance ${this.board.settings.tolerance}` : "";
  }

  /** @type {Tool["start"]} */
  start(point, input, zoom) {
    const { board } = this;
    const { sheet, settings } = board;
    if (!board.picture) {
      this.note("The wand selects by the colours of a picture: open one first.");
      return;
    }
    if (sheet.at(point) === null) return;
    this.press = {
      colours: board.layers.pictureColours(),
      seed: Math.floor(point.y) * sheet.width + Math.floor(point.x),
      id: board.paint(settings.erasing || input.erase),
      x: point.x,
      zoom,
      tolerance: settings.tolerance,
    };
    this.#select(input);
  }

  /** @type {Tool["move"]} */
  move(points, input) {
    const { press, board } = this;
    const last = points.at(-1);
    if (!press || !last) return;
    const steps = Math.round(((last.x - press.x) * press.zoom) / DRAG);
    const tolerance = Math.min(LARGEST_TOLERANCE, Math.max(0, press.tolerance + steps));
    if (tolerance === board.settings.tolerance) return;
    board.revert();
    board.set({ tolerance });
    this.#select(input);
  }

  end() {
    this.press = null;
    this.board.commit();
  }

  cancel() {
    this.press = null;
    this.board.revert();
  }

  /** @param {Input} input  with Shift what is alike anywhere counts */
  #select({ shift }) {
    const { press, board } = this;
    if (!press) return;
    const { colours, seed, id } = press;
    const chosen = alike(colours, seed, board.settings.tolerance);
    board.touch(board.sheet.mark(shift ? chosen : connected(chosen, board.sheet.width, seed), id));
  }
}
