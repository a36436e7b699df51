// Where the sheet lies on the screen: zoom, pan and fit.  Points are in CSS pixels of the viewport outside,
// in pixels of the picture inside.

import { unite } from "./geometry.js";

/** @import { Outline } from "./board.js" */
/** @import { Point } from "./geometry.js" */

const MARGIN = 12;
const LARGEST = 64;

export class View {
  /**
   * @param {HTMLElement} viewport
   * @param {HTMLElement} paper
   * @param {() => void} moved  called after every change
   */
  constructor(viewport, paper, moved) {
    this.viewport = viewport;
    this.paper = paper;
    this.moved = moved;
    this.width = 0; // of the page, in its pixels; 0 until there is one
    this.height = 0;
    this.scale = 1; // of the picture's own pixels for one of the page
    this.zoom = 1;
    this.left = 0;
    this.top = 0;
    this.fitted = true;
    this.aside = 0; // pixels of the viewport on the right that something lies over
    this.around = { x0: 0, y0: 0, x1: 0, y1: 0 }; // what is to be seen beside the page
    new ResizeObserver(() => this.#resized()).observe(viewport);
  }

  /**
   * Another page; of the same size as the one before it stays in place.
   * @type {(width: number, height: number, scale?: number) => void}
   */
  show(width, height, scale = 1) {
    const stays = width === this.width && height === this.height && scale === this.scale;
    this.scale = scale;
    this.width = width;
    this.height = height;
    this.paper.style.width = `${width}px`;
    this.paper.style.height = `${height}px`;
    if (!stays) this.fit();
  }

  /**
   * Keeps a rectangle in sight as well, as long as the whole is seen.
   * @param {Outline} outline
   */
  surround({ left, top, width, height }) {
    this.around = { x0: left, y0: top, x1: left + width, y1: top + height };
    if (this.fitted) this.fit();
  }

  // The page and what is around it.
  #bounds() {
    return unite({ x0: 0, y0: 0, x1: this.width, y1: this.height }, this.around);
  }

  fit() {
    this.fitted = true;
    const { clientWidth, clientHeight } = this.viewport;
    if (!clientWidth || !clientHeight || !this.width) return; // hidden: fitted when it is shown
    const whole = this.#whole();
    const own = whole / this.scale;
    this.zoom = own >= 1 && own < 1.3 ? this.scale : whole; // nearly its own size: then exactly, and sharp
    const { x0, y0, x1, y1 } = this.#bounds();
    const middle = (clientWidth - (x0 + x1) * this.zoom) / 2;
    // Free of what lies over the right, as far as there is room.
    const least = MARGIN - x0 * this.zoom;
    const free = clientWidth - this.aside - MARGIN - x1 * this.zoom;
    this.left = Math.round(Math.max(Math.min(middle, least), Math.min(middle, free)));
    this.top = Math.round((clientHeight - (y0 + y1) * this.zoom) / 2);
    this.#apply();
  }

  // The zoom at which the whole page is seen.
  #whole() {
    const { clientWidth, clientHeight } = this.viewport;
    const { x0, y0, x1, y1 } = this.#bounds();
    const zoom = Math.min((clientWidth - 2 * MARGIN) / (x1 - x0), (clientHeight - 2 * MARGIN) / (y1 - y0));
    return Math.max(0.01, Math.min(zoom, LARGEST));
  }

  /**
   * Zooms by a factor; what is under the point stays there.
   * @param {number} factor
   * @param {Point} point
   */
  zoomAt(factor, point = this.centre()) {
    const smallest = Math.min(1, this.#whole()) / 2;
    const zoom = Math.max(smallest, Math.min(LARGEST * this.scale, this.zoom * factor));
    const before = this.inside(point);
    this.zoom = zoom;
    this.left = point.x - before.x * zoom;
    this.top = point.y - before.y * zoom;
    this.fitted = false;
    this.#apply();
  }

  /**
   * Zooms so far that each of the picture's own pixels is so large, and begins on one of the screen's.
   * @param {number} zoom
   */
  zoomTo(zoom) {
    this.zoomAt((zoom * this.scale) / this.zoom);
    const whole = (/** @type {number} */ side) => Math.round(side * devicePixelRatio) / devicePixelRatio;
    this.pan(whole(this.left) - this.left, whole(this.top) - this.top);
  }

  // How large each of the picture's own pixels is.
  get ownZoom() {
    return this.zoom / this.scale;
  }

  /** @type {(dx: number, dy: number) => void} */
  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.#apply();
  }

  centre() {
    return { x: this.viewport.clientWidth / 2, y: this.viewport.clientHeight / 2 };
  }

  /**
   * A point of the viewport in the picture.
   * @type {(point: Point) => Point}
   */
  inside({ x, y }) {
    return { x: (x - this.left) / this.zoom, y: (y - this.top) / this.zoom };
  }

  /**
   * A point of the picture in the viewport.
   * @type {(point: Point) => Point}
   */
  outside({ x, y }) {
    return { x: x * this.zoom + this.left, y: y * this.zoom + this.top };
  }

  /**
   * An event's place in the viewport.
   * @type {(event: MouseEvent) => Point}
   */
  place(event) {
    const box = this.viewport.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #resized() {
    if (!this.width) return;
    if (this.fitted) this.fit();
    else this.#apply();
  }

  #apply() {
    // A part of the page always stays in sight.
    const { clientWidth, clientHeight } = this.viewport;
    const keep = 48;
    this.left = Math.min(clientWidth - keep, Math.max(keep - this.width * this.zoom, this.left));
    this.top = Math.min(clientHeight - keep, Math.max(keep - this.height * this.zoom, this.top));
    this.paper.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.zoom})`;
    this.paper.classList.toggle("near", this.zoom * devicePixelRatio >= 2);
    this.moved();
  }
}
