import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Board } from "../../assets/canvas/board.js";
import { pack } from "../../assets/canvas/value.js";
import { drawn, random } from "./helpers.js";

const CLASSES = ["sky", "tree", "water"].map((name, id) => ({ name, colour: `#00000${id}`, stuff: [] }));
const SIZE = { width: 8, height: 4 };
const BEGINNING = { ...SIZE, palette: CLASSES, cells: 8, maxBoxes: 2, feather: 3 };

// What the screen is told to do, noted.
class Screen {
  cell = 0;
  touched = [];
  show(sheet, bitmap) {
    Object.assign(this, { sheet, bitmap });
  }
  paintWith(entries) {
    this.colours = entries;
  }
  setCell(cell) {
    this.cell = cell;
  }
  touch(rect) {
    this.touched.push(rect);
  }
}

let screen;
let told;
const boardFor = (mode) => {
  screen = new Screen();
  const board = new Board({ mode, ...BEGINNING }, screen, (what) => told.push(what));
  board.reset(BEGINNING);
  told = [];
  return board;
};
beforeEach(() => {
  told = [];
});
const paint = (board, x0, x1, id) => {
  board.touch(board.sheet.rectangle({ x0, y0: 1, x1, y1: 2 }, id));
  board.commit();
};
const row = (board) => drawn(board.sheet)[1];

test("a stroke is content once it is ended, one step of the undo", () => {
  const board = boardFor("classes");
  board.touch(board.sheet.rectangle({ x0: 0, y0: 1, x1: 2, y1: 2 }, 1));
  assert.deepEqual(told, []);
  board.touch(board.sheet.rectangle({ x0: 2, y0: 1, x1: 4, y1: 2 }, 2));
  board.commit();
  assert.deepEqual(told, ["content", "lines"]);
  assert.equal(row(board), "1122....");
  board.undo();
  assert.equal(row(board), "........");
  board.redo();
  assert.equal(row(board), "1122....");
});

test("a stroke that changes nothing is none", () => {
  const board = boardFor("classes");
  paint(board, 0, 2, 1);
  told = [];
  paint(board, 0, 2, 1);
  assert.deepEqual(told, []);
  board.undo();
  assert.equal(row(board), "........");
});

test("a stroke taken back leaves what was, and undo takes it back first", () => {
  const board = boardFor("classes");
  paint(board, 0, 2, 1);
  board.touch(board.sheet.rectangle({ x0: 1, y0: 1, x1: 5, y1: 2 }, 2));
  board.revert();
  assert.equal(row(board), "11......");
  assert.deepEqual(screen.touched.at(-1), { x0: 1, y0: 1, x1: 5, y1: 2 });
  board.touch(board.sheet.rectangle({ x0: 1, y0: 1, x1: 5, y1: 2 }, 2));
  board.undo();
  assert.equal(row(board), "........");
  board.redo();
  assert.equal(row(board), "11......");
});

test("undo and redo lead through the same states, whatever was done", () => {
  const draw = random(1);
  for (let round = 0; round < 30; round++) {
    const board = boardFor("classes");
    const state = () => JSON.stringify([drawn(board.sheet), board.boxes, board.picture?.name ?? null]);
    const states = [state()];
    for (let i = 0; i < 12; i++) {
      const before = states.at(-1);
      const act = draw(6);
      if (act === 0) board.setPicture({ name: i, bitmap: { width: 4 + draw(8), height: 3 + draw(4) } });
      else if (act === 1) board.clear();
      else if (act === 2) board.setLabels(new Uint8Array(20).fill(draw(3)), 5, 4);
      else if (act === 3) board.grow();
      else paint(board, draw(3), 3 + draw(3), draw(3));
      if (state() !== before || act === 0) states.push(state());
    }
    const back = [];
    for (; board.history.canUndo; board.undo()) back.unshift(state());
    back.unshift(state());
    assert.deepEqual(back.filter((one, i) => one !== back[i - 1]), states.filter((one, i) => one !== states[i - 1]));
    while (board.history.canRedo) board.redo();
    assert.equal(state(), states.at(-1));
  }
});

test("a picture of the page's size keeps the drawing, another one begins anew; both can be undone", () => {
  const board = boardFor("mask");
  paint(board, 0, 4, 255);
  const picture = { bitmap: { ...SIZE }, blob: null, upload: null };
  board.setPicture(picture);
  assert.equal(drawn(board.sheet)[1].slice(0, 12), "255255255255");
  assert.equal(screen.bitmap, picture.bitmap);
  board.setPicture({ bitmap: { width: 2, height: 2 }, blob: null, upload: null });
  assert.deepEqual(drawn(board.sheet), ["..", ".."]);
  assert.equal(told.at(-2), "page");
  board.undo();
  assert.equal(board.picture, picture);
  board.undo();
  assert.equal(board.picture, null);
  assert.equal(board.sheet.width, 8);
});

test("a map of another size opens its own page, one of the same size keeps the picture", () => {
  const board = boardFor("classes");
  const picture = { bitmap: { ...SIZE }, blob: null, upload: null };
  board.setPicture(picture);
  board.setLabels(new Uint8Array(32).fill(2), 8, 4);
  assert.equal(board.picture, picture);
  assert.equal(row(board), "22222222");
  board.setLabels(new Uint8Array(6).fill(1), 3, 2);
  assert.equal(board.picture, null);
  assert.deepEqual(drawn(board.sheet), ["111", "111"]);
});

test("another model's classes: what has the same name or meaning stays, the rest is cleared", () => {
  const board = boardFor("classes");
  board.open({ ...SIZE, packed: pack(Uint8Array.from({ length: 32 }, (_, i) => [0, 1, 2, 255][i % 4])) });
  const stuffed = [{ name: "sky", colour: "#000000", stuff: [] }, { name: "tree", colour: "#000000", stuff: [169] }];
  board.setUp({ palette: [...stuffed, { name: "x", colour: "#000000", stuff: [] }] });
  const found = [{ name: "plant", colour: "#111111", stuff: [92, 169] }, { name: "sky", colour: "#111111", stuff: [] }];
  board.setUp({ palette: found });
  assert.equal(row(board), "10..10..");
});

test("the same classes again change nothing, undo included", () => {
  const board = boardFor("classes");
  paint(board, 0, 2, 1);
  board.setUp({ palette: structuredClone(CLASSES), cells: 4 });
  assert.equal(board.cellSize, 4);
  assert.equal(row(board), "11......");
  assert.ok(board.history.canUndo);
});

test("settings stay in their ranges", () => {
  const board = boardFor("classes");
  board.set({ size: 0.2 });
  assert.equal(board.settings.size, 1);
  board.set({ size: 1e6 });
  assert.equal(board.settings.size, 400);
  board.set({ current: 2 });
  board.setUp({ palette: CLASSES.slice(0, 1) });
  assert.equal(board.settings.current, 0);
  board.set({ cells: true });
  assert.equal(screen.cell, 8);
  assert.deepEqual(screen.colours, [[0, "#000000"]]);
});

test("what is painted with: a class, or white of a mask; erasing is nothing", () => {
  const classes = boardFor("classes");
  classes.choose(2);
  assert.deepEqual([classes.paint(false), classes.paint(true), classes.className], [2, 255, "water"]);
  const mask = boardFor("mask");
  assert.deepEqual([mask.paint(false), mask.paint(true)], [255, 0]);
  mask.invert();
  assert.ok(mask.sheet.labels.every((label) => label === 255));
});

test("choosing a class puts the eraser away and no other tool", () => {
  const board = boardFor("classes");
  board.set({ tool: "eraser", erasing: true });
  board.choose(1);
  assert.deepEqual([board.settings.tool, board.settings.erasing], ["brush", false]);
  board.set({ tool: "lasso" });
  board.choose(0);
  assert.equal(board.settings.tool, "lasso");
});

const rect = (x0, y0, x1, y1) => ({ x0, y0, x1, y1 });

test("boxes are added, renamed, moved, deleted, and all of it undone", () => {
  const board = boardFor("boxes");
  board.addBox(rect(0, 0, 4, 2));
  board.commit();
  board.choose(1);
  assert.equal(board.boxes[0].label, "sky", "a class chosen after drawing is for the next box");
  board.select(0);
  assert.equal(board.settings.current, 0, "selecting takes its class up");
  board.choose(2);
  assert.equal(board.boxes[0].label, "water");
  const { id } = board.boxes[0];
  board.nudge(99, 1, false);
  assert.deepEqual(board.boxes[0], { id, label: "water", ...rect(4, 1, 8, 3) });
  board.nudge(-1, 99, true);
  assert.deepEqual(board.boxes[0], { id, label: "water", ...rect(4, 1, 7, 4) });
  board.deleteBox();
  assert.deepEqual([board.boxes.length, board.selected], [0, -1]);
  const labels = [];
  while (board.history.canUndo) {
    board.undo();
    labels.push(board.boxes.map(({ label, x0 }) => `${label}${x0}`).join());
  }
  assert.deepEqual(labels, ["water4", "water4", "water0", "sky0", ""]);
});

test("its parts are the painted classes by name, and boxes by ids that they keep", () => {
  const painted = boardFor("classes");
  painted.sheet.labels[3] = 2;
  assert.deepEqual(painted.parts().map(({ key, name }) => [key, name]), [["water", "water"]]);
  const board = boardFor("boxes");
  board.addBox(rect(0, 0, 4, 2));
  board.addBox(rect(1, 1, 4, 2));
  board.commit();
  const [first, second] = board.parts();
  assert.deepEqual([first.name, second.name, first.key === second.key], ["1 sky", "2 sky", false]);
  board.select(0);
  board.deleteBox();
  assert.deepEqual(board.parts().map(({ key }) => key), [second.key]);
  board.undo();
  assert.deepEqual(board.parts().map(({ key }) => key), [first.key, second.key]);
});

test("a selection that undo leaves without its box is none", () => {
  const board = boardFor("boxes");
  board.addBox(rect(0, 0, 4, 2));
  board.commit();
  assert.equal(board.selected, 0);
  board.undo();
  assert.equal(board.selected, -1);
  board.nudge(1, 1, false);
  board.deleteBox();
  assert.equal(board.history.canRedo, true, "nothing selected: nothing happened");
});

test("a board is full when it has as many boxes as the model takes", () => {
  const board = boardFor("boxes");
  board.addBox(rect(0, 0, 4, 2));
  assert.equal(board.full, false);
  board.addBox(rect(0, 0, 4, 2));
  assert.equal(board.full, true);
});

test("reset is the beginning", () => {
  const board = boardFor("boxes");
  board.set({ size: 9, opacity: 20 });
  board.addBox(rect(0, 0, 4, 2));
  board.reset({ mode: "boxes", ...BEGINNING });
  assert.deepEqual([board.settings.size, board.settings.opacity, board.boxes.length], [40, 80, 0]);
  assert.equal(board.history.canUndo, false);
});
