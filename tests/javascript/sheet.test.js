import assert from "node:assert/strict";
import { test } from "node:test";

import { Sheet } from "../../assets/canvas/sheet.js";
import { drawn, painted, random } from "./helpers.js";

const EMPTY = 255;
const sheetOf = (width, height, labels = null) => {
  const sheet = new Sheet(width, height, EMPTY);
  if (labels) sheet.labels = labels;
  return sheet;
};
// The pixels whose centres `inside(x, y)` says.
const expected = (sheet, inside, id) =>
  sheet.labels.map((old, i) => (inside((i % sheet.width) + 0.5, Math.floor(i / sheet.width) + 0.5) ? id : old));
// No pixel outside the rectangle has changed.
const assertWithin = (rect, before, sheet) => {
  sheet.labels.forEach((label, i) => {
    const [x, y] = [i % sheet.width, Math.floor(i / sheet.width)];
    const inside = rect && x >= rect.x0 && x < rect.x1 && y >= rect.y0 && y < rect.y1;
    assert.ok(inside || label === before[i], `${x}, ${y} changed outside of ${JSON.stringify(rect)}`);
  });
};

test("a point is in its pixel, and outside there is none", () => {
  const sheet = sheetOf(3, 2, Uint8Array.from([0, 1, 2, 3, 4, 5]));
  assert.equal(sheet.at({ x: 2.99, y: 1 }), 5);
  assert.equal(sheet.at({ x: 0, y: 0.5 }), 0);
  for (const [x, y] of [[-0.01, 0], [3, 0], [0, 2], [0, -1]]) assert.equal(sheet.at({ x, y }), null);
});

test("a stroke is all pixels within its radius of the line", () => {
  const draw = random(1);
  for (let i = 0; i < 150; i++) {
    const sheet = sheetOf(1 + draw(40), 1 + draw(40));
    const point = () => ({ x: draw(600) / 10 - 10, y: draw(600) / 10 - 10 });
    const [p, q, radius] = [point(), i % 5 ? point() : null, 0.5 + draw(120) / 10];
    const to = q ?? p; // a click
    const before = sheet.labels.slice();
    const near = (x, y) => {
      const [dx, dy] = [to.x - p.x, to.y - p.y];
      const along = Math.min(1, Math.max(0, ((x - p.x) * dx + (y - p.y) * dy) / (dx * dx + dy * dy || 1)));
      return Math.hypot(x - p.x - along * dx, y - p.y - along * dy) - radius;
    };
    const certain = expected(sheet, (x, y) => near(x, y) < -1e-9, 7);
    const possible = expected(sheet, (x, y) => near(x, y) < 1e-9, 7);
    const rect = sheet.stroke(p, to, radius, 7);
    sheet.labels.forEach((label, k) => {
      const finest = sheet.at(to) !== null && k === Math.floor(to.y) * sheet.width + Math.floor(to.x);
      assert.ok(label === certain[k] || label === possible[k] || finest, `pixel ${k}`);
    });
    assertWithin(rect, before, sheet);
  }
});

test("the finest brush marks the pixel under the pointer", () => {
  const sheet = sheetOf(3, 3);
  sheet.stroke({ x: 1.05, y: 1.95 }, { x: 1.05, y: 1.95 }, 0.1, 4);
  assert.deepEqual(drawn(sheet), ["...", ".4.", "..."]);
});

test("a rectangle is filled as far as it is on the sheet", () => {
  const sheet = sheetOf(5, 3);
  assert.deepEqual(sheet.rectangle({ x0: 3, y0: -2, x1: 9, y1: 2 }, 1), { x0: 3, y0: 0, x1: 5, y1: 2 });
  assert.deepEqual(drawn(sheet), ["...11", "...11", "....."]);
  assert.equal(sheet.rectangle({ x0: 5, y0: 0, x1: 9, y1: 2 }, 1), null);
  assert.equal(sheet.rectangle({ x0: 2, y0: 1, x1: 2, y1: 3 }, 1), null);
});

test("a polygon is what its outline goes round, more than once as well", () => {
  const draw = random(2);
  for (let i = 0; i < 150; i++) {
    const sheet = sheetOf(1 + draw(30), 1 + draw(30));
    const points = Array.from({ length: 2 + draw(9) }, () => ({ x: draw(4000) / 100 - 5, y: draw(4000) / 100 - 5 }));
    const before = sheet.labels.slice();
    const winding = (x, y) =>
      points.reduce((sum, a, k) => {
        const b = points[(k + 1) % points.length];
        if (a.y <= y === b.y <= y) return sum;
        const crossing = a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x);
        return crossing <= x ? sum + (a.y < b.y ? 1 : -1) : sum;
      }, 0);
    const inside = expected(sheet, (x, y) => winding(x, y) !== 0, 3);
    const rect = sheet.polygon(points, 3);
    assert.deepEqual(sheet.labels, inside);
    assertWithin(rect, before, sheet);
  }
  assert.equal(sheetOf(4, 4).polygon([], 3), null);
});

test("the bucket fills what hangs together by edges, and nothing else", () => {
  const sheet = sheetOf(5, 4, Uint8Array.from([
    0, 0, 1, 0, 0,
    0, 1, 1, 0, 0,
    0, 0, 0, 1, 0,
    1, 1, 0, 1, 0,
  ])); // prettier-ignore
  assert.deepEqual(sheet.flood({ x: 0.5, y: 0.5 }, 7), { x0: 0, y0: 0, x1: 3, y1: 4 });
  assert.deepEqual(drawn(sheet), ["77100", "71100", "77710", "11710"]);
  assert.equal(sheet.flood({ x: 0, y: 0 }, 7), null, "it is that already");
  assert.equal(sheet.flood({ x: -1, y: 0 }, 7), null, "beside the sheet");
});

test("the bucket finds what a plain search finds", () => {
  const draw = random(3);
  for (let i = 0; i < 80; i++) {
    const [width, height] = [1 + draw(40), 1 + draw(40)];
    const sheet = sheetOf(width, height, Uint8Array.from({ length: width * height }, () => (draw(3) ? 0 : 1)));
    const before = sheet.labels.slice();
    const [x, y] = [draw(width), draw(height)];
    const found = new Set([y * width + x]);
    for (const at of found)
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        const [nx, ny] = [(at % width) + dx, Math.floor(at / width) + dy];
        const next = ny * width + nx;
        const there = nx >= 0 && ny >= 0 && nx < width && ny < height;
        if (there && before[next] === before[y * width + x]) found.add(next);
      }
    const rect = sheet.flood({ x: x + 0.5, y: y + 0.5 }, 9);
    assert.deepEqual(sheet.labels, before.map((label, k) => (found.has(k) ? 9 : label)));
    assertWithin(rect, before, sheet);
  }
});

test("exchanging two ids twice changes nothing", () => {
  const sheet = sheetOf(4, 1, Uint8Array.from([0, 1, 2, 0]));
  sheet.swap(0, 1);
  assert.deepEqual([...sheet.labels], [1, 0, 2, 1]);
  sheet.swap(0, 1);
  assert.deepEqual([...sheet.labels], [0, 1, 2, 0]);
});

test("growing and shrinking go as far as a disc reaches", () => {
  const draw = random(4);
  for (let i = 0; i < 60; i++) {
    const [width, height] = [1 + draw(24), 1 + draw(24)];
    const distance = draw(7);
    const before = painted(draw, width, height, [1, 2, EMPTY]);
    const near = (k, chosen) =>
      before.some((label, other) => {
        const [dx, dy] = [(other % width) - (k % width), Math.floor(other / width) - Math.floor(k / width)];
        return chosen(label) && dx * dx + dy * dy <= distance * distance;
      });
    const grown = sheetOf(width, height, before.slice());
    grown.grow(1, distance);
    assert.deepEqual(grown.labels, before.map((label, k) => (near(k, (one) => one === 1) ? 1 : label)));
    const shrunk = sheetOf(width, height, before.slice());
    shrunk.shrink(1, distance);
    const off = before.map((label, k) => (label === 1 && near(k, (one) => one !== 1) ? EMPTY : label));
    assert.deepEqual(shrunk.labels, off);
  }
});

test("the edge of the picture takes nothing off", () => {
  const sheet = sheetOf(6, 5, new Uint8Array(30).fill(1));
  sheet.shrink(1, 3);
  assert.ok(sheet.labels.every((label) => label === 1));
});
