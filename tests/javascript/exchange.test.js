import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Board } from "../../assets/canvas/board.js";
import { Exchange, openRecord, toRecord } from "../../assets/canvas/exchange.js";
import { Reader } from "../../assets/canvas/reader.js";
import { drawn } from "./helpers.js";

const SCREEN = { show() {}, paintWith() {}, setCell() {}, touch() {} };
const PALETTE = ["sky", "tree"].map((name) => ({ name, colour: "#101010", stuff: [] }));
const SIZE = { width: 4, height: 3 };

let sent;
let notes;
let uploads;
const partsFor = (mode, upload = async () => ({ path: "/uploads/picture.png" })) => {
  const board = new Board({ mode, ...SIZE, palette: PALETTE, cells: 8, maxBoxes: 9, feather: 2 }, SCREEN, () => {});
  const counted = (file) => {
    uploads.push(file);
    return upload(file);
  };
  const put = (value) => sent.push(value);
  const reader = new Reader(counted);
  const exchange = new Exchange({ board, reader, put, note: (text) => notes.push(text) });
  return { board, exchange, reader };
};
beforeEach(() => {
  [sent, notes, uploads] = [[], [], []];
});
const settled = () => new Promise((resolve) => setTimeout(resolve));
const pictureOf = (upload = null) => ({ bitmap: { ...SIZE }, full: { ...SIZE }, blob: new Blob(["x"], { type: "image/png" }), upload });
const base64 = (...bytes) => Buffer.from(bytes).toString("base64");

test("a label map is sent whole, with the names of its classes", () => {
  const { board, exchange } = partsFor("classes");
  board.sheet.labels.fill(1);
  exchange.send();
  const outline = { left: 0, top: 0, width: 0, height: 0 };
  assert.deepEqual(sent, [{
    mode: "classes", ...SIZE, classes: ["sky", "tree"], packing: "runs", labels: base64(1, 12, 0),
    boxes: [], picture: null, feather: 2, outline,
  }]);
});

test("of boxes only the boxes are sent", () => {
  const { board, exchange } = partsFor("boxes");
  board.addBox({ x0: 0, y0: 0, x1: 2, y1: 3 });
  exchange.send();
  const { packing, labels, classes, boxes } = sent[0];
  assert.deepEqual([packing, labels, classes], [null, null, []]);
  assert.deepEqual(boxes, [{ id: board.boxes[0].id, class: "sky", x: 0, y: 0, width: 0.5, height: 1 }]);
});

test("a picture is uploaded once; when it has arrived the value goes again with its path", async () => {
  const { board, exchange } = partsFor("mask");
  board.setPicture(pictureOf());
  exchange.send();
  exchange.send();
  assert.ok(exchange.sending);
  assert.deepEqual(sent.map(({ picture }) => picture), [{ state: "sending" }, { state: "sending" }]);
  await settled();
  assert.equal(exchange.sending, false);
  assert.deepEqual(sent.at(-1).picture, { path: "/uploads/picture.png" });
  exchange.send();
  await settled();
  assert.equal(uploads.length, 1);
  assert.equal(uploads[0].name, "picture.png");
});

test("an upload that failed is said once and not tried at each stroke", async () => {
  const { board, exchange } = partsFor("mask", async () => {
    throw new Error("no server");
  });
  board.setPicture(pictureOf());
  exchange.send();
  await settled();
  exchange.send();
  await settled();
  assert.deepEqual(sent.at(-1).picture, { state: "lost" });
  assert.equal(uploads.length, 1);
  assert.equal(notes.length, 1);
});

test("an old upload is made anew, and serves until then and if that fails", async () => {
  const { board, exchange } = partsFor("mask", async () => {
    throw new Error("no server");
  });
  board.setPicture(pictureOf({ path: "/old", time: Date.now() - 31 * 60 * 1000 }));
  exchange.send();
  assert.equal(exchange.sending, false);
  await settled();
  assert.equal(uploads.length, 1);
  assert.deepEqual(sent.map(({ picture }) => picture), [{ path: "/old" }], "nor is it sent in circles");
  exchange.send();
  await settled();
  assert.equal(uploads.length, 2, "the next stroke tries again");
  board.setPicture(pictureOf({ path: "/new", time: Date.now() - 29 * 60 * 1000 }));
  exchange.send();
  assert.equal(uploads.length, 2);
});

test("a picture that was replaced while it was on its way is not told", async () => {
  const { board, exchange } = partsFor("mask");
  board.setPicture(pictureOf());
  exchange.send();
  board.setPicture(null);
  await settled();
  assert.equal(sent.length, 1);
});

test("what Python does not say stays", async () => {
  const { board, exchange } = partsFor("classes");
  board.sheet.labels.fill(1);
  board.commit();
  board.setPicture(pictureOf());
  const { picture } = board;
  await exchange.receive({ from: "python", feather: 5, setup: { cells: 4, maxBoxes: 1 } });
  assert.deepEqual([board.settings.feather, board.cellSize, board.maxBoxes], [5, 4, 1]);
  assert.equal(board.picture, picture);
  await exchange.receive({ from: "python", labels: base64(0, 12, 0), packing: "runs" });
  assert.equal(board.picture, picture);
  assert.deepEqual(drawn(board.sheet), ["0000", "0000", "0000"]);
});

test("whatever Python puts in the place of what was painted can be undone", async () => {
  const { board, exchange } = partsFor("classes");
  board.setPicture(pictureOf());
  board.sheet.labels.fill(1);
  const before = board.page();
  for (const value of [
    { labels: base64(0, 12, 0), packing: "runs" },
    { width: 8, height: 2 },
    { width: 2, height: 2, labels: base64(0, 4, 0), packing: "runs" },
    null,
  ]) {
    await exchange.receive(value && { from: "python", ...value });
    assert.notDeepEqual(board.page(), before);
    board.undo();
    assert.deepEqual(board.page(), before);
    board.redo();
    board.undo();
    assert.deepEqual(board.page(), before);
  }
});

test("what Python says twice is one step", async () => {
  const { board, exchange } = partsFor("classes");
  const value = { from: "python", labels: base64(0, 12, 0), packing: "runs" };
  await exchange.receive(value);
  await exchange.receive(value);
  assert.equal(board.history.past.length, 1);
  board.undo();
  assert.deepEqual(drawn(board.sheet), ["....", "....", "...."]);
  await exchange.receive(null);
  assert.equal(board.history.canUndo, false, "an empty canvas that is cleared");
});

test("another picture from Python can be undone, and what is painted stays", async () => {
  const { board, exchange, reader } = partsFor("classes");
  board.setPicture(pictureOf());
  board.sheet.labels.fill(1);
  const before = board.page();
  const other = pictureOf({ path: "/new", time: 1 });
  reader.uploaded = async () => other;
  globalThis.fetch = async () => new Response("x");
  await exchange.receive({ from: "python", ...SIZE, picture: { path: "/new", url: "http://host/new" } });
  assert.deepEqual(board.page(), { ...before, picture: other });
  board.undo();
  assert.deepEqual(board.page(), before);
});

test("at another size the canvas begins anew, and null clears it", async () => {
  const { board, exchange } = partsFor("boxes");
  board.addBox({ x0: 0, y0: 0, x1: 2, y1: 3 });
  board.setPicture(pictureOf());
  await exchange.receive({ from: "python", width: 8, height: 2 });
  assert.deepEqual([board.sheet.width, board.sheet.height, board.boxes, board.picture], [8, 2, [], null]);
  await exchange.receive({ from: "python", boxes: [{ class: "tree", x: 0.5, y: 0, width: 0.5, height: 1 }] });
  assert.deepEqual(board.boxes, [{ label: "tree", x0: 4, y0: 0, x1: 8, y1: 2 }]);
  await exchange.receive(null);
  assert.deepEqual([board.sheet.width, board.boxes], [8, []]);
});

test("what the browser keeps of a board opens it again, on a board of that mode only", async () => {
  const { board } = partsFor("classes");
  board.sheet.labels.set([0, 1, 255, 1]);
  board.set({ size: 99, current: 1 });
  const record = structuredClone(toRecord(board));
  const { board: other, reader } = partsFor("classes");
  assert.ok(await openRecord(other, reader, record));
  assert.deepEqual(drawn(other.sheet), ["01.1", "....", "...."]);
  assert.deepEqual(other.settings, board.settings);
  other.setUp({ palette: PALETTE.slice(0, 1) });
  assert.ok(await openRecord(other, reader, record));
  assert.deepEqual(drawn(other.sheet), ["01.1", "....", "...."], "in the classes with which it was painted");
  other.setUp({ palette: PALETTE.slice(0, 1) });
  assert.equal(other.settings.current, 0, "a class that is no more is not chosen");
  assert.equal(await openRecord(partsFor("mask").board, reader, record), false);
  assert.equal(await openRecord(other, reader, { ...record, width: 5 }), false, "of another size than its map");
  assert.equal(await openRecord(other, reader, null), false);
});

test("undo goes on after a reload, over pictures as well", async () => {
  const { board } = partsFor("mask");
  board.setPicture(pictureOf({ path: "/first", time: 1 }));
  board.touch(board.sheet.rectangle({ x0: 1, y0: 0, x1: 3, y1: 1 }, 255));
  board.commit();
  board.setPicture(pictureOf({ path: "/second", time: 1 }));
  board.clear();
  board.undo();
  const record = structuredClone(toRecord(board));
  const { board: other, reader } = partsFor("mask");
  const asked = [];
  reader.reopen = async ({ blob, path }) => {
    asked.push(path);
    return { ...pictureOf({ path, time: 2 }), blob };
  };
  assert.ok(await openRecord(other, reader, record));
  assert.deepEqual(asked.toSorted(), ["/first", "/second"], "each once");
  assert.deepEqual([other.history.past.length, other.history.future.length], [3, 1]);
  assert.equal(other.history.size, board.history.size);
  const seen = () => [other.picture?.upload.path, drawn(other.sheet)[0].replaceAll("255", "#")];
  assert.deepEqual(seen(), ["/second", ".##."]);
  other.undo();
  assert.deepEqual(seen(), ["/first", ".##."]);
  other.undo();
  assert.deepEqual(seen(), ["/first", "...."]);
  other.undo();
  assert.deepEqual(seen(), [undefined, "...."]);
  for (let i = 0; i < 4; i++) other.redo();
  assert.deepEqual(seen(), ["/second", "...."]);
});
