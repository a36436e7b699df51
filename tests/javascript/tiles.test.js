import assert from "node:assert/strict";
import { test } from "node:test";

import { placesIn, SIDE } from "../../assets/canvas/tiles.js";

const FULL = { width: 8000, height: 6000 };
const seen = (x0, y0, x1, y1) => ({ x0, y0, x1, y1 });
const text = (places) => places.map(({ level, column, row }) => `${level}:${column},${row}`).join(" ");

test("one pixel a pixel is level 0; each level further out is half as large", () => {
  assert.equal(text(placesIn(FULL, seen(0, 0, SIDE, SIDE), 1)), "0:0,0");
  assert.equal(text(placesIn(FULL, seen(0, 0, SIDE, SIDE), 7)), "0:0,0", "there is nothing finer");
  for (const [scale, level] of [[0.99, 0], [0.51, 0], [0.5, 1], [0.3, 1], [0.25, 2]])
    assert.equal(placesIn(FULL, seen(0, 0, 9, 9), scale)[0].level, level, `${scale}`);
});

test("every tile that is seen, and none beyond the picture", () => {
  assert.equal(text(placesIn(FULL, seen(SIDE - 1, 10, SIDE + 1, 20), 1)), "0:0,0 0:1,0");
  assert.equal(text(placesIn(FULL, seen(-900, -900, 1, 1), 1)), "0:0,0");
  const corner = placesIn(FULL, seen(7990, 5990, 9999, 9999), 1);
  assert.equal(text(corner), `0:${Math.floor(7999 / SIDE)},${Math.floor(5999 / SIDE)}`);
  assert.deepEqual(placesIn(FULL, seen(-90, -90, -10, -10), 1), []);
  assert.equal(placesIn(FULL, seen(0, 0, 8000, 6000), 0.25).length, 4 * 3);
});
