// A list of any length of which only what is in sight is in the page: cells of one size in rows, or in one line.

import { make } from "../canvas/dom.js";
import { thumb } from "./api.js";

/** @import { Items } from "./items.js" */
/** @import { Item } from "./api.js" */

const AHEAD = 1.0; // of the height in sight, above and below
const KNOWN = [3, 9]; // so far ahead it has to be known what to show; what is then asked for
const MAX_HEIGHT = 8_000_000; // pixels; browsers end between 16 and 33 million

/**
 * @typedef {object} Options
 * @property {Items} items
 * @property {string} label
 * @property {() => number} size  of a cell at least, in pixels
 * @property {number} gap
 * @property {(cell: HTMLElement, item: Item | undefined, id: number) => void} dress
 */

export class Grid {
  /** @param {Options} options */
  constructor({ items, label, size, gap, dress }) {
    this.items = items;
    this.size = size;
    this.gap = gap;
    this.dress = dress;
    /** @type {number[]} */
    this.ids = [];
    /** @type {Map<number, HTMLElement>} cells in the page, by id */
    this.cells = new Map();
    /** @type {HTMLElement[]} cells to be used again */
    this.spare = [];
    this.columns = 1;
    this.side = 1;
    this.drawing = 0;
    this.sheet = make("div", { class: "sheet" });
    this.element = make("div", { class: "grid", role: "listbox", "aria-label": label, "aria-multiselectable": "true", tabindex: 0 }, this.sheet);
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.layOut()).observe(this.element);
  }

  /** @param {number[]} ids */
  show(ids) {
    this.ids = ids;
    this.layOut();
  }

  /** Lines up the cells anew; what was on top stays on top. */
  layOut() {
    const width = this.element.clientWidth - 2 * this.gap;
    if (width <= 0) return; // out of sight
    const first = this.columns * Math.round(this.element.scrollTop / this.pitch);
    const columns = Math.max(1, Math.floor((width + this.gap) / (this.size() + this.gap)));
    const side = (width + this.gap) / columns - this.gap;
    const changed = columns !== this.columns || side !== this.side;
    [this.columns, this.side] = [columns, side];
    const rows = Math.ceil(this.ids.length / columns);
    this.sheet.style.height = `${Math.min(MAX_HEIGHT, rows * this.pitch + this.gap)}px`;
    if (changed && first) this.element.scrollTop = Math.floor(first / columns) * this.pitch;
    for (const cell of this.cells.values()) cell.dataset.at = "";
    this.draw();
  }

  get pitch() {
    return this.side + this.gap;
  }

  /** Rows from `first` to before `last` are in sight, or soon will be. */
  window(ahead = AHEAD) {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.floor((scrollTop - ahead * clientHeight) / this.pitch);
    const last = Math.ceil((scrollTop + (1 + ahead) * clientHeight) / this.pitch);
    return [Math.max(0, first) * this.columns, Math.min(this.ids.length, last * this.columns)];
  }

  draw() {
    const [first, last] = this.window();
    const wanted = this.ids.slice(first, last);
    const kept = new Set(wanted);
    for (const [id, cell] of this.cells) {
      if (kept.has(id)) continue;
      this.cells.delete(id);
      cell.remove();
      if (this.spare.length < 200) this.spare.push(cell);
    }
    wanted.forEach((id, i) => this.place(id, first + i));
    this.fill(wanted);
    const [near, far] = KNOWN.map((ahead) => this.ids.slice(...this.window(ahead)));
    if (near.some((id) => !this.items.get(id))) this.items.need(far);
  }

  /**
   * @param {number} id
   * @param {number} place
   */
  place(id, place) {
    let cell = this.cells.get(id);
    if (!cell) {
      cell = this.spare.pop() ?? makeCell();
      cell.dataset.id = `${id}`;
      cell.dataset.at = "";
      this.cells.set(id, cell);
      this.picture(cell, undefined);
      this.sheet.append(cell);
      this.put(cell, id);
    }
    const at = `${place}:${this.columns}:${this.side}`;
    if (cell.dataset.at === at) return;
    cell.dataset.at = at;
    const x = this.gap + (place % this.columns) * this.pitch;
    const y = this.gap + Math.floor(place / this.columns) * this.pitch;
    cell.style.cssText = `width:${this.side}px;height:${this.side}px;transform:translate(${x}px,${y}px)`;
    cell.setAttribute("aria-posinset", `${place + 1}`);
    cell.setAttribute("aria-setsize", `${this.ids.length}`);
  }

  /**
   * @param {HTMLElement} cell
   * @param {number} id
   */
  put(cell, id) {
    const item = this.items.get(id);
    if (item) this.picture(cell, item);
    this.dress(cell, item, id);
  }

  /**
   * @param {HTMLElement} cell
   * @param {Item | undefined} item
   */
  picture(cell, item) {
    const image = /** @type {HTMLImageElement} */ (cell.firstChild);
    if (!item) {
      image.removeAttribute("src");
      cell.classList.remove("broken");
      return;
    }
    const address = thumb(item);
    if (image.src === address) return;
    cell.classList.remove("broken");
    image.src = address;
    cell.setAttribute("aria-label", item.words || item.name);
    cell.title = item.words || item.name;
  }

  /** @param {number[]} ids */
  async fill(ids) {
    const missing = ids.filter((id) => !this.items.get(id));
    if (!missing.length) return;
    await this.items.need(missing);
    for (const id of missing) {
      const cell = this.cells.get(id);
      if (cell) this.put(cell, id);
    }
  }

  /** What is shown of pictures may have changed. */
  redress() {
    for (const [id, cell] of this.cells) this.put(cell, id);
  }

  /**
   * Scrolls just so far that a picture is in sight.
   * @param {number} place
   */
  reveal(place) {
    const top = Math.floor(place / this.columns) * this.pitch;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.pitch + this.gap > scrollTop + clientHeight)
      this.element.scrollTop = top + this.pitch + this.gap - clientHeight;
    this.draw();
  }

  /**
   * The picture under an event.
   * @param {Event} event
   */
  idAt(event) {
    const cell = event.target instanceof Element ? event.target.closest("[data-id]") : null;
    return cell instanceof HTMLElement && this.element.contains(cell) ? Number(cell.dataset.id) : null;
  }
}

const makeCell = () => {
  const image = make("img", { alt: "", decoding: "async", draggable: "false" });
  const cell = make("div", { class: "cell", role: "option" }, image);
  image.addEventListener("error", () => cell.classList.add("broken"));
  return cell;
};
