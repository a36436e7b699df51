// One picture over the whole window, or two side by side that are zoomed and moved together.

import { make } from "../canvas/dom.js";
import { file, thumb } from "./api.js";
import { button } from "./parts.js";

/** @import { Item } from "./api.js" */

const MOST = 64; // times the size at which a picture fits
const STEP = 1.2;

export class Viewer {
  /**
   * @param {ShadowRoot} root
   * @param {(by: number) => Item | undefined} step  the next one of the list
   * @param {(item: Item) => void} closed
   */
  constructor(root, step, closed) {
    this.step = step;
    /** @type {Item[]} */
    this.items = [];
    // What lies in the middle of each pane, in parts of the picture, and how many times it is as large as fits.
    this.at = { x: 0.5, y: 0.5, scale: 1 };
    /** @type {Map<number, PointerEvent>} */
    this.held = new Map();
    this.panes = make("div", { class: "panes" });
    this.words = make("p", { class: "words" });
    this.before = button("before", "The picture before", () => this.turn(-1), { keys: "←" });
    this.after = button("after", "The next picture", () => this.turn(1), { keys: "→" });
    const close = button("close", "Close", () => this.element.close(), { keys: "Escape" });
    const bar = make("div", { class: "bar" }, this.before, this.after, this.words, close);
    this.element = make("dialog", { class: "viewer", "aria-label": "Large view" }, this.panes, bar);
    root.append(this.element);
    this.element.addEventListener("close", () => {
      const last = this.items[0];
      this.panes.replaceChildren();
      this.held.clear();
      if (this.items.length === 1) closed(last);
    });
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.panes.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    this.panes.addEventListener("pointerdown", (event) => this.onDown(event));
    this.panes.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"]))
      this.panes.addEventListener(name, (event) => this.held.delete(event.pointerId));
    this.panes.addEventListener("dblclick", (event) => this.onDouble(event));
    new ResizeObserver(() => this.lay()).observe(this.panes);
  }

  /** @param {Item[]} items  one or two */
  show(items) {
    this.items = items;
    this.at = { x: 0.5, y: 0.5, scale: 1 };
    this.before.hidden = this.after.hidden = items.length > 1;
    this.panes.replaceChildren(...items.map((item) => makePane(item, () => this.lay())));
    this.words.textContent = items.map((item) => item.words || item.name).join("   ·   ");
    if (!this.element.open) this.element.showModal();
    this.lay();
  }

  turn(/** @type {number} */ by) {
    const item = this.items.length === 1 ? this.step(by) : undefined;
    if (item) this.show([item]);
  }

  /** @param {Element} pane  its size at which the picture fits */
  fit(pane) {
    const image = /** @type {HTMLImageElement} */ (pane.firstChild);
    const { clientWidth, clientHeight } = pane;
    const [width, height] = [Number(image.dataset.width), Number(image.dataset.height)];
    const scale = Math.min(clientWidth / width, clientHeight / height);
    return { width: width * scale, height: height * scale, own: 1 / scale };
  }

  lay() {
    for (const pane of this.panes.children) {
      const image = /** @type {HTMLImageElement} */ (pane.firstChild);
      const { width, height, own } = this.fit(pane);
      const { x, y, scale } = this.at;
      image.style.width = `${width * scale}px`;
      image.style.height = `${height * scale}px`;
      image.style.translate = `${pane.clientWidth / 2 - x * width * scale}px ${pane.clientHeight / 2 - y * height * scale}px`;
      image.classList.toggle("pixels", scale > 2 * own);
    }
  }

  /**
   * Zooms so that what is under a point stays there.
   * @param {number} factor
   * @param {{ clientX: number, clientY: number, target: EventTarget | null }} point
   */
  zoom(factor, point) {
    const pane = this.paneAt(point);
    const { left, top } = pane.getBoundingClientRect();
    const { width, height } = this.fit(pane);
    const scale = Math.min(MOST, Math.max(1, this.at.scale * factor));
    const [dx, dy] = [point.clientX - left - pane.clientWidth / 2, point.clientY - top - pane.clientHeight / 2];
    const change = 1 / this.at.scale - 1 / scale;
    this.at = { x: this.at.x + (dx * change) / width, y: this.at.y + (dy * change) / height, scale };
    this.keepInside();
  }

  /** @param {{ target: EventTarget | null }} point */
  paneAt(point) {
    const pane = point.target instanceof Element ? point.target.closest(".pane") : null;
    return pane ?? this.panes.children[0];
  }

  keepInside() {
    const margin = Math.min(0.5, 0.5 / this.at.scale);
    const inside = (/** @type {number} */ value) => Math.min(1 - margin, Math.max(margin, value));
    this.at = { ...this.at, x: inside(this.at.x), y: inside(this.at.y) };
    this.lay();
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    event.preventDefault();
    this.zoom(STEP ** (-event.deltaY / (event.deltaMode ? 3 : 100)), event);
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (!this.panes.contains(/** @type {Node} */ (event.target))) return;
    event.preventDefault();
    /** @type {Element} */ (event.target).setPointerCapture(event.pointerId);
    this.held.set(event.pointerId, event);
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const before = this.held.get(event.pointerId);
    if (!before) return;
    this.held.set(event.pointerId, event);
    const other = [...this.held.values()].find((one) => one.pointerId !== event.pointerId);
    const { width, height } = this.fit(this.paneAt(event));
    const share = other ? 0.5 : 1;
    this.at.x -= (share * (event.clientX - before.clientX)) / (width * this.at.scale);
    this.at.y -= (share * (event.clientY - before.clientY)) / (height * this.at.scale);
    if (other) {
      const distance = (/** @type {PointerEvent} */ one) =>
        Math.max(8, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY));
      const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
      this.zoom(distance(event) / distance(before), { ...middle, target: event.target });
    } else this.keepInside();
  }

  /** @param {MouseEvent} event */
  onDouble(event) {
    const { own } = this.fit(this.paneAt(event));
    this.zoom(this.at.scale > 1 ? 0 : Math.max(2, own / devicePixelRatio), event);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    event.stopPropagation();
    const middle = this.panes.children[0].getBoundingClientRect();
    const point = {
      clientX: middle.left + middle.width / 2,
      clientY: middle.top + middle.height / 2,
      target: this.panes.children[0],
    };
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.turn(-1),
      ArrowRight: () => this.turn(1),
      Enter: () => this.element.close(),
      "+": () => this.zoom(STEP, point),
      "-": () => this.zoom(1 / STEP, point),
      0: () => this.zoom(0, point),
      1: () => this.zoom(this.fit(this.panes.children[0]).own / devicePixelRatio / this.at.scale, point),
    };
    const act = keys[event.key];
    if (!act || (event.key === "Enter" && event.target instanceof HTMLButtonElement)) return;
    event.preventDefault();
    act();
  }
}

/**
 * @param {Item} item
 * @param {() => void} loaded
 */
const makePane = (item, loaded) => {
  const image = make("img", { alt: item.words || item.name, draggable: "false" });
  Object.assign(image.dataset, { width: item.width, height: item.height });
  const pane = make("div", { class: "pane" }, image);
  image.addEventListener("load", loaded);
  image.addEventListener("error", () => pane.classList.add("broken"));
  // The small copy at once, the picture itself when it has come.
  image.src = thumb(item);
  const whole = new Image();
  whole.onload = () => (image.src = whole.src);
  whole.src = file(item);
  return pane;
};
