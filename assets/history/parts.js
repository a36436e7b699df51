// Buttons, choices and small windows of the history.

import { drawing, make } from "../canvas/dom.js";

const ICONS = {
  all: "M3.5 3.5h5.5v5.5H3.5zM11 3.5h5.5v5.5H11zM3.5 11h5.5v5.5H3.5zM11 11h5.5v5.5H11z",
  star: "M10 3l2.1 4.5 4.9.6-3.6 3.4.9 4.9-4.3-2.4-4.3 2.4.9-4.9L3 8.1l4.9-.6z",
  board: "M3 6.2a1 1 0 0 1 1-1h3.6l1.6 2H16a1 1 0 0 1 1 1v6.6a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1z",
  trash: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 8.5v5M11.5 8.5v5",
  restore: "M7 4 3.5 7.5 7 11M4 7.5h7.5a4.5 4.5 0 0 1 0 9H8",
  save: "M10 3.5v9M6.3 9l3.7 3.7L13.7 9M4 16.5h12",
  compare: "M10 3v14M3.5 5h4.5v10H3.5M16.5 5H12v10h4.5",
  folder: "M3 15.5V5.2a1 1 0 0 1 1-1h3.6l1.6 2H15a1 1 0 0 1 1 1v1.6M3 15.5l2.2-6h12.3l-2 6z",
  look: "M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4",
  close: "M5 5l10 10M15 5 5 15",
  check: "M4.5 10.5l3.6 3.6 7.4-8",
  before: "M12.5 4 6.5 10l6 6",
  after: "M7.5 4l6 6-6 6",
  edit: "M4 16h2.6L16 6.6 13.4 4 4 13.4z",
  filter: "M3.5 5h13l-5 6v5l-3-1.6V11z",
  plus: "M4.5 10h11M10 4.5v11",
};

/** @typedef {keyof typeof ICONS} Icon */

export const icon = (/** @type {Icon} */ name) => drawing(ICONS[name]);

/**
 * A button with an icon, and words where there are some.
 * @param {Icon} name
 * @param {string} label
 * @param {() => void} onclick
 * @param {{ words?: boolean, keys?: string, class?: string }} [options]
 */
export const button = (name, label, onclick, { words = false, keys = "", class: also = "" } = {}) =>
  make(
    "button",
    {
      type: "button",
      class: `${words ? "worded" : "icon"} ${also}`.trim(),
      "aria-label": label,
      "aria-keyshortcuts": keys || null,
      title: keys ? `${label} (${keys})` : label,
      onclick,
    },
    icon(name),
    ...(words ? [label] : [])
  );

/**
 * A choice from a list; [value, words] each.
 * @param {string} label
 * @param {[value: string, words: string][]} choices
 * @param {(value: string) => void} changed
 */
export const select = (label, choices, changed) => {
  const element = make("select", { "aria-label": label, title: label, onchange: () => changed(element.value) });
  fillSelect(element, choices);
  return element;
};

/**
 * @param {HTMLSelectElement} element
 * @param {[value: string, words: string][]} choices
 */
export const fillSelect = (element, choices) => {
  const value = element.value;
  element.replaceChildren(...choices.map(([one, words]) => make("option", { value: one }, words)));
  if (choices.some(([one]) => one === value)) element.value = value;
};

/**
 * A small window over the history; Escape and a press beside it close it.
 * @param {ShadowRoot} root
 * @param {string} title
 * @param {(close: () => void) => (Node | string)[]} fill
 */
export const openWindow = (root, title, fill) => {
  const dialog = make("dialog", { class: "window", "aria-label": title });
  const close = () => dialog.close();
  dialog.append(make("h2", {}, title), ...fill(close));
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && outside(dialog, event)) close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  root.append(dialog);
  dialog.showModal();
  return dialog;
};

/**
 * @param {HTMLElement} element
 * @param {MouseEvent} event
 */
const outside = (element, event) => {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom;
};

/**
 * Asks before what cannot be undone.
 * @param {ShadowRoot} root
 * @param {string} question
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
export const agreed = (root, question, yes) =>
  new Promise((resolve) => {
    const dialog = openWindow(root, question, (close) => [
      make(
        "div",
        { class: "row end" },
        make("button", { type: "button", class: "worded", onclick: close }, "Cancel"),
        make(
          "button",
          {
            type: "button",
            class: "worded grave",
            onclick: () => {
              resolve(true);
              close();
            },
          },
          yes
        )
      ),
    ]);
    dialog.addEventListener("close", () => resolve(false));
  });

/** A sentence that goes by itself, with something to do about it. */
export class Toast {
  constructor() {
    this.element = make("div", { class: "toast", role: "status", hidden: true });
    this.timer = 0;
  }

  /**
   * @param {string} text
   * @param {{ label: string, act: () => void } | null} [offer]
   */
  say(text, offer = null) {
    clearTimeout(this.timer);
    this.element.replaceChildren(make("span", {}, text));
    if (offer) {
      const act = () => {
        this.element.hidden = true;
        offer.act();
      };
      this.element.append(make("button", { type: "button", class: "worded", onclick: act }, offer.label));
    }
    this.element.hidden = false;
    this.timer = setTimeout(() => (this.element.hidden = true), offer ? 10_000 : 5000);
  }
}

export const plural = (/** @type {number} */ count, word = "picture") =>
  `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
