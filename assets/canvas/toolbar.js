// The bar over the sheet: tools, brush size, undo, zoom, and two panels with everything rarer.

import { LARGEST_BRUSH } from "./board.js";
import { iconButton, make, menu, slider } from "./dom.js";
import { LARGEST_TOLERANCE } from "./wand.js";

/** @import { Board, Mode, ToolName } from "./board.js" */
/** @import { SliderOptions } from "./dom.js" */
/** @import { Files } from "./files.js" */
/** @import { View } from "./view.js" */
/** @typedef {{ show: () => void }} Part  of the bar; `show` brings it up to date */
/** @typedef {{ choose: (accept: string, open: (file: File) => void) => void }} Does  what buttons do */

/** @type {[Exclude<ToolName, "box">, string, string][]} */
const TOOLS = [
  ["brush", "Brush", "B"],
  ["eraser", "Eraser", "E"],
  ["bucket", "Bucket: fills what hangs together", "G"],
  ["rectangle", "Rectangle", "R"],
  ["lasso", "Lasso: fills what you go round", "L"],
  ["wand", "Wand: fills what is alike; drag for more or less, Shift: anywhere", "W"],
];

/** @type {Record<Mode, { open: string, save: string, about: string }>} */
const NAMES = {
  mask: { open: "Open mask…", save: "Save mask", about: "A picture of the same size: white will be filled" },
  classes: {
    open: "Open map…",
    save: "Save map",
    about: "A label map: class ids, or the palette's colours (nearest colour)",
  },
  boxes: { open: "Open boxes…", save: "Save boxes", about: "Boxes as JSON" },
};

/**
 * @param {Board} board
 * @param {View} view
 * @param {Files} files
 * @param {Does} does
 */
export const makeToolbar = (board, view, files, does) => {
  const paints = board.mode !== "boxes";
  /** @type {Part[]} */
  const parts = [];
  const bar = make("div", { class: "bar", role: "group", "aria-label": "Canvas tools" });
  if (paints) {
    const [tools, size, tolerance] = [toolButtons(board), sizeSlider(board), toleranceSlider(board)];
    bar.append(tools.element, size.element, tolerance.element);
    parts.push(tools, {
      show() {
        size.show(board.settings.size);
        tolerance.show(board.settings.tolerance);
        size.element.hidden = board.settings.tool === "wand";
        tolerance.element.hidden = !size.element.hidden;
      },
    });
  }
  const steps = historyButtons(board);
  const zoom = zoomButtons(view);
  const adjust = adjustMenu(board, files);
  const file = fileMenu(board, files, does);
  bar.append(steps.element, zoom.element, make("div", { class: "menus" }, adjust.element, file.element));
  parts.push(steps, zoom, adjust, file);
  return {
    element: bar,
    show: () => parts.forEach((part) => part.show()),
    close: () => [adjust, file].forEach((part) => part.close()),
  };
};

/** @type {(button: HTMLElement, state: boolean) => void} */
const pressed = (button, state) => button.setAttribute("aria-pressed", `${state}`);

/** @param {Board} board */
const toolButtons = (board) => {
  const buttons = TOOLS.map(([name, label, keys]) => ({
    name,
    button: iconButton(name, label, () => board.set({ tool: name }), { keys }),
  }));
  const exchange = () => board.set({ erasing: !board.settings.erasing });
  const swap = iconButton("swap", "Take away with bucket, rectangle, lasso and wand", exchange, { keys: "X" });
  const element = make("div", { class: "group", role: "group", "aria-label": "Tools" });
  element.append(...buttons.map(({ button }) => button), swap);
  return {
    element,
    show() {
      for (const { name, button } of buttons) pressed(button, board.settings.tool === name);
      pressed(swap, board.settings.erasing);
    },
  };
};

/** @param {Board} board */
const sizeSlider = (board) =>
  slider({
    label: "Size",
    title: "Width of brush and eraser in pixels of the picture ([ and ], Ctrl+wheel)",
    min: 1,
    max: LARGEST_BRUSH,
    bend: 2,
    value: board.settings.size,
    onchange: (size) => board.set({ size }),
  });

/** @param {Board} board */
const toleranceSlider = (board) =>
  slider({
    label: "Tolerance",
    title: "How far the wand's colours may differ, of 255",
    min: 0,
    max: LARGEST_TOLERANCE,
    bend: 1.5,
    value: board.settings.tolerance,
    onchange: (tolerance) => board.set({ tolerance }),
  });

/** @param {Board} board */
const historyButtons = (board) => {
  const undo = iconButton("undo", "Undo", () => board.undo(), { keys: "Control+Z" });
  const redo = iconButton("redo", "Redo", () => board.redo(), { keys: "Control+Shift+Z" });
  const clear = iconButton("clear", "Clear everything", () => board.clear());
  const element = make("div", { class: "group", role: "group", "aria-label": "Steps" }, undo, redo, clear);
  const remove = iconButton("remove", "Delete the selected box", () => board.deleteBox(), { keys: "Delete" });
  if (board.mode === "boxes") clear.before(remove);
  return {
    element,
    show() {
      remove.setAttribute("aria-disabled", `${board.selected < 0}`);
      // Not `disabled`, which would throw the keyboard's focus away with the last step.
      undo.setAttribute("aria-disabled", `${!board.history.canUndo}`);
      redo.setAttribute("aria-disabled", `${!board.history.canRedo}`);
    },
  };
};

/** @param {View} view */
const zoomButtons = (view) => {
  const full = make(
    "button",
    { type: "button", class: "percent", title: "Show the picture's own pixels (1)", onclick: () => view.zoomTo(1) },
    "100%"
  );
  const element = make(
    "div",
    { class: "group zoom", role: "group", "aria-label": "Zoom" },
    iconButton("out", "Zoom out", () => view.zoomAt(1 / 1.25), { keys: "-" }),
    full,
    iconButton("in", "Zoom in", () => view.zoomAt(1.25), { keys: "+" }),
    iconButton("fit", "Fit", () => view.fit(), { keys: "0" })
  );
  return {
    element,
    show() {
      full.textContent = `${Math.round(view.ownZoom * 100)}%`;
      full.setAttribute("aria-label", `Zoom ${full.textContent}; show the picture's own pixels`);
    },
  };
};

/** @type {(label: string, title: string, onchange: (on: boolean) => void) => { element: HTMLElement, input: HTMLInputElement }} */
const checkbox = (label, title, onchange) => {
  const input = make("input", { type: "checkbox", onchange: () => onchange(input.checked) });
  const element = make("label", { class: "check", title }, input, make("span", {}, label));
  return { element, input };
};

/** @type {(label: string, onclick: () => void, title?: string) => HTMLButtonElement} */
const action = (label, onclick, title) =>
  make("button", { type: "button", class: "action", title, onclick }, label);

/** @type {(board: Board, files: Files) => Part & ReturnType<typeof menu>} */
const adjustMenu = (board, files) => {
  const { settings } = board;
  /** @type {(name: "opacity" | "feather", options: Omit<SliderOptions, "value" | "onchange">) => Part & { element: HTMLElement }} */
  const follow = (name, options) => {
    const { element, show } = slider({
      ...options,
      value: settings[name],
      onchange: (value) => board.set({ [name]: value }),
    });
    return { element, show: () => show(settings[name]) };
  };
  const opacity = follow("opacity", {
    label: "Opacity",
    min: 10,
    max: 100,
    unit: "%",
    title: "Of the drawing over the picture",
  });
  /** @type {Part[]} */
  const rows = [opacity];
  /** @type {HTMLElement[]} */
  const elements = [opacity.element];
  if (board.mode === "mask") {
    const title = "Softens the mask's edge; shown on the canvas, the mask itself stays sharp";
    const feather = follow("feather", { label: "Feather", min: 0, max: 64, unit: " px", title });
    rows.push(feather);
    elements.push(feather.element);
  }
  if (board.mode !== "boxes") elements.push(...regionRows(board, files, rows));
  const cells = checkbox("Show the model's cells", "What the model can resolve: one cell of its latent each (C)", (on) =>
    board.set({ cells: on })
  );
  rows.push({ show: () => (cells.input.checked = settings.cells) });
  elements.push(cells.element);
  return {
    ...menu("Adjust", "Opacity, edges, cells", ...elements),
    show: () => rows.forEach((row) => row.show()),
  };
};

/**
 * Grow, shrink, invert, and whether a pen's pressure counts.
 * @type {(board: Board, files: Files, rows: Part[]) => HTMLElement[]}
 */
const regionRows = (board, files, rows) => {
  const { settings } = board;
  const distance = slider({
    label: "By",
    title: "How far Grow and Shrink go",
    min: 1,
    max: 64,
    unit: " px",
    bend: 2,
    value: settings.distance,
    onchange: (value) => board.set({ distance: value }),
  });
  const pressure = checkbox("Pen pressure sets the size", "A light touch paints a thin line", (on) =>
    board.set({ pressure: on })
  );
  rows.push({
    show() {
      distance.show(settings.distance);
      pressure.input.checked = settings.pressure;
    },
  });
  const what = board.mode === "mask" ? "the mask" : "the chosen class";
  const buttons = make(
    "div",
    { class: "row" },
    action("Grow", () => board.grow(), `Widens ${what} by so much`),
    action("Shrink", () => board.shrink(), `Takes so much off the edge of ${what}`)
  );
  if (board.mode !== "mask") return [distance.element, buttons, pressure.element];
  buttons.append(action("Invert", () => board.invert(), "Exchanges what is filled and what is kept (I)"));
  const clear = action(
    "From transparency",
    () => files.maskFromTransparency(),
    "The picture's transparent parts become the mask"
  );
  rows.push({ show: () => (clear.disabled = !board.picture) });
  return [distance.element, buttons, make("div", { class: "row" }, clear), pressure.element];
};

/** @type {(board: Board, files: Files, does: Does) => Part & ReturnType<typeof menu>} */
const fileMenu = (board, files, does) => {
  const words = NAMES[board.mode];
  const remove = action("Remove picture", () => board.setPicture(null));
  const folded = menu(
    "File",
    "Open and save",
    action(
      "Open picture…",
      () => does.choose("image/*", (file) => files.openPicture(file)),
      "Also by dropping or pasting it"
    ),
    remove,
    action(
      words.open,
      () => does.choose(board.mode === "boxes" ? ".json" : "image/*", (file) => files.openDrawing(file)),
      words.about
    ),
    action(words.save, () => files.save())
  );
  folded.panel.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("button")) folded.close();
  });
  return { ...folded, show: () => void (remove.hidden = !board.picture) };
};
