// Making elements.  Text is only ever set as text.

/** @typedef {string | number | boolean | null | undefined | (() => void)} Attribute */
/** @typedef {Record<string, Attribute>} Attributes  `onclick` and its like are listeners */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, `${value}`);
  }
  element.append(...children);
  return element;
};

/**
 * What draws on a canvas.
 * @overload
 * @param {HTMLCanvasElement} canvas
 * @returns {CanvasRenderingContext2D}
 */
/**
 * @overload
 * @param {OffscreenCanvas} canvas
 * @returns {OffscreenCanvasRenderingContext2D}
 */
/** @param {HTMLCanvasElement | OffscreenCanvas} canvas */
export function contextOf(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser cannot draw on a canvas.");
  return context;
}

// One line of 1.5 on a field of 20 x 20, in the colour of the text.
const ICONS = {
  brush: "M4 16c2 0 3.5-.6 3.5-2.4a1.8 1.8 0 0 0-3.6 0C3.9 14.6 3.5 15.5 3 16zM7.4 12.3 15.5 4l1 1-7.6 8.4",
  eraser: "M8 16.5h8M5.2 15.2 3.3 13.3a1 1 0 0 1 0-1.4l7.9-7.9a1 1 0 0 1 1.4 0l3.4 3.4a1 1 0 0 1 0 1.4l-6.7 6.7M7.5 7.7l4.8 4.8",
  bucket: "M9 3.5 3.7 8.8a1 1 0 0 0 0 1.4l4.6 4.6a1 1 0 0 0 1.4 0l5.3-5.3zM7 1.5l3 3M4 9.5h11M16.5 12.5s1.5 2 1.5 3a1.5 1.5 0 0 1-3 0c0-1 1.5-3 1.5-3z",
  rectangle: "M3.5 5h13v10h-13z",
  lasso: "M6.2 13.3C4.2 12.4 3 10.9 3 9.2 3 6.3 6.1 4 10 4s7 2.3 7 5.2-3.1 5.2-7 5.2c-.9 0-1.7-.1-2.5-.3M7.6 14a1.5 1.5 0 1 1-2.8-.9 1.5 1.5 0 0 1 2.8.9c-.3 1.4-.9 2.3-1.9 3",
  wand: "M3.5 16.5 11 9M13 3.5v2.5M13 11v2.5M8.5 8H11M15.5 8H18M15.6 5.4l1.2-1.2M15.6 10.6l1.2 1.2",
  swap: "M10 4v12M4 7.5h4M12.5 7.5h4M14.5 5.5v4M4 13h4",
  undo: "M7 4 3.5 7.5 7 11M4 7.5h7.5a4.5 4.5 0 0 1 0 9H8",
  redo: "M13 4l3.5 3.5L13 11M16 7.5H8.5a4.5 4.5 0 0 0 0 9H12",
  clear: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 8.5v5M11.5 8.5v5",
  remove: "M3.5 5h13v10h-13zM8 8l4 4M12 8l-4 4",
  out: "M4.5 10h11",
  in: "M4.5 10h11M10 4.5v11",
  fit: "M3.5 7.5v-4h4M12.5 3.5h4v4M16.5 12.5v4h-4M7.5 16.5h-4v-4",
  before: "M12 4.5 6.5 10l5.5 5.5",
  after: "M8 4.5l5.5 5.5L8 15.5",
  cells: "M3.5 3.5h13v13h-13zM3.5 8h13M3.5 12h13M8 3.5v13M12 3.5v13",
};

/** @param {keyof typeof ICONS} name */
export const icon = (name) => drawing(ICONS[name]);

/** A drawing in the colour of the text: `path` on a field of 20 x 20. */
export const drawing = (/** @type {string} */ path) => {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
};

/**
 * A button with an icon.  `keys` are shown in the tooltip and told to screen readers ("Control+Z").
 * @param {keyof typeof ICONS} name
 * @param {string} label
 * @param {() => void} onclick
 * @param {{ keys?: string }} options
 */
export const iconButton = (name, label, onclick, { keys = "" } = {}) =>
  make(
    "button",
    {
      type: "button",
      class: "icon",
      "aria-label": label,
      "aria-keyshortcuts": keys || null,
      title: keys ? `${label} (${keys.replace("Control", "Ctrl")})` : label,
      onclick,
    },
    icon(name)
  );

/**
 * @typedef {object} SliderOptions
 * @property {string} label
 * @property {number} min
 * @property {number} max
 * @property {string} [unit]  stands behind the number
 * @property {string | null} [title]
 * @property {number} value
 * @property {(value: number) => void} onchange
 * @property {number} [bend]  above 1 small values get more of the way
 */

/**
 * A labelled slider.  Call `show(value)` to follow a change from elsewhere.
 * @param {SliderOptions} options
 */
export const slider = ({ label, min, max, unit = "", title = null, value, onchange, bend = 1 }) => {
  const toPlace = (/** @type {number} */ number) => ((number - min) / (max - min)) ** (1 / bend) * 1000;
  const toValue = (/** @type {number} */ place) => Math.round(min + (place / 1000) ** bend * (max - min));
  const output = make("span", { class: "number" });
  const input = make("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": label, title });
  const element = make("label", { class: "slider" }, make("span", {}, label), input, output);
  const show = (/** @type {number} */ number) => {
    if (toValue(input.valueAsNumber) !== number || !output.textContent) input.value = `${toPlace(number)}`;
    output.textContent = `${number}${unit}`;
    input.setAttribute("aria-valuetext", `${number}${unit}`);
  };
  input.addEventListener("input", () => onchange(toValue(input.valueAsNumber)));
  input.addEventListener("keydown", (event) => {
    // One step of the number, however fine the slider's own steps are.
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    onchange(Math.min(max, Math.max(min, toValue(input.valueAsNumber) + step)));
  });
  show(value);
  return { element, show };
};

/** @type {Record<string, number>} */
const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

/**
 * A button that opens a small panel under itself; it closes with Escape, or when the focus goes elsewhere.
 * @param {string} label
 * @param {string} title
 * @param {...Node} children
 */
export const menu = (label, title, ...children) => {
  const panel = make("div", { class: "panel", role: "group", "aria-label": label, hidden: true });
  panel.append(...children);
  const open = (/** @type {boolean} */ state) => {
    panel.hidden = !state;
    element.classList.toggle("open-panel", state);
    button.setAttribute("aria-expanded", `${state}`);
    const canvas = panel.closest(".canvas");
    if (!state || !canvas) return;
    // Never beyond the canvas's right edge.
    panel.style.translate = "none";
    const over = panel.getBoundingClientRect().right - canvas.getBoundingClientRect().right + 8;
    panel.style.translate = over > 0 ? `${-over}px` : "none";
  };
  const button = make(
    "button",
    { type: "button", class: "menu", title, "aria-expanded": "false", onclick: () => open(panel.hidden !== false) },
    label
  );
  const element = make("div", { class: "holder" }, button, panel);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    event.stopPropagation();
    open(false);
    button.focus();
  });
  return { element, panel, close: () => open(false) };
};
