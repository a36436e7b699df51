// Mouse, pen and touch on the viewport.  One finger paints, two fingers zoom and move; the middle button or
// the space bar moves; the right button and a pen's other end take paint away.

/** @import { Board, ToolName } from "./board.js" */
/** @import { Point } from "./geometry.js" */
/** @import { Input, Pointer, Tool } from "./tools.js" */
/** @import { View } from "./view.js" */
/** @typedef {{ space: boolean, control: boolean }} Held  which keys are down */
/** @typedef {{ kind: "tool" | "pan", id: number, tool: Tool, at: Point }} Action  what the pointer `id` does */
/**
 * @typedef {object} Parts
 * @property {HTMLElement} viewport
 * @property {View} view
 * @property {Board} board
 * @property {Record<ToolName, Tool>} tools
 * @property {Held} held
 * @property {() => boolean} covered  whether a picture is seen instead of the sheet, which then is only moved
 * @property {() => void} moved  called when the pointer moved
 */

export class Gestures {
  /** @param {Parts} parts */
  constructor({ viewport, view, board, tools, held, covered, moved }) {
    this.viewport = viewport;
    this.view = view;
    this.board = board;
    this.tools = tools;
    this.held = held;
    this.covered = covered;
    this.moved = moved;
    /** @type {Map<number, Point>} */
    this.touches = new Map(); // pointer id -> place in the viewport
    /** @type {Action | null} */
    this.action = null;
    /** @type {Point | null} */
    this.hover = null; // the pointer's place, for the brush's outline
    this.penSeen = false; // from then on fingers only move the sheet
    viewport.addEventListener("pointerdown", (event) => this.#down(event));
    viewport.addEventListener("pointermove", (event) => this.#move(event));
    viewport.addEventListener("pointerup", (event) => this.#up(event));
    viewport.addEventListener("pointercancel", (event) => this.#up(event));
    viewport.addEventListener("pointerleave", () => this.#hoverAt(null));
    viewport.addEventListener("contextmenu", (event) => event.preventDefault());
    viewport.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  get tool() {
    return this.tools[this.board.settings.tool];
  }

  get busy() {
    return this.action?.kind === "tool";
  }

  // Takes an unfinished stroke back; false where there is none.
  cancel() {
    const { action } = this;
    this.action = null;
    if (action?.kind !== "tool") return false;
    action.tool.cancel();
    return true;
  }

  // Shows the cursor that follows from the keys held.
  refresh() {
    this.#hoverAt(this.hover);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const at = this.view.place(event);
    this.viewport.focus({ preventScroll: true });
    this.viewport.setPointerCapture(event.pointerId);
    event.preventDefault();
    if (event.pointerType === "pen") this.penSeen = true;
    if (event.pointerType === "touch") {
      this.touches.set(event.pointerId, at);
      if (this.touches.size > 1) {
        this.cancel(); // the first finger was not meant to paint
        return;
      }
    }
    if (this.action) return;
    const moves = event.button === 1 || this.held.space || this.covered();
    const pan = moves || (event.pointerType === "touch" && this.penSeen);
    const kind = pan ? "pan" : "tool";
    this.action = { kind, id: event.pointerId, tool: this.tool, at };
    if (kind === "pan") this.viewport.style.cursor = "grabbing";
    else if (event.altKey) this.#pick(at);
    else this.tool.start(this.view.inside(at), this.#input(event), this.view.zoom);
    this.#hoverAt(event.pointerType === "touch" ? null : at);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const at = this.view.place(event);
    if (this.touches.has(event.pointerId) && this.touches.size > 1) {
      this.#pinch(event.pointerId, at);
      return;
    }
    const { action } = this;
    if (action?.id === event.pointerId) {
      if (action.kind === "pan") this.view.pan(at.x - action.at.x, at.y - action.at.y);
      else this.#draw(event, action.tool);
      action.at = at;
    }
    if (event.pointerType !== "touch") this.#hoverAt(at);
  }

  /** @type {(event: PointerEvent, tool: Tool) => void} */
  #draw(event, tool) {
    const events = event.getCoalescedEvents?.() ?? [];
    const points = (events.length ? events : [event]).map((one) => this.view.inside(this.view.place(one)));
    tool.move(points, this.#input(event));
  }

  /** @param {PointerEvent} event */
  #up(event) {
    this.touches.delete(event.pointerId);
    const { action } = this;
    if (action?.id !== event.pointerId) return;
    this.action = null;
    if (action.kind === "tool") {
      if (event.type === "pointercancel") action.tool.cancel();
      else action.tool.end();
    }
    this.#hoverAt(event.pointerType === "touch" ? null : this.view.place(event));
  }

  /**
   * The point between the two fingers, and the distance between them, stay on the same pixels.
   * @type {(id: number, at: Point) => void}
   */
  #pinch(id, at) {
    const other = [...this.touches].find(([key]) => key !== id)?.[1];
    const old = this.touches.get(id);
    if (!other || !old) return;
    const [from, to] = [middle(old, other), middle(at, other)];
    this.touches.set(id, at);
    this.view.pan(to.x - from.x, to.y - from.y);
    if (distance(old, other) > 10) this.view.zoomAt(distance(at, other) / distance(old, other), to);
  }

  /** @type {(event: PointerEvent) => Input} */
  #input(event) {
    return {
      pointer: /** @type {Pointer} */ (event.pointerType),
      erase: (event.buttons & 2) !== 0 || (event.buttons & 32) !== 0,
      shift: event.shiftKey,
      pressure: event.pointerType === "pen" ? event.pressure : null,
    };
  }

  /**
   * Takes up the class under the pointer.
   * @param {Point} at
   */
  #pick(at) {
    const id = this.board.sheet.at(this.view.inside(at));
    if (this.board.mode === "classes" && id !== null && id < this.board.palette.length) this.board.choose(id);
    this.action = null;
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const delta = (event.deltaY || event.deltaX) * lines;
    if (event.ctrlKey && this.held.control) {
      const { size } = this.board.settings;
      const step = Math.max(1, Math.round(size * 0.1));
      this.board.set({ size: size - Math.sign(delta) * step });
    } else {
      // A touchpad's pinch comes as a wheel with Ctrl, without the key being down.
      const speed = event.ctrlKey ? 0.01 : 0.0015;
      this.view.zoomAt(Math.exp(-Math.max(-240, Math.min(240, delta)) * speed), this.view.place(event));
    }
  }

  /** @param {Point | null} at */
  #hoverAt(at) {
    this.hover = at;
    if (this.action?.kind !== "pan") {
      const { tool } = this;
      const free = this.held.space ? "grab" : tool.round ? "none" : "crosshair";
      const point = at && this.view.inside(at);
      this.viewport.style.cursor =
        point && tool.cursorAt && !this.held.space ? tool.cursorAt(point, this.view.zoom) : free;
    }
    this.moved();
  }
}

/** @type {(a: Point, b: Point) => Point} */
const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
/** @type {(a: Point, b: Point) => number} */
const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
