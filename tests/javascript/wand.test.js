import assert from "node:assert/strict";
import { test } from "node:test";

import { Board } from "../../assets/canvas/board.js";
import { makeTools } from "../../assets/canvas/tools.js";
import { alike, connected } from "../../assets/canvas/wand.js";
import { random } from "./helpers.js";

// A picture of grey values, written as rows of digits 0 to 9.
const picture = (...rows) => {
  const values = rows.join("").split("").map(Number);
  return Uint8ClampedArray.from(values.flatMap((value) => [value * 10, value * 10, value * 10, 255]));
};
const rows = (map, width) =>
  Array.from({ length: map.length / width }, (_, y) => [...map.subarray(y * width, (y + 1) * width)].join(""));

test("what differs by no more than the tolerance in any channel is alike", () => {
  const colours = picture("0123", "0009");
  assert.deepEqual(rows(alike(colours, 0, 10), 4), ["1100", "1110"]);
  colours[4 + 2] = 200; // blue of the second pixel
  assert.deepEqual(rows(alike(colours, 0, 10), 4), ["1000", "1110"]);
  colours[3] = 0; // the first is transparent
  assert.deepEqual(rows(alike(colours, 0, 10), 4), ["1000", "0000"]);
});

test("only what hangs together counts", () => {
  const map = Uint8Array.from({ length: 100 * 100 }, (_, i) => (i % 100 < 40 || i % 100 > 60 ? 1 : 0));
  const region = connected(map, 100, 0);
  assert.equal(region.reduce((a, b) => a + b), 40 * 100);
});

test("a flood agrees with a plain one on random maps", () => {
  const draw = random(3);
  for (let round = 0; round < 20; round++) {
    const [width, height] = [31, 40];
    const map = Uint8Array.from({ length: width * height }, () => (draw(10) < 6 ? 1 : 0));
    map[0] = 1;
    const plain = new Uint8Array(map.length);
    const waiting = [0];
    while (waiting.length) {
      const at = waiting.pop();
      if (at < 0 || at >= map.length || plain[at] || !map[at]) continue;
      plain[at] = 1;
      waiting.push(at - width, at + width);
      if (at % width > 0) waiting.push(at - 1);
      if (at % width < width - 1) waiting.push(at + 1);
    }
    const region = connected(map, width, 0);
    // All of it, and beside it only holes: what the edge reaches without it is not there.
    plain.forEach((value, i) => value && assert.equal(region[i], 1));
    const outside = new Uint8Array(map.length);
    const border = Array.from(map.keys()).filter((i) => i % width === 0 || i % width === width - 1 || i < width || i >= map.length - width);
    while (border.length) {
      const at = border.pop();
      if (at < 0 || at >= map.length || outside[at] || plain[at]) continue;
      outside[at] = 1;
      border.push(at - width, at + width);
      if (at % width > 0) border.push(at - 1);
      if (at % width < width - 1) border.push(at + 1);
    }
    outside.forEach((value, i) => value && assert.equal(region[i], 0));
  }
});

test("specks inside belong to the region, larger holes do not", () => {
  const map = new Uint8Array(60 * 60).fill(1);
  for (const pixel of [5 * 60 + 5, 5 * 60 + 6]) map[pixel] = 0;
  for (let y = 20; y < 30; y++) map.fill(0, y * 60 + 20, y * 60 + 30);
  const region = connected(map, 60, 0);
  assert.equal(region[5 * 60 + 5], 1);
  assert.equal(region.reduce((a, b) => a + b), 3600 - 100);
});

const boardWith = (colours, width, height) => {
  const screen = { show() {}, paintWith() {}, setCell() {}, touch() {}, pictureColours: () => colours };
  const given = { mode: "mask", width, height, palette: [], cells: 8, maxBoxes: 0, feather: 0 };
  const notes = [];
  const board = new Board(given, screen, () => {});
  return { board, wand: makeTools(board, (text) => notes.push(text)).wand, notes };
};
const MOUSE = { pointer: "mouse", erase: false, shift: false, pressure: null };
const full = { bitmap: { width: 6, height: 1 }, full: { width: 6, height: 1 }, blob: null, upload: null };

test("a click paints what is alike; dragging takes in more or less; it is one step of the undo", () => {
  const { board, wand } = boardWith(picture("013690"), 6, 1);
  board.setPicture(full);
  board.history.forget();
  const painted = () => [...board.sheet.labels].map((id) => (id ? 1 : 0)).join("");
  wand.start({ x: 0.5, y: 0.5 }, MOUSE, 10);
  assert.equal(painted(), "110000"); // 24 at first
  wand.move([{ x: 2.5, y: 0.5 }], MOUSE); // 20 pixels of the screen: 10 more
  assert.equal(painted(), "111000");
  assert.equal(wand.news, "Tolerance 34");
  wand.move([{ x: -4.3, y: 0.5 }], MOUSE);
  assert.equal(painted(), "100000");
  wand.end();
  assert.equal(wand.news, "");
  board.undo();
  assert.equal(painted(), "000000");
  wand.start({ x: 0.5, y: 0.5 }, { ...MOUSE, shift: true }, 1);
  wand.end();
  assert.equal(painted(), "100001"); // anywhere
  wand.start({ x: 5.5, y: 0.5 }, { ...MOUSE, erase: true }, 1);
  wand.end();
  assert.equal(painted(), "100000");
});

test("without a picture it says what it needs", () => {
  const { board, wand, notes } = boardWith(picture("000"), 3, 1);
  wand.start({ x: 0.5, y: 0.5 }, MOUSE, 1);
  wand.move([{ x: 2, y: 0 }], MOUSE);
  wand.end();
  assert.deepEqual(notes, ["The wand selects by the colours of a picture: open one first."]);
  assert.equal(board.history.canUndo, false);
});
