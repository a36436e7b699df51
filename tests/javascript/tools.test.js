import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Board } from "../../assets/canvas/board.js";
import { makeTools } from "../../assets/canvas/tools.js";
import { noting } from "./helpers.js";

const SCREEN = { show() {}, paintWith() {}, setCell() {}, touch() {} };
const PALETTE = ["sky", "tree"].map((name) => ({ name, colour: "#101010", stuff: [] }));
const MOUSE = { pointer: "mouse", erase: false, shift: false, pressure: null };

let notes;
const boardFor = (mode, changes = {}) => {
  const given = { mode, width: 100, height: 50, palette: PALETTE, cells: 8, maxBoxes: 3, feather: 0, ...changes };
  const board = new Board(given, SCREEN, () => {});
  return { board, tools: makeTools(board, (text) => notes.push(text)) };
};
beforeEach(() => {
  notes = [];
});
const drag = (tool, from, to, input = MOUSE, zoom = 1) => {
  const [start, ...rest] = [from, to].map(([x, y]) => ({ x, y }));
  tool.start(start, input, zoom);
  tool.move(rest, input);
  tool.end();
};
const corners = (board) => board.boxes.map(({ x0, y0, x1, y1 }) => [x0, y0, x1, y1]);

test("a drag draws a box of the chosen class, cut at the sheet's edge, and selects it", () => {
  const { board, tools } = boardFor("boxes");
  board.choose(1);
  drag(tools.box, [20.4, 30], [-5, 10.6]);
  assert.deepEqual(board.boxes, [{ id: board.boxes[0].id, label: "tree", x0: 0, y0: 11, x1: 20, y1: 30 }]);
  assert.equal(board.selected, 0);
});

test("a press that moves less than four pixels of the screen is a click", () => {
  const { board, tools } = boardFor("boxes");
  drag(tools.box, [10, 10], [12.9, 10]);
  assert.deepEqual(board.boxes, []);
  drag(tools.box, [10, 10], [12, 12], MOUSE, 4);
  assert.deepEqual(corners(board), [[10, 10, 12, 12]]);
});

test("a click takes the smallest box around it, beside all of them none", () => {
  const { board, tools } = boardFor("boxes");
  drag(tools.box, [0, 0], [90, 45]);
  board.select(-1);
  drag(tools.box, [20, 10], [50, 30]);
  board.select(-1);
  const click = (x, y) => drag(tools.box, [x, y], [x, y]);
  click(25, 15);
  assert.equal(board.selected, 1);
  board.select(-1);
  click(5, 5);
  assert.equal(board.selected, 0);
  board.select(-1);
  click(95, 48);
  assert.equal(board.selected, -1);
});

test("the selected box is moved by its inside, along one axis with Shift", () => {
  const { board, tools } = boardFor("boxes");
  drag(tools.box, [20, 10], [50, 30]);
  board.commit();
  drag(tools.box, [35, 20], [40, 22]);
  assert.deepEqual(corners(board), [[25, 12, 55, 32]]);
  drag(tools.box, [40, 22], [50, 25], { ...MOUSE, shift: true });
  assert.deepEqual(corners(board), [[35, 12, 65, 32]]);
});

test("a handle moves its edges; it reaches further at a smaller zoom and for a finger", () => {
  const { board, tools } = boardFor("boxes");
  drag(tools.box, [20, 10], [60, 40]);
  drag(tools.box, [60, 40], [70, 45]);
  assert.deepEqual(corners(board), [[20, 10, 70, 45]]);
  const { box } = tools;
  assert.equal(box.partAt({ x: 79, y: 45 }, 1), "se");
  assert.equal(box.partAt({ x: 79.1, y: 45 }, 1), null);
  assert.equal(box.partAt({ x: 79.1, y: 48 }, 0.5), "se");
  assert.equal(box.partAt({ x: 79.1, y: 48 }, 1, 18), "se");
  assert.equal(box.partAt({ x: 45, y: 10 }, 1), "n");
  assert.equal(box.partAt({ x: 45, y: 27 }, 1), "move");
  assert.deepEqual([box.cursorAt({ x: 20, y: 10 }, 1), box.cursorAt({ x: 45, y: 27 }, 1)], ["nw-resize", "move"]);
  assert.equal(box.cursorAt({ x: 95, y: 5 }, 1), "crosshair");
});

test("a move that is taken back leaves the box where it was", () => {
  const { board, tools } = boardFor("boxes");
  drag(tools.box, [20, 10], [50, 30]);
  tools.box.start({ x: 35, y: 20 }, MOUSE, 1);
  tools.box.move([{ x: 60, y: 20 }], MOUSE);
  tools.box.cancel();
  assert.deepEqual(corners(board), [[20, 10, 50, 30]]);
});

test("why a box cannot be drawn is said", () => {
  const full = boardFor("boxes", { maxBoxes: 0 });
  drag(full.tools.box, [20, 10], [50, 30]);
  const nameless = boardFor("boxes", { palette: [] });
  drag(nameless.tools.box, [20, 10], [50, 30]);
  assert.deepEqual([full.board.boxes, nameless.board.boxes], [[], []]);
  assert.deepEqual(notes, [
    "This model takes up to 0 boxes: delete one first.",
    "Choose a class for the box first.",
  ]);
});

test("a drag tells the size of what it draws or moves", () => {
  const { tools } = boardFor("boxes");
  assert.equal(tools.box.news, "");
  tools.box.start({ x: 10, y: 10 }, MOUSE, 1);
  tools.box.move([{ x: 11, y: 11 }], MOUSE);
  assert.equal(tools.box.news, "");
  tools.box.move([{ x: 40, y: 25 }], MOUSE);
  assert.equal(tools.box.news, "30 × 15");
  tools.box.end();
  tools.box.start({ x: 25, y: 17 }, MOUSE, 1);
  assert.equal(tools.box.news, "30 × 15");
});

test("all boxes are drawn with their names, the selected one with eight handles", () => {
  const { board, tools } = boardFor("boxes");
  drag(tools.box, [0, 0], [40, 20]);
  drag(tools.box, [60, 5], [90, 45]);
  const view = { outside: (point) => point };
  const { context, called } = noting();
  tools.box.draw(context, view);
  assert.deepEqual(called("fillText").map(([name]) => name), ["sky", "sky"]);
  assert.equal(called("rect").length, 8);
  assert.deepEqual(called("rect")[0], [56, 1, 8, 8]);
  board.select(-1);
  const without = noting();
  tools.box.draw(without.context, view);
  assert.equal(without.called("rect").length, 0);
});

// The painting tools ---------------------------------------------------------------------------------------

const count = (board, id) => board.sheet.labels.filter((label) => label === id).length;

test("the brush paints the chosen class, the eraser and the right button take it away", () => {
  const { board, tools } = boardFor("classes");
  board.choose(1);
  board.set({ size: 10 });
  drag(tools.brush, [10, 25], [90, 25]);
  assert.equal(board.sheet.at({ x: 50, y: 29 }), 1);
  assert.equal(board.sheet.at({ x: 50, y: 31 }), 255);
  drag(tools.brush, [50, 25], [50, 25], { ...MOUSE, erase: true });
  assert.equal(board.sheet.at({ x: 50, y: 25 }), 255);
  drag(tools.eraser, [10, 25], [90, 25]);
  assert.equal(count(board, 1), 0);
});

test("with Shift a stroke begins where the last one ended", () => {
  const { board, tools } = boardFor("classes");
  board.set({ size: 2 });
  drag(tools.brush, [10, 10], [10, 10]);
  drag(tools.brush, [90, 10], [90, 10], { ...MOUSE, shift: true });
  assert.equal(board.sheet.at({ x: 50, y: 10 }), 0);
});

test("a pen's pressure sets the width only where that is wanted", () => {
  const widthOf = (wanted, pressure) => {
    const { board, tools } = boardFor("classes");
    board.set({ size: 20, pressure: wanted });
    drag(tools.brush, [10, 25], [90, 25], { ...MOUSE, pointer: "pen", pressure });
    return board.sheet.labels.filter((label, i) => i % 100 === 50 && label === 0).length;
  };
  assert.deepEqual([widthOf(false, 0.5), widthOf(true, 0.5), widthOf(true, 1), widthOf(true, null)], [20, 10, 20, 20]);
});

test("a stroke that widens has no steps", () => {
  const { board, tools } = boardFor("classes");
  board.set({ size: 40, pressure: true });
  const pen = (pressure) => ({ ...MOUSE, pointer: "pen", pressure });
  tools.brush.start({ x: 5, y: 25 }, pen(0.1), 1);
  tools.brush.move([{ x: 95, y: 25 }], pen(1));
  tools.brush.end();
  const heights = Array.from({ length: 60 }, (_, i) =>
    board.sheet.labels.filter((label, k) => k % 100 === 20 + i && label === 0).length
  );
  heights.slice(1).forEach((height, i) => assert.ok(height >= heights[i] && height - heights[i] <= 2, `${heights}`));
  assert.ok(heights[59] > heights[0] + 10);
});

test("a rectangle is filled between the pixels nearest to the pointer; with Shift it is a square", () => {
  const { board, tools } = boardFor("classes");
  drag(tools.rectangle, [10.4, 10.6], [20.4, 15.4]);
  assert.equal(count(board, 0), 10 * 4);
  board.clear();
  drag(tools.rectangle, [30, 30], [10, 25], { ...MOUSE, shift: true });
  assert.equal(count(board, 0), 20 * 20);
  assert.equal(board.sheet.at({ x: 11, y: 11 }), 0);
});

test("bucket, rectangle and lasso take away when told so", () => {
  const { board, tools } = boardFor("classes");
  tools.bucket.start({ x: 1, y: 1 }, MOUSE, 1);
  assert.equal(count(board, 0), 5000);
  board.set({ erasing: true });
  drag(tools.rectangle, [0, 0], [10, 10]);
  assert.equal(count(board, 0), 4900);
  tools.lasso.start({ x: 50, y: 10 }, MOUSE, 1);
  tools.lasso.move([{ x: 60, y: 10 }, { x: 60, y: 20 }, { x: 50, y: 20 }], MOUSE);
  tools.lasso.end();
  assert.equal(count(board, 0), 4800);
  board.undo();
  assert.equal(count(board, 0), 4900);
});

test("a lasso that is taken back fills nothing", () => {
  const { board, tools } = boardFor("classes");
  tools.lasso.start({ x: 5, y: 5 }, MOUSE, 1);
  tools.lasso.move([{ x: 60, y: 10 }, { x: 60, y: 20 }], MOUSE);
  tools.lasso.cancel();
  tools.lasso.end();
  assert.equal(count(board, 0), 0);
  assert.equal(board.history.canUndo, false);
});
