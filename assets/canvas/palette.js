// The classes by name and colour, with search; in box mode also the list of boxes, so that every box can be
// reached by keyboard and screen reader.

import { make } from "./dom.js";

/** @import { Board, Class } from "./board.js" */
/** @typedef {ReturnType<typeof makePalette>} Palette */

const SEARCH_FROM = 24; // fewer classes are seen at a glance
/** @type {Record<string, number>} */
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

/** @param {Board} board */
export const makePalette = (board) => {
  const list = make("div", { class: "swatches", role: "group", "aria-label": "Classes" });
  const none = make("p", { class: "none", hidden: true }, "No class of that name");
  const search = make("input", {
    type: "search",
    placeholder: "Search classes",
    "aria-label": "Search classes",
    autocomplete: "off",
    spellcheck: "false",
  });
  const boxes = make("div", { class: "boxes", role: "group", "aria-label": "Boxes" });
  const element = make("div", { class: "palette" }, search, list, none);
  if (board.mode === "boxes") element.append(boxes);

  /** @type {HTMLButtonElement[]} */
  let buttons = [];
  /** @type {readonly Class[]} */
  let shown = []; // the palette that the buttons stand for

  const fill = () => {
    shown = board.palette;
    buttons = shown.map(({ name, colour }, index) => {
      const swatch = make("i", {});
      swatch.style.background = colour;
      const attributes = { type: "button", class: "swatch", title: name, onclick: () => board.choose(index) };
      return make("button", attributes, swatch, make("span", {}, name));
    });
    const many = shown.length >= SEARCH_FROM;
    const inOrder = [...buttons.keys()];
    if (many) inOrder.sort((a, b) => shown[a].name.localeCompare(shown[b].name));
    list.replaceChildren(...inOrder.map((index) => buttons[index]));
    search.hidden = !many;
    search.value = "";
    filter();
  };

  // All words have to occur, in any order: "tree palm" finds "palm tree".
  const matches = (/** @type {string} */ name) => {
    const words = search.value.toLowerCase().split(/\s+/);
    return words.every((word) => name.toLowerCase().includes(word));
  };
  const filter = () => {
    buttons.forEach((button, index) => (button.hidden = !matches(shown[index].name)));
    none.hidden = buttons.some((button) => !button.hidden);
  };
  search.addEventListener("input", filter);
  // The buttons in sight, in the list's order.
  const inSight = () => [...list.querySelectorAll("button")].filter((button) => !button.hidden);
  search.addEventListener("keydown", (event) => {
    const [first] = inSight();
    if (event.key === "Enter" && first) board.choose(buttons.indexOf(first));
    if (event.key === "ArrowDown") first?.focus();
    if (event.key === "Escape") {
      search.value = "";
      filter();
    }
  });
  list.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const visible = inSight();
    const at = visible.findIndex((button) => button === event.target);
    visible[Math.max(0, Math.min(visible.length - 1, at + step))].focus();
  });

  const listBoxes = () => {
    const root = boxes.getRootNode();
    const active = root instanceof ShadowRoot ? root.activeElement : null;
    const focused = [...boxes.children].findIndex((button) => button === active);
    boxes.replaceChildren(
      ...board.boxes.map((box, index) =>
        make(
          "button",
          {
            type: "button",
            "aria-pressed": String(index === board.selected),
            title: "Select; arrow keys move it, Delete removes it",
            onclick: () => board.select(index),
          },
          `${index + 1} ${box.label}`
        )
      )
    );
    if (focused >= 0) boxes.querySelectorAll("button")[Math.min(focused, boxes.children.length - 1)]?.focus();
  };

  return {
    element,
    search,
    show() {
      if (shown !== board.palette) fill();
      buttons.forEach((button, index) => {
        button.setAttribute("aria-pressed", `${index === board.settings.current}`);
      });
      if (board.mode === "boxes") listBoxes();
    },
    // Brings the chosen class into sight, after it was taken up from the canvas.
    reveal() {
      buttons[board.settings.current]?.scrollIntoView({ block: "nearest", inline: "nearest" });
    },
  };
};
