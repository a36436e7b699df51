// Everything drawn over the sheet at the screen's own resolution: the latent's cells, boxes, what a tool is
// about to do, and the brush's outline.

import { contextOf } from "./dom.js";

/** @import { Board } from "./board.js" */
/** @import { Point } from "./geometry.js" */
/** @import { Tool } from "./tools.js" */
/** @import { View } from "./view.js" */

const NARROWEST_CELL = 5; // CSS pixels; below this a grid would only be grey

export class Lines {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {View} view
   * @param {Board} board
   * @param {() => Tool} tool  the tool in hand
   * @param {() => Point | null} pointer  its place in the viewport
   */
  constructor(canvas, view, board, tool, pointer) {
    this.canvas = canvas;
    this.view = view;
    this.board = board;
    this.tool = tool;
    this.pointer = pointer;
    /** @type {number | undefined} */
    this.frame = undefined;
  }

  // Draws at the next frame.
  wake() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.#draw();
    });
  }

  #draw() {
    const { canvas, view, board } = this;
    const { clientWidth, clientHeight } = view.viewport;
    if (!clientWidth) return;
    const scale = devicePixelRatio || 1;
    const [width, height] = [Math.round(clientWidth * scale), Math.round(clientHeight * scale)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = contextOf(canvas);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    if (board.settings.cells) this.#cells(context);
    this.#outline(context);
    this.tool().draw?.(context, view);
    const at = this.pointer();
    if (at && this.tool().round) this.#brush(context, at);
  }

  /** @param {CanvasRenderingContext2D} context */
  #cells(context) {
    const { view, board } = this;
    const cell = board.cellSize;
    if (!cell || cell * view.zoom < NARROWEST_CELL) return;
    const { width, height } = board.sheet;
    const { clientWidth, clientHeight } = view.viewport;
    const from = view.inside({ x: 0, y: 0 });
    const to = view.inside({ x: clientWidth, y: clientHeight });
    const start = view.outside({ x: 0, y: 0 });
    const end = view.outside({ x: width, y: height });
    const first = (/** @type {number} */ value) => Math.max(cell, Math.ceil(value / cell) * cell);
    context.beginPath();
    for (let x = first(from.x); x < Math.min(width, to.x); x += cell) {
      const at = Math.round(view.outside({ x, y: 0 }).x) + 0.5;
      context.moveTo(at, Math.max(0, start.y));
      context.lineTo(at, Math.min(clientHeight, end.y));
    }
    for (let y = first(from.y); y < Math.min(height, to.y); y += cell) {
      const at = Math.round(view.outside({ x: 0, y }).y) + 0.5;
      context.moveTo(Math.max(0, start.x), at);
      context.lineTo(Math.min(clientWidth, end.x), at);
    }
    context.lineWidth = 1;
    context.strokeStyle = "rgb(120 120 120 / 60%)";
    context.stroke();
  }

  /**
   * Dashed; what of the page lies outside is dimmed, what lies beyond the page is light.
   * @param {CanvasRenderingContext2D} context
   */
  #outline(context) {
    const { view, board } = this;
    const { left, top, width, height } = board.outline;
    if (!width || !height) return;
    /** @type {(x: number, y: number) => Point} */
    const corner = (x, y) => view.outside({ x, y });
    /** @type {(from: Point, to: Point) => void} */
    const rect = (from, to) => context.rect(from.x, from.y, to.x - from.x, to.y - from.y);
    const [from, to] = [corner(left, top), corner(left + width, top + height)];
    context.beginPath();
    rect(from, to);
    rect(corner(0, 0), corner(board.sheet.width, board.sheet.height));
    const beyond = left < 0 || top < 0 || left + width > board.sheet.width || top + height > board.sheet.height;
    context.fillStyle = beyond ? "rgb(255 255 255 / 30%)" : "rgb(0 0 0 / 35%)";
    context.fill("evenodd");
    context.beginPath();
    rect(from, to);
    context.lineWidth = 1;
    for (const { colour, shift } of [{ colour: "#111", shift: 0 }, { colour: "#fff", shift: 5 }]) {
      context.setLineDash([5, 5]);
      context.lineDashOffset = shift;
      context.strokeStyle = colour;
      context.stroke();
    }
    context.setLineDash([]);
  }

  /** @type {(context: CanvasRenderingContext2D, at: Point) => void} */
  #brush(context, at) {
    const radius = Math.max(2, (this.board.settings.size / 2) * this.view.zoom);
    context.beginPath();
    context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
    twoTone(context);
  }
}

/**
 * Strokes the path so that it is seen on dark and on light.
 * @param {CanvasRenderingContext2D} context
 */
export const twoTone = (context) => {
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 55%)";
  context.stroke();
  context.lineWidth = 1;
  context.strokeStyle = "#fff";
  context.stroke();
};
