import assert from "node:assert/strict";
import { after, test } from "node:test";

import { View } from "../../assets/canvas/view.js";
import { random } from "./helpers.js";

let resized;
globalThis.ResizeObserver = class {
  constructor(changed) {
    resized = changed;
  }
  observe() {}
};
globalThis.devicePixelRatio = 1;
after(() => {
  delete globalThis.ResizeObserver;
  delete globalThis.devicePixelRatio;
});

const near = (got, wanted) => {
  assert.ok(Math.abs(got.x - wanted.x) < 1e-6 && Math.abs(got.y - wanted.y) < 1e-6, JSON.stringify([got, wanted]));
};
const viewOf = (clientWidth, clientHeight, width, height) => {
  const viewport = { clientWidth, clientHeight };
  const classes = new Set();
  const toggle = (name, on) => (on ? classes.add(name) : classes.delete(name));
  let moves = 0;
  const view = new View(viewport, { style: {}, classList: { toggle } }, () => moves++);
  if (width) view.show(width, height);
  return { view, viewport, classes, moves: () => moves };
};

test("a page is fitted in the middle, with a margin", () => {
  const { view } = viewOf(1024, 624, 2000, 1000);
  assert.equal(view.zoom, 0.5);
  near(view.outside({ x: 1000, y: 500 }), { x: 512, y: 312 });
  near(view.outside({ x: 0, y: 500 }), { x: 12, y: 312 });
});

test("a page that nearly has its own size gets exactly that; a small one is enlarged", () => {
  assert.equal(viewOf(624, 624, 500, 500).view.zoom, 1);
  assert.equal(viewOf(624, 624, 400, 400).view.zoom, 1.5);
  assert.equal(viewOf(424, 424, 1, 1).view.zoom, 64);
});

test("a hidden page is fitted when it is shown", () => {
  const { view, viewport } = viewOf(0, 0, 300, 300);
  assert.equal(view.zoom, 1);
  Object.assign(viewport, { clientWidth: 174, clientHeight: 174 });
  resized();
  assert.equal(view.zoom, 0.5);
});

test("a page that was zoomed stays so when the window changes", () => {
  const { view, viewport } = viewOf(624, 624, 1200, 1200);
  view.zoomAt(3);
  viewport.clientWidth = 700;
  resized();
  assert.equal(view.zoom, 1.5);
  view.fit();
  viewport.clientHeight = 324;
  resized();
  assert.equal(view.zoom, 0.25);
});

test("inside and outside undo each other, and what is under the point stays there at any zoom", () => {
  const draw = random(1);
  for (let i = 0; i < 200; i++) {
    const { view } = viewOf(500 + draw(900), 400 + draw(600), 10 + draw(2000), 10 + draw(2000));
    const at = { x: 250 + draw(9), y: 200 + draw(9) };
    near(view.outside(view.inside(at)), at);
    const before = view.inside(at);
    const onPage = before.x > 0 && before.y > 0 && before.x < view.width && before.y < view.height;
    view.zoomAt(0.5 + draw(100) / 40, at);
    if (onPage) near(view.inside(at), before);
  }
});

test("the zoom has its limits", () => {
  const { view } = viewOf(1024, 624, 2000, 1000);
  view.zoomAt(1e9);
  assert.equal(view.zoom, 64);
  view.zoomAt(1e-9);
  assert.equal(view.zoom, 0.25);
  view.zoomTo(1);
  assert.equal(view.zoom, 1);
});

test("however it is moved, a part of the page stays in sight", () => {
  const { view, moves } = viewOf(1024, 624, 2000, 1000);
  view.pan(30, -20);
  near(view.outside({ x: 0, y: 0 }), { x: 42, y: 42 });
  for (const [dx, dy] of [[1e6, 0], [-1e6, 0], [0, 1e6], [0, -1e6]]) {
    const told = moves();
    view.pan(dx, dy);
    assert.equal(moves(), told + 1);
    const [from, to] = [view.outside({ x: 0, y: 0 }), view.outside({ x: 2000, y: 1000 })];
    assert.ok(from.x <= 976 && from.y <= 576 && to.x >= 48 && to.y >= 48, JSON.stringify([from, to]));
  }
});

test("what is around the page is fitted as well, until somebody zooms", () => {
  const { view } = viewOf(1024, 1024, 500, 500);
  view.surround({ left: -250, top: 0, width: 1000, height: 500 });
  assert.equal(view.zoom, 1);
  view.surround({ left: -750, top: -250, width: 2000, height: 1000 });
  assert.equal(view.zoom, 0.5);
  near(view.outside({ x: 250, y: 250 }), { x: 512, y: 512 });
  view.zoomAt(2);
  view.surround({ left: 0, top: 0, width: 0, height: 0 });
  assert.equal(view.zoom, 1);
});

test("single pixels are shown sharp from twice their size on", () => {
  const { view, classes } = viewOf(1024, 624, 2000, 1000);
  view.zoomTo(1.9);
  assert.ok(!classes.has("near"));
  view.fit();
  view.zoomTo(2);
  assert.ok(classes.has("near"));
});
