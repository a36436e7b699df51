// The painting tools.  Each answers a pointer: start, move (with all points since the last event), end;
// cancel takes the stroke back.  `draw` shows what the pointer is about to do, in the viewport's pixels.

import { BoxTool } from "./boxes.js";
import { rounded } from "./geometry.js";
import { twoTone } from "./lines.js";
import { Wand } from "./wand.js";

/** @import { Board, ToolName } from "./board.js" */
/** @import { Point, Rect } from "./geometry.js" */
/** @import { View } from "./view.js" */
/** @typedef {"mouse" | "pen" | "touch"} Pointer */
/**
 * What is pressed; `pressure` is null where the device has none.
 * @typedef {{ pointer: Pointer, erase: boolean, shift: boolean, pressure: number | null }} Input
 */
/**
 * @typedef {object} Tool
 * @property {(point: Point, input: Input, zoom: number) => void} start
 * @property {(points: readonly Point[], input: Input) => void} move
 * @property {() => void} end
 * @property {() => void} cancel
 * @property {(context: CanvasRenderingContext2D, view: View) => void} [draw]
 * @property {boolean} [round]  its cursor is the brush's outline
 * @property {string} [news]  said at the foot of the canvas
 * @property {(point: Point, zoom: number) => string} [cursorAt]
 */

/** @type {(board: Board, note: (text: string) => void) => Record<ToolName, Tool>} */
export const makeTools = (board, note) => ({
  brush: new Brush(board, false),
  eraser: new Brush(board, true),
  bucket: new Bucket(board),
  rectangle: new Rectangle(board),
  lasso: new Lasso(board),
  wand: new Wand(board, note),
  box: new BoxTool(board, note),
});

class Brush {
  /**
   * @param {Board} board
   * @param {boolean} erases
   */
  constructor(board, erases) {
    this.board = board;
    this.erases = erases;
    /** @type {Point | null} */
    this.last = null; // where the last stroke ended
    this.radius = 0;
    this.id = 0;
  }

  get round() {
    return true;
  }

  /** @type {Tool["start"]} */
  start(point, input) {
    this.id = this.board.paint(this.erases || input.erase);
    const from = input.shift && this.last ? this.last : point;
    this.radius = this.#radius(input);
    this.last = from;
    this.move([point], input);
  }

  /** @type {Tool["move"]} */
  move(points, input) {
    for (const point of points) {
      const radius = this.#radius(input);
      // A stroke whose width changes is laid in short pieces of one width each.
      const pieces = Math.max(1, Math.ceil(2 * Math.abs(radius - this.radius)));
      const from = this.last ?? point;
      const narrow = this.radius;
      let last = from;
      for (let i = 1; i <= pieces; i++) {
        const share = i / pieces;
        const to = { x: from.x + (point.x - from.x) * share, y: from.y + (point.y - from.y) * share };
        const width = narrow + (radius - narrow) * (share - 0.5 / pieces);
        this.board.touch(this.board.sheet.stroke(last, to, width, this.id));
        last = to;
      }
      this.last = last;
      this.radius = radius;
    }
  }

  end() {
    this.board.commit();
  }

  cancel() {
    this.board.revert();
  }

  /** @param {Input} input */
  #radius({ pressure }) {
    const { size, pressure: used } = this.board.settings;
    return (size / 2) * (used && pressure !== null ? Math.max(0.05, pressure) : 1);
  }
}

class Bucket {
  /** @param {Board} board */
  constructor(board) {
    this.board = board;
  }

  /** @type {Tool["start"]} */
  start(point, input) {
    const { sheet, settings } = this.board;
    this.board.touch(sheet.flood(point, this.board.paint(settings.erasing || input.erase)));
    this.board.commit();
  }

  move() {}
  end() {}
  cancel() {}
}

/** Fills what the pointer goes round. */
class Lasso {
  /** @param {Board} board */
  constructor(board) {
    this.board = board;
    /** @type {Point[]} */
    this.points = [];
    this.id = 0;
    this.shift = false;
  }

  /** @type {() => readonly Point[]} */
  outline() {
    return this.points;
  }

  /** @type {() => Rect | null} */
  fill() {
    return this.board.sheet.polygon(this.outline(), this.id);
  }

  /** @type {Tool["start"]} */
  start(point, input) {
    this.points = [point];
    this.id = this.board.paint(this.board.settings.erasing || input.erase);
    this.shift = input.shift;
  }

  /** @type {Tool["move"]} */
  move(points, input) {
    this.points.push(...points);
    this.shift = input.shift;
    this.board.tell("lines");
  }

  end() {
    if (this.points.length > 1) this.board.touch(this.fill());
    this.points = [];
    this.board.commit();
    this.board.tell("lines");
  }

  cancel() {
    this.points = [];
    this.board.tell("lines");
  }

  /** @type {(context: CanvasRenderingContext2D, view: View) => void} */
  draw(context, view) {
    if (this.points.length < 2) return;
    const corners = this.outline().map((point) => view.outside(point));
    context.beginPath();
    corners.forEach(({ x, y }) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = "rgb(128 128 128 / 25%)";
    context.fill();
    twoTone(context);
  }
}

class Rectangle extends Lasso {
  // Edges lie between pixels, where they are nearest to the pointer; with Shift a square.
  rect() {
    const a = this.points[0];
    let b = this.points[this.points.length - 1];
    if (this.shift) {
      const side = Math.max(Math.abs(b.x - a.x), Math.abs(b.y - a.y));
      b = { x: a.x + Math.sign(b.x - a.x) * side, y: a.y + Math.sign(b.y - a.y) * side };
    }
    return rounded(a, b);
  }

  outline() {
    const { x0, y0, x1, y1 } = this.rect();
    return [
      { x: x0, y: y0 },
      { x: x1, y: y0 },
      { x: x1, y: y1 },
      { x: x0, y: y1 },
    ];
  }

  fill() {
    return this.board.sheet.rectangle(this.rect(), this.id);
  }

  get news() {
    if (this.points.length < 2) return "";
    const { x0, y0, x1, y1 } = this.rect();
    return `${x1 - x0} × ${y1 - y0}`;
  }
}
