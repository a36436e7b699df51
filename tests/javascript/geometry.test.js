import assert from "node:assert/strict";
import { test } from "node:test";

import { moveBox, rounded, unite } from "../../assets/canvas/geometry.js";
import { random } from "./helpers.js";

const rect = (x0, y0, x1, y1) => ({ x0, y0, x1, y1 });
const sheet = { width: 100, height: 50 };

test("the union of two rectangles is the smallest around both; null is nothing", () => {
  assert.deepEqual(unite(rect(1, 2, 3, 4), rect(2, 0, 9, 3)), rect(1, 0, 9, 4));
  const one = rect(1, 2, 3, 4);
  assert.deepEqual(unite(one, null), one);
  assert.deepEqual(unite(null, one), one);
  assert.equal(unite(null, null), null);
});

test("a union is the same either way round, and of a thing with itself that thing", () => {
  const draw = random(1);
  const some = () => rect(draw(50), draw(50), 50 + draw(50), 50 + draw(50));
  for (let i = 0; i < 100; i++) {
    const [a, b, c] = [some(), some(), some()];
    assert.deepEqual(unite(a, b), unite(b, a));
    assert.deepEqual(unite(a, a), a);
    assert.deepEqual(unite(unite(a, b), c), unite(a, unite(b, c)));
  }
});

test("a rectangle between two points has whole edges, whichever corner comes first", () => {
  const expected = rect(1, 3, 11, 20);
  assert.deepEqual(rounded({ x: 1.4, y: 2.6 }, { x: 10.5, y: 20.4 }), expected);
  assert.deepEqual(rounded({ x: 10.5, y: 2.6 }, { x: 1.4, y: 20.4 }), expected);
});

test("a moved box keeps its size and stays on the sheet", () => {
  const box = { label: "a", ...rect(10, 10, 30, 20) };
  assert.deepEqual(moveBox(box, 5.4, -3.6, sheet, "move"), { label: "a", ...rect(15, 6, 35, 16) });
  assert.deepEqual(moveBox(box, 1000, 1000, sheet, "move"), { label: "a", ...rect(80, 40, 100, 50) });
  assert.deepEqual(moveBox(box, -1000, -1000, sheet, "move"), { label: "a", ...rect(0, 0, 20, 10) });
  assert.deepEqual(box, { label: "a", ...rect(10, 10, 30, 20) }, "the old box is not changed");
});

test("each handle moves its own edges only", () => {
  const box = rect(10, 10, 30, 20);
  const expected = {
    w: rect(12, 10, 30, 20), e: rect(10, 10, 32, 20), n: rect(10, 13, 30, 20), s: rect(10, 10, 30, 23),
    nw: rect(12, 13, 30, 20), ne: rect(10, 13, 32, 20), sw: rect(12, 10, 30, 23), se: rect(10, 10, 32, 23),
  };
  for (const [part, moved] of Object.entries(expected)) assert.deepEqual(moveBox(box, 2, 3, sheet, part), moved, part);
});

test("an edge goes to the sheet's own and no further, or next to the opposite one", () => {
  const box = rect(10, 10, 30, 20);
  const far = 1000;
  assert.deepEqual(moveBox(box, -far, -far, sheet, "nw"), rect(0, 0, 30, 20));
  assert.deepEqual(moveBox(box, far, far, sheet, "nw"), rect(29, 19, 30, 20));
  assert.deepEqual(moveBox(box, far, far, sheet, "se"), rect(10, 10, 100, 50));
  assert.deepEqual(moveBox(box, -far, -far, sheet, "se"), rect(10, 10, 11, 11));
});

test("no move makes a box empty or takes it off the sheet", () => {
  const draw = random(2);
  const parts = ["move", "n", "s", "e", "w", "ne", "nw", "se", "sw"];
  for (let i = 0; i < 500; i++) {
    const [x0, y0] = [draw(sheet.width), draw(sheet.height)];
    const box = rect(x0, y0, x0 + 1 + draw(sheet.width - x0), y0 + 1 + draw(sheet.height - y0));
    const moved = moveBox(box, draw(400) - 200, draw(400) - 200, sheet, parts[draw(parts.length)]);
    assert.ok(0 <= moved.x0 && moved.x0 < moved.x1 && moved.x1 <= sheet.width, JSON.stringify([box, moved]));
    assert.ok(0 <= moved.y0 && moved.y0 < moved.y1 && moved.y1 <= sheet.height, JSON.stringify([box, moved]));
  }
});
