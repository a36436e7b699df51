// The bar over the sheet: tools, brush size, undo, zoom, and two panels with everything rarer.

import { LARGEST_BRUSH } from "./board.js";
import { iconButton, make, menu, slider } from "./dom.js";

const TOOLS = [
  ["brush", "Brush", "B"],
  ["eraser", "Eraser", "E"],
  ["bucket", "Bucket: fills what hangs together", "G"],
  ["rectangle", "Rectangle", "R"],
  ["lasso", "Lasso: fills what you go round", "L"],
];

const NAMES = {
  mask: { open: "Open mask…", save: "Save mask", about: "A picture of the same size: white will be filled" },
  classes: {
    open: "Open map…",
    save: "Save map",
    about: "A label map: class ids, or the palette's colours (nearest colour)",
  },
  boxes: { open: "Open boxes…", save: "Save boxes", about: "Boxes as JSON" },
};

// `does` holds what the buttons do.  Returns the element and `show()`, which brings it up to date.
export const makeToolbar = (board, view, files, does) => {
  const paints = board.mode !== "boxes";
  const parts = [];
  const bar = make("div", { class: "bar", role: "group", "aria-label": "Canvas tools" });
  if (paints) {
    const [tools, size] = [toolButtons(board), sizeSlider(board)];
    bar.append(tools.element);
    parts.push(tools, { show: () => size.show(board.settings.size) });
    bar.append(size);
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
    close: () => [adjust, file].forEach((part) => part.element.close()),
  };
};

const pressed = (button, state) => button.setAttribute("aria-pressed", Boolean(state));

const toolButtons = (board) => {
  const buttons = TOOLS.map(([name, label, keys]) => [
    name,
    iconButton(name, label, () => board.set({ tool: name }), { keys }),
  ]);
  const exchange = () => board.set({ erasing: !board.settings.erasing });
  const swap = iconButton("swap", "Take away with bucket, rectangle and lasso", exchange, { keys: "X" });
  const element = make("div", { class: "group", role: "group", "aria-label": "Tools" });
  element.append(...buttons.map(([, button]) => button), swap);
  return {
    element,
    show() {
      for (const [name, button] of buttons) pressed(button, board.settings.tool === name);
      pressed(swap, board.settings.erasing);
    },
  };
};

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
      remove.setAttribute("aria-disabled", board.selected < 0);
      // Not `disabled`, which would throw the keyboard's focus away with the last step.
      undo.setAttribute("aria-disabled", !board.history.canUndo);
      redo.setAttribute("aria-disabled", !board.history.canRedo);
    },
  };
};

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
      full.textContent = `${Math.round(view.zoom * 100)}%`;
      full.setAttribute("aria-label", `Zoom ${full.textContent}; show the picture's own pixels`);
    },
  };
};

const checkbox = (label, title, onchange) => {
  const input = make("input", { type: "checkbox", onchange: () => onchange(input.checked) });
  const element = make("label", { class: "check", title }, input, make("span", {}, label));
  element.input = input;
  return element;
};

const action = (label, onclick, title = null) =>
  make("button", { type: "button", class: "action", title, onclick }, label);

const adjustMenu = (board, files) => {
  const { settings } = board;
  const follow = (name, label, options) => {
    const onchange = (value) => board.set({ [name]: value });
    const element = slider({ label, value: settings[name], onchange, ...options });
    return { element, show: () => element.show(settings[name]) };
  };
  const rows = [
    follow("opacity", "Opacity", { min: 10, max: 100, unit: "%", title: "Of the drawing over the picture" }),
  ];
  const elements = [rows[0].element];
  if (board.mode === "mask") {
    const title = "Softens the mask's edge; shown on the canvas, the mask itself stays sharp";
    rows.push(follow("feather", "Feather", { min: 0, max: 64, unit: " px", title }));
    elements.push(rows[1].element);
  }
  if (board.mode !== "boxes") elements.push(...regionRows(board, files, rows));
  const cells = checkbox("Show the model's cells", "What the model can resolve: one cell of its latent each (C)", (on) =>
    board.set({ cells: on })
  );
  rows.push({ show: () => (cells.input.checked = settings.cells) });
  elements.push(cells);
  return {
    element: menu("Adjust", "Opacity, edges, cells", ...elements),
    show: () => rows.forEach((row) => row.show()),
  };
};

// Grow, shrink, invert, and whether a pen's pressure counts.
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
  if (board.mode !== "mask") return [distance, buttons, pressure];
  buttons.append(action("Invert", () => board.invert(), "Exchanges what is filled and what is kept (I)"));
  const clear = action(
    "From transparency",
    () => files.maskFromTransparency(),
    "The picture's transparent parts become the mask"
  );
  rows.push({ show: () => (clear.disabled = !board.picture) });
  return [distance, buttons, make("div", { class: "row" }, clear), pressure];
};

const fileMenu = (board, files, does) => {
  const words = NAMES[board.mode];
  const remove = action("Remove picture", () => board.setPicture(null));
  const element = menu(
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
  element.querySelector(".panel").addEventListener("click", (event) => {
    if (event.target.closest("button")) element.close();
  });
  return { element, show: () => (remove.hidden = !board.picture) };
};
