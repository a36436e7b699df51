// Boxes with class names: drawn on free ground, selected by a click; the selected one is moved by its inside
// and resized by its handles.  A press on any other box that becomes a drag draws a new box, so that boxes
// can lie inside boxes.

import { moveBox, rounded } from "./geometry.js";

/** @import { Board } from "./board.js" */
/** @import { Point } from "./geometry.js" */
/** @import { Tool } from "./tools.js" */
/** @import { Box } from "./value.js" */
/** @import { View } from "./view.js" */
/** @typedef {{ part: string, from: Point, box: Box }} Moving  an old box, or its edges */
/** @typedef {{ part: null, from: Point, to: Point, zoom: number, far: boolean }} Drawing  a new box */

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const REACH = { mouse: 9, pen: 9, touch: 18 }; // CSS pixels around a handle in which it is taken
const STILL = 3; // CSS pixels within which a press stays a click

export class BoxTool {
  /**
   * @param {Board} board
   * @param {(text: string) => void} note  tells the person something
   */
  constructor(board, note) {
    this.board = board;
    this.note = note;
    /** @type {Moving | Drawing | null} */
    this.drag = null;
  }

  /** @type {Tool["start"]} */
  start(point, { pointer }, zoom) {
    const { board } = this;
    const part = this.partAt(point, zoom, REACH[pointer]);
    const box = board.boxes[board.selected];
    this.drag = part ? { part, from: point, box } : { part: null, from: point, to: point, zoom, far: false };
  }

  /** @type {Tool["move"]} */
  move(points, { shift }) {
    const { board, drag } = this;
    const to = points.at(-1);
    if (!drag || !to) return;
    if (drag.part !== null) {
      const [dx, dy] = [to.x - drag.from.x, to.y - drag.from.y];
      const along = shift && drag.part === "move"; // along one axis only
      const wide = Math.abs(dx) > Math.abs(dy);
      const moved = moveBox(
        drag.box, along && !wide ? 0 : dx, along && wide ? 0 : dy, board.sheet, drag.part
      );
      board.replaceBox(board.selected, moved);
    } else {
      drag.to = to;
      drag.far ||= Math.hypot(to.x - drag.from.x, to.y - drag.from.y) * drag.zoom > STILL;
      board.tell("lines");
    }
  }

  end() {
    const { board, drag } = this;
    this.drag = null;
    if (!drag) return;
    if (drag.part === null && drag.far) this.#add(drag);
    else if (drag.part === null) board.select(this.boxAt(drag.from));
    board.commit();
    board.tell("lines");
  }

  cancel() {
    this.drag = null;
    this.board.revert();
  }

  /** @param {Drawing} drag */
  #add({ from, to }) {
    const { board } = this;
    const { x0, y0, x1, y1 } = rounded(from, to);
    const rect = board.sheet.clip(x0, y0, x1, y1);
    if (!rect) return;
    if (board.full) this.note(`This model takes up to ${board.maxBoxes} boxes: delete one first.`);
    else if (!board.className) this.note("Choose a class for the box first.");
    else board.addBox(rect);
  }

  /**
   * The smallest box around the point, as one would click it; -1 where there is none.
   * @param {Point} point
   */
  boxAt({ x, y }) {
    const area = (/** @type {Box} */ box) => (box.x1 - box.x0) * (box.y1 - box.y0);
    const { boxes } = this.board;
    return boxes.reduce((found, box, index) => {
      if (x < box.x0 || x >= box.x1 || y < box.y0 || y >= box.y1) return found;
      return found < 0 || area(box) <= area(boxes[found]) ? index : found;
    }, -1);
  }

  /**
   * The part of the selected box under the point: a handle, "move" or null.
   * @param {Point} point
   * @param {number} zoom
   * @param {number} taken  CSS pixels around a handle
   */
  partAt(point, zoom, taken = REACH.mouse) {
    const box = this.board.boxes[this.board.selected];
    if (!box) return null;
    const reach = taken / zoom;
    const handle = HANDLES.find((name) => {
      const at = handleOf(box, name);
      return Math.abs(at.x - point.x) <= reach && Math.abs(at.y - point.y) <= reach;
    });
    if (handle) return handle;
    const inside = point.x >= box.x0 && point.x < box.x1 && point.y >= box.y0 && point.y < box.y1;
    return inside ? "move" : null;
  }

  /** @type {(point: Point, zoom: number) => string} */
  cursorAt(point, zoom) {
    const part = this.partAt(point, zoom);
    return part && part !== "move" ? `${part}-resize` : (part ?? "crosshair");
  }

  get news() {
    const { board, drag } = this;
    if (!drag || (drag.part === null && !drag.far)) return "";
    const box = drag.part === null ? rounded(drag.from, drag.to) : board.boxes[board.selected];
    return box ? `${box.x1 - box.x0} × ${box.y1 - box.y0}` : "";
  }

  /** @type {(context: CanvasRenderingContext2D, view: View) => void} */
  draw(context, view) {
    const { board, drag } = this;
    context.font = "600 12px system-ui, sans-serif";
    context.textBaseline = "middle";
    board.boxes.forEach((box, index) => drawBox(context, view, box, board, index === board.selected));
    if (drag?.part === null && drag.far)
      drawBox(context, view, { id: "", label: board.className, ...rounded(drag.from, drag.to) }, board, true);
    const box = board.boxes[board.selected];
    if (!box || drag) return;
    for (const name of HANDLES) {
      const { x, y } = view.outside(handleOf(box, name));
      context.beginPath();
      context.rect(x - 4, y - 4, 8, 8);
      context.fillStyle = "#fff";
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = "#111";
      context.stroke();
    }
  }
}

/** @type {(box: Box, name: string) => Point} */
const handleOf = (box, name) => ({
  x: name.includes("w") ? box.x0 : name.includes("e") ? box.x1 : (box.x0 + box.x1) / 2,
  y: name.includes("n") ? box.y0 : name.includes("s") ? box.y1 : (box.y0 + box.y1) / 2,
});

/** @type {(context: CanvasRenderingContext2D, view: View, box: Box, board: Board, selected: boolean) => void} */
const drawBox = (context, view, box, board, selected) => {
  const a = view.outside({ x: box.x0, y: box.y0 });
  const b = view.outside({ x: box.x1, y: box.y1 });
  const colour = board.colourOf(box.label);
  context.globalAlpha = (board.settings.opacity / 100) * (selected ? 0.4 : 0.28);
  context.fillStyle = colour;
  context.fillRect(a.x, a.y, b.x - a.x, b.y - a.y);
  context.globalAlpha = 1;
  const narrow = selected ? 3 : 2;
  for (const edge of [{ width: narrow + 2, style: "rgb(0 0 0 / 55%)" }, { width: narrow, style: colour }]) {
    context.lineWidth = edge.width;
    context.strokeStyle = edge.style;
    context.strokeRect(a.x, a.y, b.x - a.x, b.y - a.y);
  }
  const words = context.measureText(box.label).width + 12;
  const top = a.y >= 22 ? a.y - 20 : a.y + 2; // above the box where there is room
  context.fillStyle = "rgb(20 20 20 / 85%)";
  context.fillRect(a.x - 1, top, words, 18);
  context.fillStyle = "#fff";
  context.fillText(box.label, a.x + 5, top + 9.5);
};
