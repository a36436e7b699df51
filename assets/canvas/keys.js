// The keyboard.  Keys act on the canvas that was last touched, as long as it is in sight and the person is
// not typing somewhere.  Returns `mine(event)`: whether a key or a paste is meant for this canvas.

/** @import { Board, ToolName } from "./board.js" */
/** @import { Gestures, Held } from "./gestures.js" */
/** @import { Palette } from "./palette.js" */
/** @import { Staging } from "./staging.js" */
/** @import { View } from "./view.js" */
/** @typedef {() => unknown} Act  what a key does */
/**
 * @typedef {object} Parts
 * @property {HTMLElement} host
 * @property {HTMLElement} viewport
 * @property {Board} board
 * @property {View} view
 * @property {Gestures} gestures
 * @property {Palette} palette
 * @property {Staging} staging
 * @property {Held} held
 */

const TYPING = "input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable=true]";
/** @type {Record<string, ToolName>} */
const TOOL_KEYS = { b: "brush", e: "eraser", g: "bucket", r: "rectangle", l: "lasso", w: "wand" };
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @type {HTMLElement | null} */
let latest = null; // the host of the canvas last touched

/** @param {Parts} parts */
export const listenToKeys = ({ host, viewport, board, view, gestures, palette, staging, held }) => {
  const claim = () => {
    latest = host;
  };
  latest ??= host;
  host.addEventListener("pointerenter", claim);
  host.addEventListener("focusin", claim);

  const inSight = () => host.isConnected && host.offsetParent !== null;
  const mine = (/** @type {Event} */ event) => {
    const from = event.composedPath()[0];
    if (from instanceof Element && from.matches(TYPING)) return false;
    if (!latest?.isConnected || latest.offsetParent === null) claim();
    return inSight() && latest === host;
  };

  /** @type {(key: string, event: KeyboardEvent) => Act | null} */
  const withControl = (key, event) => {
    if (key === "z" && !event.shiftKey) return () => gestures.cancel() || board.undo();
    if (key === "y" || key === "z") return () => board.redo();
    return null;
  };

  /** @type {(key: string, event: KeyboardEvent, onCanvas: boolean) => Act | null} */
  const plain = (key, event, onCanvas) => {
    const { settings } = board;
    const paints = board.mode !== "boxes";
    if (paints && TOOL_KEYS[key]) return () => board.set({ tool: TOOL_KEYS[key] });
    const step = Math.max(1, Math.round(settings.size * 0.15));
    /** @type {Record<string, Act | false>} */
    const actions = {
      "[": paints && (() => board.set({ size: settings.size - step })),
      "]": paints && (() => board.set({ size: settings.size + step })),
      x: paints && (() => board.set({ erasing: !settings.erasing })),
      i: board.mode === "mask" && (() => board.invert()),
      c: () => board.set({ cells: !settings.cells }),
      0: () => view.fit(),
      1: () => view.zoomTo(1),
      "+": () => view.zoomAt(1.25),
      "=": () => view.zoomAt(1.25),
      "-": () => view.zoomAt(1 / 1.25),
      "/": !palette.search.hidden && palette.element.isConnected && (() => palette.search.focus()),
      h: staging.covers && (() => staging.peek(true)),
      escape: () => gestures.cancel() || staging.leave() || deselect(),
    };
    return actions[key] || (onCanvas ? boxKey(event) : null);
  };

  const deselect = () => {
    if (board.selected < 0) return false;
    board.select(-1);
    return true;
  };

  /**
   * Keys that other controls have a use for: only while the canvas itself has the focus.
   * @type {(event: KeyboardEvent) => Act | null}
   */
  const boxKey = (event) => {
    const arrow = ARROWS[event.key];
    if (arrow && board.selected >= 0) {
      const far = event.shiftKey ? 10 : 1;
      return () => board.nudge(arrow[0] * far, arrow[1] * far, event.altKey);
    }
    if (arrow) return () => view.pan(-40 * arrow[0], -40 * arrow[1]);
    if (event.key === "Delete" || event.key === "Backspace") return () => board.deleteBox();
    const focused = event.composedPath()[0] === viewport; // elsewhere Enter presses a button
    const room = board.mode === "boxes" && !board.full && board.className;
    if (event.key === "Enter" && focused && room) return addInTheMiddle;
    return null;
  };
  const addInTheMiddle = () => {
    const { width, height } = board.sheet;
    const [x0, y0] = [Math.round(width / 3), Math.round(height / 3)];
    board.addBox({ x0, y0, x1: width - x0, y1: height - y0 });
    board.commit();
  };

  const stop = new AbortController();
  const onDown = (/** @type {KeyboardEvent} */ event) => {
    if (!host.isConnected) stop.abort(); // gradio has taken this canvas away
    held.control = event.ctrlKey || event.metaKey;
    if (!mine(event)) return;
    const from = event.composedPath()[0];
    // With the pointer over the canvas the keys are meant for it, wherever the focus was left.
    const over = gestures.hover !== null && !(from instanceof Element && from.matches("input"));
    const onCanvas = from === viewport || from === document.body || over;
    const key = event.key.toLowerCase();
    if (event.key === " " && onCanvas) {
      held.space = true;
      event.preventDefault();
      gestures.refresh();
      return;
    }
    const act = held.control ? withControl(key, event) : plain(key, event, onCanvas || inList(from));
    if (!act) return;
    const acted = act();
    if (event.key !== "Escape" || acted) event.preventDefault(); // so that Escape leaves one thing at a time
  };
  const inList = (/** @type {EventTarget} */ from) => from instanceof Element && from.closest(".boxes") !== null;
  const onUp = (/** @type {KeyboardEvent} */ event) => {
    held.control = event.ctrlKey || event.metaKey;
    if (event.key === " ") held.space = false;
    if (event.key.toLowerCase() === "h") staging.peek(false);
    gestures.refresh();
  };
  const onBlur = () => {
    staging.peek(false);
    held.space = held.control = false;
  };
  addEventListener("keydown", onDown, { signal: stop.signal });
  addEventListener("keyup", onUp, { signal: stop.signal });
  addEventListener("blur", onBlur, { signal: stop.signal });
  return { mine };
};
