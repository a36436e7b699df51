// Mounts a canvas into an element of gradio's, inside a shadow root so that neither style sheet reaches into
// the other.  The parts:
//
//   board      what is worked on and every change to it     sheet, history, geometry: what it stands on
//   layers     the picture and the coloured map             lines: what is drawn over them
//   tiles      own pixels of a large picture
//   view       zoom and pan                                 gestures, keys: mouse, pen, touch, keyboard
//   tools      brush, eraser, bucket, rectangle, lasso      boxes, wand: tools of their own
//   toolbar    buttons and panels                           palette: classes with search
//   exchange   to Python and back                           keep: across reloads; files, png, value: formats
//   staging    the stage's picture over the sheet
//   reader     picture files as the program reads them

import { Board } from "./board.js";
import { make } from "./dom.js";
import { Exchange, openRecord, toRecord } from "./exchange.js";
import { Files, receiveFiles } from "./files.js";
import { Gestures } from "./gestures.js";
import { Keeper } from "./keep.js";
import { listenToKeys } from "./keys.js";
import { Layers } from "./layers.js";
import { Lines } from "./lines.js";
import { makePalette } from "./palette.js";
import { Reader } from "./reader.js";
import { Staging } from "./staging.js";
import { Tiles } from "./tiles.js";
import { makeToolbar } from "./toolbar.js";
import { makeTools } from "./tools.js";
import { View } from "./view.js";

/** @import { Beginning, What } from "./board.js" */
/** @import { ReceivedValue, SendFile, SentValue } from "./exchange.js" */
/**
 * What gr.HTML gives to a component's script, and the settings that app/widgets/canvas.py says.
 * @typedef {object} Mounting
 * @property {HTMLElement & { reset?: () => void }} element
 * @property {{ value: ReceivedValue | SentValue | null }} props
 * @property {(event: string, detail: object) => void} trigger
 * @property {SendFile} upload
 * @property {(name: string, changed: () => void) => void} watch
 * @property {Beginning & { label: string, name: string }} settings
 */

const LIVE_DELAY = 120; // milliseconds of rest after a stroke before "stroke" is told
const NOTE_TIME = 6000;

/** @param {Mounting} mounting */
export const mount = async ({ element, props, trigger, upload, watch, settings }) => {
  const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  const frame = makeFrame(settings.label);
  root.replaceChildren();
  await applyStyle(root);
  root.append(frame.element);

  const held = { space: false, control: false };
  const layers = new Layers(frame.picture, frame.overlay);
  const board = new Board(settings, layers, (what) => changed(what));
  const note = frame.say;
  const view = new View(frame.viewport, frame.paper, () => showView());
  const tools = makeTools(board, note);
  const gestures = new Gestures({
    viewport: frame.viewport,
    view,
    board,
    tools,
    held,
    covered: () => staging.covers,
    moved: () => showPointer(),
  });
  const lines = new Lines(frame.lines, view, board, () => gestures.tool, () => gestures.hover);
  const tab = settings.name.replace("-canvas", "");
  const use = () => document.getElementById(`${tab}-use`)?.click();
  const staging = new Staging(tab, {
    viewport: frame.viewport,
    paper: frame.paper,
    view,
    changed: () => lines.wake(),
    accept: board.mode === "mask" ? use : null,
  });
  const reader = new Reader(upload);
  const tiles = new Tiles(frame.tiles, view, (...asked) => reader.tile(...asked));
  const files = new Files(board, reader, note);
  const toolbar = makeToolbar(board, view, files, { choose: chooseFile });
  const palette = makePalette(board);
  const put = (/** @type {SentValue} */ value) => {
    props.value = value;
    const all = window.latentAtelier?.parts; // a canvas alone has no page
    if (all) all[settings.name] = board.parts();
    document.dispatchEvent(new Event("parts"));
  };
  const exchange = new Exchange({ board, reader, note, put });
  const keeper = new Keeper(settings.name);
  frame.element.prepend(toolbar.element);
  if (board.mode !== "mask") {
    frame.middle.append(palette.element);
    new ResizeObserver(() => {
      // Beside the sheet, where it is not below it.
      const floats = getComputedStyle(palette.element).position === "absolute";
      view.aside = floats ? palette.element.offsetWidth : 0;
      if (view.fitted) view.fit();
    }).observe(palette.element);
  }

  // Whatever changes comes by here.  `loading`: what is shown is not yet what was kept, so it must not be
  // kept or sent.  `quiet`: Python's own value is taken up, which is no stroke.
  let loading = true;
  let quiet = true;
  let resting = 0;
  /** @param {What} what */
  function changed(what) {
    if (what === "page") {
      const { width, height } = board.sheet;
      tiles.show(board.picture);
      view.show(width, height, board.scale);
    }
    if (what === "outline") view.surround(board.outline);
    if ((what === "content" || what === "page") && !loading) {
      const page = board.page();
      exchange.send(page);
      keeper.save(toRecord(board, page));
      element.dispatchEvent(new Event("input", { bubbles: true })); // as a field of the page tells it
      if (!quiet) rest();
    }
    if (what === "tool") staging.cover(false); // somebody is about to paint
    if (what === "settings") showSettings();
    if (what !== "lines") showControls();
    lines.wake();
    showPointer();
  }
  const rest = () => {
    clearTimeout(resting);
    const early = () => gestures.busy || exchange.sending;
    resting = setTimeout(() => (early() ? rest() : trigger("stroke", {})), LIVE_DELAY);
  };
  let keeping = 0;
  const showSettings = () => {
    const { opacity, feather } = board.settings;
    frame.overlay.style.opacity = `${opacity / 100}`;
    frame.overlay.style.filter = feather ? `blur(${feather / 2}px)` : "none";
    palette.reveal();
    if (quiet) return;
    clearTimeout(keeping);
    keeping = setTimeout(settingsKept, 300);
  };
  let sentFeather = board.settings.feather;
  const settingsKept = () => {
    keeper.save(toRecord(board));
    if (board.settings.feather !== sentFeather) exchange.send();
    sentFeather = board.settings.feather;
  };
  const showControls = () => {
    toolbar.show();
    palette.show();
    // A mask needs something under it.
    frame.hint.hidden = board.mode !== "mask" || board.picture !== null || board.history.canUndo;
  };
  const showView = () => {
    toolbar.show();
    tiles.look();
    lines.wake();
  };
  const showPointer = () => {
    lines.wake();
    frame.facts(board, gestures, view);
  };

  const keys = listenToKeys({ host: element, viewport: frame.viewport, board, view, gestures, palette, staging, held });
  receiveFiles(frame.element, keys.mine, (file) => files.openAny(file));
  root.addEventListener("pointerdown", (event) => {
    if (!(event.target instanceof Element && event.target.closest(".holder"))) toolbar.close();
  });

  // Python's values are taken up one after the other, since a picture takes its time to arrive; the first of
  // them when what was kept is shown.
  let show = () => {};
  /** @type {Promise<void>} */
  let receiving = new Promise((resolve) => {
    show = resolve;
  });
  const receive = async (/** @type {ReceivedValue | null} */ value) => {
    quiet = true;
    frame.element.setAttribute("aria-busy", "true");
    await exchange.receive(value);
    frame.element.removeAttribute("aria-busy");
    quiet = false;
    if (value?.setup) exchange.send(); // Python gets the content again, not its own words
  };
  // Python may have spoken before this tab of the page was opened.
  const first = props.value && "from" in props.value ? props.value : null;
  watch("value", () => {
    const value = /** @type {ReceivedValue | null} */ (props.value); // what `put` sets is not told
    receiving = receiving.then(() => receive(value));
  });
  if (first?.setup) board.setUp(first.setup);
  const kept = first?.width && !first.initial ? null : await keeper.load();
  board.open({ width: settings.width, height: settings.height });
  board.history.forget();
  if (await openRecord(board, reader, kept)) board.setUp(first?.setup ?? {});
  else {
    if (first) await exchange.receive(first);
    board.history.forget();
  }
  board.set({});
  loading = quiet = false;
  changed("content");
  clearTimeout(resting);
  show();
  // For scripts of the page, and for tests.
  element.reset = () => {
    board.reset(settings);
    view.fit();
  };
  element.dataset.ready = "";
};


/**
 * Waited for, so that nothing is seen unstyled and nothing is measured too early.
 * @type {(root: ShadowRoot) => Promise<void>}
 */
const applyStyle = (root) =>
  new Promise((resolve) => {
    const link = make("link", { rel: "stylesheet", href: `${new URL("canvas.css", import.meta.url)}` });
    link.onload = link.onerror = () => resolve();
    root.append(link);
  });

/** @type {(accept: string, open: (file: File) => void) => void} */
const chooseFile = (accept, open) => {
  const input = make("input", { type: "file", accept });
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file) open(file);
  });
  input.click();
};

/**
 * The elements that do not depend on what is painted.
 * @param {string} label
 */
const makeFrame = (label) => {
  const picture = make("canvas", { class: "picture" });
  const overlay = make("canvas", { class: "overlay" });
  const tiles = make("canvas", { class: "tiles", hidden: true });
  const paper = make("div", { class: "paper" }, picture, tiles, overlay);
  const lines = make("canvas", { class: "lines" });
  const hint = make("p", { class: "hint" }, "Drop or paste a picture here");
  const viewport = make(
    "div",
    { class: "viewport", tabindex: 0, role: "application", "aria-label": label, "aria-describedby": "facts" },
    paper,
    lines,
    hint
  );
  const notes = make("span", { class: "note", role: "status" });
  const pointer = make("span", { class: "pointer" });
  const size = make("span", { class: "size", id: "facts" });
  viewport.append(make("div", { class: "foot" }, notes, pointer, size));
  const middle = make("div", { class: "middle" }, viewport);
  let fading = 0;
  return {
    element: make("div", { class: "canvas" }, middle),
    middle, viewport, paper, picture, tiles, overlay, lines, hint,
    say(/** @type {string} */ text) {
      notes.textContent = text;
      clearTimeout(fading);
      fading = setTimeout(() => (notes.textContent = ""), NOTE_TIME);
    },
    /** @type {(board: Board, gestures: Gestures, view: View) => void} */
    facts(board, gestures, view) {
      const { width, height } = board.picture?.full ?? board.sheet;
      size.textContent = `${width} × ${height}`;
      const at = gestures.hover && view.inside(gestures.hover);
      const id = at ? board.sheet.at(at) : null;
      const place = at && id !== null ? `${Math.floor(at.x * board.scale)}, ${Math.floor(at.y * board.scale)}` : "";
      const name = board.mode === "classes" && id !== null ? board.palette[id]?.name : "";
      pointer.textContent = [gestures.tool.news, name, place].filter(Boolean).join("  ·  ");
    },
  };
};
