// Choosing pictures from a list (assets/history/selection.js), and what is fetched of them (items.js).

import assert from "node:assert/strict";
import { test } from "node:test";

import { Items } from "../../assets/history/items.js";
import { Selection } from "../../assets/history/selection.js";

const list = (...ids) => {
  const selection = new Selection();
  selection.show(ids);
  return selection;
};

test("a click chooses one, Ctrl adds and takes away, Shift takes all between", () => {
  const selection = list(9, 8, 7, 6, 5);
  selection.choose(8);
  assert.deepEqual(selection.list, [8]);
  selection.choose(6, "toggle");
  assert.deepEqual(selection.list, [8, 6]);
  selection.choose(8, "toggle");
  assert.deepEqual(selection.list, [6]);
  selection.choose(6);
  selection.choose(9, "range");
  assert.deepEqual(selection.list, [9, 8, 7, 6]);
  selection.choose(5, "range"); // from the same beginning
  assert.deepEqual(selection.list, [6, 5]);
});

test("keys move within the list and extend from where they began", () => {
  const selection = list(1, 2, 3, 4);
  assert.equal(selection.move(1), 1);
  assert.equal(selection.move(2), 3);
  assert.equal(selection.move(9), 4);
  assert.equal(selection.move(-1, true), 3);
  assert.deepEqual(selection.list, [3, 4]);
  assert.equal(selection.move(-Infinity), 1);
  assert.equal(list().move(1), null);
});

test("what is not in the list any more is not chosen; after a deletion the next one is", () => {
  const selection = list(1, 2, 3, 4);
  selection.choose(2);
  selection.show([1, 3, 4]);
  assert.deepEqual([selection.focus, selection.list], [3, [3]]);
  selection.choose(4);
  selection.show([1, 3]);
  assert.equal(selection.focus, 3);
  selection.show([]);
  assert.deepEqual([selection.focus, selection.list], [null, []]);
  selection.show([7]);
  assert.deepEqual(selection.list, []);
});

test("a new picture in front changes nothing of what is chosen", () => {
  const selection = list(2, 1);
  selection.choose(1);
  selection.show([3, 2, 1]);
  assert.deepEqual([selection.focus, selection.list], [1, [1]]);
});

test("items are asked for once, in parts, and the oldest give way", async () => {
  const questions = [];
  const items = new Items(async (ids) => {
    questions.push(ids.length);
    return ids.map((id) => ({ id }));
  });
  await Promise.all([items.need([1, 2, 3]), items.need([2, 3, 4])]);
  assert.deepEqual(questions, [3, 1]);
  await items.need([...Array(6000).keys()]);
  assert.ok(Math.max(...questions) <= 200);
  assert.ok(items.known.size <= 3000);
  assert.equal(items.get(5999).id, 5999);
});

test("a question that failed is asked again", async () => {
  let fails = true;
  const items = new Items(async (ids) => {
    if (fails) throw new Error("away");
    return ids.map((id) => ({ id }));
  });
  await items.need([1]);
  assert.equal(items.get(1), undefined);
  fails = false;
  await items.need([1]);
  assert.equal(items.get(1).id, 1);
});
