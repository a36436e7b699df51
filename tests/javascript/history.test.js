import assert from "node:assert/strict";
import { test } from "node:test";

import { changedTiles, History, readTile, sizeOf, withIds, writeTile } from "../../assets/canvas/history.js";
import { unpack } from "../../assets/canvas/value.js";
import { painted, random } from "./helpers.js";

// A document that is one number: a step holds the number of before.
const numbered = () => {
  const history = new History();
  let now = 0;
  const exchange = (step) => {
    const back = { was: now, size: step.size };
    now = step.was;
    return back;
  };
  return {
    history,
    get now() {
      return now;
    },
    put(value, size = 1) {
      history.push({ was: now, size });
      now = value;
    },
    undo: () => history.undo(exchange),
    redo: () => history.redo(exchange),
  };
};

test("undo goes back step by step, redo ahead again", () => {
  const text = numbered();
  assert.deepEqual([text.history.canUndo, text.history.canRedo], [false, false]);
  for (const value of [1, 2, 3]) text.put(value);
  text.undo();
  text.undo();
  assert.equal(text.now, 1);
  assert.deepEqual([text.history.canUndo, text.history.canRedo], [true, true]);
  text.redo();
  assert.equal(text.now, 2);
  text.redo();
  text.redo();
  assert.equal(text.now, 3, "beyond the end nothing happens");
  for (let i = 0; i < 9; i++) text.undo();
  assert.equal(text.now, 0, "nor beyond the beginning");
});

test("after a new step there is nothing to redo", () => {
  const text = numbered();
  text.put(1, 10);
  text.put(2, 20);
  text.undo();
  text.put(5, 3);
  assert.equal(text.history.canRedo, false);
  assert.equal(text.history.size, 13, "and what could be redone costs no memory");
  text.undo();
  assert.equal(text.now, 1);
});

test("a hundred steps are kept", () => {
  const text = numbered();
  for (let value = 1; value <= 105; value++) text.put(value);
  while (text.history.canUndo) text.undo();
  assert.equal(text.now, 5);
});

test("256 MB of steps are kept, and the newest whatever it costs", () => {
  const text = numbered();
  const half = 128 * 2 ** 20;
  for (const value of [1, 2]) text.put(value, half);
  assert.equal(text.history.past.length, 2);
  text.put(3, 1);
  assert.equal(text.history.past.length, 2);
  assert.equal(text.history.size, half + 1);
  text.put(4, 9 * half);
  assert.equal(text.history.past.length, 1);
  text.undo();
  assert.equal(text.now, 3);
});

test("what is forgotten is gone", () => {
  const text = numbered();
  text.put(1, 7);
  text.put(2, 7);
  text.undo();
  text.history.forget();
  assert.deepEqual([text.history.canUndo, text.history.canRedo, text.history.size], [false, false, 0]);
});

test("the changed tiles, written back, give the map of before", () => {
  const draw = random(1);
  for (let i = 0; i < 60; i++) {
    const [width, height] = [1 + draw(200), 1 + draw(200)];
    const before = painted(draw, width, height);
    const labels = before.slice();
    const [x0, y0] = [draw(width), draw(height)];
    const rect = { x0, y0, x1: x0 + 1 + draw(width - x0), y1: y0 + 1 + draw(height - y0) };
    for (let n = 0; n < 20; n++)
      labels[(rect.y0 + draw(rect.y1 - rect.y0)) * width + rect.x0 + draw(rect.x1 - rect.x0)] = draw(4);
    const after = labels.slice();
    const tiles = changedTiles(before, labels, rect, width);
    const forth = tiles.map((tile) => readTile(labels, tile, width));
    for (const tile of tiles) writeTile(labels, tile, width);
    assert.deepEqual(labels, before);
    for (const tile of forth) writeTile(labels, tile, width);
    assert.deepEqual(labels, after);
  }
});

test("tiles are of 64 pixels, inside the rectangle, and only where something changed", () => {
  const [width, height] = [200, 130];
  const before = new Uint8Array(width * height);
  const labels = before.slice();
  const all = { x0: 0, y0: 0, x1: width, y1: height };
  assert.deepEqual(changedTiles(before, labels, all, width), []);
  labels[64 * width + 63] = 1; // the last column of its tile, the first row of it
  labels[129 * width + 199] = 1; // the corner
  const places = (rect) =>
    changedTiles(before, labels, rect, width).map(({ x0, y0, x1, y1 }) => [x0, y0, x1, y1]);
  assert.deepEqual(places(all), [[0, 64, 64, 128], [192, 128, 200, 130]]);
  assert.deepEqual(places({ x0: 60, y0: 64, x1: 70, y1: 65 }), [[60, 64, 64, 65]]);
  assert.deepEqual(places({ x0: 0, y0: 0, x1: 63, y1: 130 }), []);
});

test("a tile holds its rows only", () => {
  const labels = Uint8Array.from({ length: 20 }, (_, i) => i);
  const tile = readTile(labels, { x0: 1, y0: 1, x1: 4, y1: 3 }, 5);
  assert.deepEqual([...unpack(tile.packed, 6)], [6, 7, 8, 11, 12, 13]);
});

test("a step's size counts its tiles, and a page's picture at four bytes a pixel", () => {
  const packed = { packing: "raw", bytes: new Uint8Array(10) };
  assert.equal(sizeOf({ tiles: [], boxes: [] }), 256);
  assert.equal(sizeOf({ tiles: [{ packed }, { packed }], boxes: [] }), 256 + 2 * 74);
  const page = { width: 8, height: 4, packed, boxes: [], picture: null };
  assert.equal(sizeOf({ page }), 266);
  assert.equal(sizeOf({ page: { ...page, picture: {} } }), 266 + 8 * 4 * 4);
});

test("steps take up other ids, in either packing", () => {
  const ids = Uint8Array.from({ length: 256 }, (_, id) => 255 - id);
  const packings = [
    [{ packing: "raw", bytes: Uint8Array.of(1, 2) }, [254, 253]],
    [{ packing: "runs", bytes: Uint8Array.of(1, 2, 0) }, [254, 2, 0]],
  ];
  for (const [packed, bytes] of packings) {
    const page = { width: 2, height: 1, packed, boxes: [], picture: null };
    assert.deepEqual([...withIds({ page, size: 7 }, ids).page.packed.bytes], bytes);
    assert.deepEqual([...withIds({ tiles: [{ packed }], boxes: [], size: 7 }, ids).tiles[0].packed.bytes], bytes);
  }
});
