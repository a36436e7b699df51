// The stage's picture on the canvas: in the sheet's place where it has its shape, else as large as it can be
// seen.  What is painted is never touched by it; while the canvas is worked on it stays small in a corner.

import { iconButton, make } from "./dom.js";

/** @import { View } from "./view.js" */
/**
 * @typedef {object} Place
 * @property {HTMLElement} viewport
 * @property {HTMLElement} paper
 * @property {View} view
 * @property {() => void} changed  called when the canvas is covered or free again
 * @property {(() => void) | null} accept  makes the picture the canvas's own; null where it cannot be
 */

const PICKS = "#strip button, #latest, #making button, #queue .show, #timeline, #onward #vary";
const SAME = 0.01; // of two shapes
const WAIT = 400; // milliseconds until what was picked is there, where it is not there already

export class Staging {
  /**
   * @param {string} tab  whose canvas it is
   * @param {Place} place
   */
  constructor(tab, { viewport, paper, view, changed, accept }) {
    this.tab = tab;
    this.viewport = viewport;
    this.paper = paper;
    this.view = view;
    this.changed = changed;
    this.covers = false; // whether the picture is seen instead of the canvas
    this.peeking = false; // whether the canvas is seen for a moment
    this.wanted = false; // whether what comes next is to be seen
    this.picture = make("img", { class: "result", alt: "The result", draggable: "false" });
    this.small = make("img", { alt: "" });
    this.corner = make(
      "button",
      {
        type: "button",
        class: "corner",
        title: "Show the result over the canvas",
        "aria-label": "Show the result",
        onclick: () => this.cover(true),
      },
      this.small
    );
    this.line = make("input", {
      type: "range",
      min: 0,
      max: 100,
      value: 0,
      "aria-label": "Before and after",
      title: "Before and after: from here on the result is seen",
    });
    this.line.addEventListener("input", () => this.#show());
    this.back = iconButton("before", "Picture before", () => this.#step(-1));
    this.next = iconButton("after", "Next picture", () => this.#step(1));
    this.count = make("span", { class: "count" });
    this.candidates = make(
      "div",
      { class: "group candidates", role: "group", "aria-label": "Pictures of this batch" },
      this.back,
      this.count,
      this.next
    );
    this.bar = make("div", { class: "staged", role: "group", "aria-label": "Result" }, this.candidates, this.line);
    const take = () => {
      accept?.();
      this.cover(false);
    };
    if (accept) this.bar.append(action("Use this result", "The result becomes the picture on the canvas", take));
    const back = "Back to what is painted (Escape; hold H to look at it)";
    this.bar.append(action("Canvas", back, () => this.cover(false)));
    for (const part of [this.bar, this.corner]) {
      part.addEventListener("pointerdown", (event) => event.stopPropagation()); // it paints nothing
    }
    viewport.append(this.bar, this.corner);
    this.picture.addEventListener("load", () => this.#show());
    // The page outlives a canvas that gradio takes away.
    const stop = new AbortController();
    const { signal } = stop;
    /** @type {(act: (event: Event) => void) => (event: Event) => void} */
    const whileHere = (act) => (event) => (viewport.isConnected ? act(event) : stop.abort());
    window.addEventListener("atelier-seen", whileHere(() => this.#see()), { signal });
    const pressed = whileHere(({ target }) => target instanceof Element && this.#pressed(target));
    document.addEventListener("click", pressed, { capture: true, signal });
    const scrubbed = whileHere(() => this.inSight && this.cover(true));
    document.querySelector("#timeline")?.addEventListener("input", scrubbed, { signal });
    document.querySelector(`#${tab}-live`)?.addEventListener("change", whileHere(() => this.#show()), { signal });
    this.#see();
  }

  get inSight() {
    return this.viewport.offsetParent !== null || this.viewport.getClientRects().length > 0;
  }

  /** @param {Element} target */
  #pressed(target) {
    if (!this.inSight) return;
    if (target.closest(`#${this.tab}-generate, #${this.tab}-remove`)) this.wanted = true;
    if (!target.closest(PICKS)) return;
    this.wanted = true;
    setTimeout(() => this.wanted && this.cover(true), WAIT);
  }

  // What the stage shows has changed.
  #see() {
    const src = window.atelierViewport?.seen; // a canvas alone has no stage
    if (src) this.picture.src = this.small.src = src;
    else this.picture.removeAttribute("src");
    if (!src) {
      // A job that begins has nothing to show yet; what comes of it is looked at like the picture before it.
      this.wanted ||= this.covers;
      this.covers = false;
    } else if (this.wanted && this.inSight) this.cover(true);
    this.#show();
  }

  /**
   * Shows the result, or what is painted.
   * @param {boolean} on
   */
  cover(on) {
    this.wanted = false;
    const covers = on && this.picture.hasAttribute("src");
    if (covers && !this.covers) this.line.value = "0";
    this.covers = covers;
    this.#show();
  }

  // Goes back to the canvas; false where it is seen.
  leave() {
    if (!this.covers) return false;
    this.cover(false);
    return true;
  }

  /**
   * Shows the canvas as long as a key is held.
   * @param {boolean} on
   */
  peek(on) {
    this.peeking = on;
    this.#show();
  }

  /** @param {number} by */
  #step(by) {
    const buttons = candidates();
    const at = buttons.findIndex((button) => button.getAttribute("aria-pressed") === "true");
    buttons[(Math.max(0, at) + by + buttons.length) % buttons.length]?.click();
  }

  #show() {
    const { picture, paper, viewport, view, line } = this;
    const seen = this.covers && !this.peeking;
    const { naturalWidth, naturalHeight } = picture;
    const same = Math.abs(naturalWidth / naturalHeight / (view.width / view.height) - 1) < SAME;
    const home = same ? paper : viewport;
    if (picture.parentElement !== home) home.insertBefore(picture, same ? null : this.bar);
    picture.classList.toggle("apart", !same);
    picture.hidden = !seen;
    picture.style.clipPath = `inset(0 0 0 ${line.value}%)`;
    this.bar.hidden = !this.covers;
    line.hidden = !same;
    // What is drawn at every stroke is looked at while painting.
    const live = document.querySelector(`#${this.tab}-live input`);
    this.corner.classList.toggle("large", live instanceof HTMLInputElement && live.checked);
    this.corner.hidden = this.covers || !picture.hasAttribute("src");
    const buttons = candidates();
    this.candidates.hidden = buttons.length < 2;
    const at = buttons.findIndex((button) => button.getAttribute("aria-pressed") === "true");
    this.count.textContent = `${Math.max(0, at) + 1} / ${buttons.length}`;
    viewport.classList.toggle("covered", this.covers);
    this.changed();
  }
}

/** @type {(label: string, title: string, onclick: () => void) => HTMLButtonElement} */
const action = (label, title, onclick) => make("button", { type: "button", class: "action", title, onclick }, label);

// The buttons of the pictures that were made together.
const candidates = () => {
  /** @type {NodeListOf<HTMLButtonElement>} */
  const all = document.querySelectorAll("#strip button");
  return [...all];
};
