import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";

import { Lines, twoTone } from "../../assets/canvas/lines.js";
import { noting } from "./helpers.js";

const NOTHING = { left: 0, top: 0, width: 0, height: 0 };

let waiting = [];
globalThis.requestAnimationFrame = (draw) => waiting.push(draw);
globalThis.devicePixelRatio = 2;
after(() => {
  delete globalThis.requestAnimationFrame;
  delete globalThis.devicePixelRatio;
});
beforeEach(() => {
  waiting = [];
});

// A page of 40 x 20 at zoom 2, its corner at (10, 6) of a viewport of 100 x 60.
const setting = ({ cells = false, cell = 8, outline = NOTHING, tool = {}, pointer = null, zoom = 2, size = 6 } = {}) => {
  const noted = noting();
  const canvas = { width: 0, height: 0, getContext: () => noted.context };
  const view = {
    zoom,
    viewport: { clientWidth: 100, clientHeight: 60 },
    inside: ({ x, y }) => ({ x: (x - 10) / zoom, y: (y - 6) / zoom }),
    outside: ({ x, y }) => ({ x: x * zoom + 10, y: y * zoom + 6 }),
  };
  const board = { sheet: { width: 40, height: 20 }, settings: { cells, size }, cellSize: cell, outline };
  const lines = new Lines(canvas, view, board, () => tool, () => pointer);
  lines.wake();
  for (const draw of waiting.splice(0)) draw();
  return { ...noted, canvas, view, lines };
};

test("however often it is woken, it draws once a frame", () => {
  const { lines, called } = setting();
  lines.wake();
  lines.wake();
  assert.equal(waiting.length, 1);
  waiting[0]();
  assert.equal(called("clearRect").length, 2);
  lines.wake();
  assert.equal(waiting.length, 2);
});

test("it is drawn in the screen's own pixels", () => {
  const { canvas, called } = setting();
  assert.deepEqual([canvas.width, canvas.height], [200, 120]);
  assert.deepEqual(called("setTransform"), [[2, 0, 0, 2, 0, 0]]);
  assert.deepEqual(called("clearRect"), [[0, 0, 100, 60]]);
});

test("the grid lies between the cells, inside the page only", () => {
  const { called } = setting({ cells: true });
  // Columns at 8, 16, 24, 32 pixels of the page, rows at 8 and 16; not at its edges.
  const columns = [26.5, 42.5, 58.5, 74.5];
  const rows = [22.5, 38.5];
  assert.deepEqual(called("moveTo"), [...columns.map((x) => [x, 6]), ...rows.map((y) => [10, y])]);
  assert.deepEqual(called("lineTo"), [...columns.map((x) => [x, 46]), ...rows.map((y) => [90, y])]);
});

test("of a page larger than the viewport only the lines in sight are drawn", () => {
  const { called } = setting({ cells: true, zoom: 4 });
  // Columns at 8 and 16 pixels of the page, rows at 8: (100 - 10) / 4 and (60 - 6) / 4 are in sight.
  assert.deepEqual(called("moveTo"), [[42.5, 6], [74.5, 6], [10, 38.5]]);
  assert.deepEqual(called("lineTo"), [[42.5, 60], [74.5, 60], [100, 38.5]]);
});

test("a grid that would only be grey is not drawn, nor one that nobody wants", () => {
  assert.deepEqual(setting({ cells: true, cell: 4, zoom: 1.2 }).called("moveTo"), []);
  assert.notDeepEqual(setting({ cells: true, cell: 4, zoom: 1.25 }).called("moveTo"), []);
  assert.deepEqual(setting({ cells: false }).called("moveTo"), []);
  assert.deepEqual(setting({ cells: true, cell: 0 }).called("moveTo"), []);
});

test("an outline dims what of the page is outside; one beyond the page lightens that", () => {
  const inner = setting({ outline: { left: 5, top: 5, width: 10, height: 10 } });
  assert.deepEqual(inner.called("rect"), [[20, 16, 20, 20], [10, 6, 80, 40], [20, 16, 20, 20]]);
  assert.deepEqual(inner.called("fillStyle"), [["rgb(0 0 0 / 35%)"]]);
  assert.deepEqual(inner.called("fill"), [["evenodd"]]);
  assert.deepEqual(inner.called("setLineDash"), [[[5, 5]], [[5, 5]], [[]]]);
  const whole = { left: 0, top: 0, width: 40, height: 20 };
  assert.deepEqual(setting({ outline: whole }).called("fillStyle"), [["rgb(0 0 0 / 35%)"]]);
  for (const change of [{ left: -1 }, { top: -1 }, { width: 41 }, { height: 21 }])
    assert.deepEqual(setting({ outline: { ...whole, ...change } }).called("fillStyle"), [["rgb(255 255 255 / 30%)"]]);
  assert.deepEqual(setting().called("rect"), []);
});

test("a round tool shows its size at the pointer, at least four pixels wide", () => {
  const at = { x: 30, y: 20 };
  assert.deepEqual(setting({ tool: { round: true }, pointer: at }).called("arc"), [[30, 20, 6, 0, 2 * Math.PI]]);
  const fine = setting({ tool: { round: true }, pointer: at, size: 1 });
  assert.deepEqual(fine.called("arc"), [[30, 20, 2, 0, 2 * Math.PI]]);
  assert.deepEqual(setting({ tool: { round: true } }).called("arc"), []);
  assert.deepEqual(setting({ pointer: at }).called("arc"), []);
});

test("the tool in hand draws what it is about to do", () => {
  let drawn = [];
  const tool = { draw: (...values) => (drawn = values) };
  const { context, view } = setting({ tool });
  assert.deepEqual([drawn[0] === context, drawn[1] === view], [true, true]);
});

test("two tones: a wide dark line under a narrow light one", () => {
  const { context, calls } = noting();
  twoTone(context);
  const [dark, light] = [["rgb(0 0 0 / 55%)", 3], ["#fff", 1]];
  const strokes = ([colour, width]) => [["lineWidth", width], ["strokeStyle", colour], ["stroke"]];
  assert.deepEqual(calls, [...strokes(dark), ...strokes(light)]);
});
