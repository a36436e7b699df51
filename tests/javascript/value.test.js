import assert from "node:assert/strict";
import { test } from "node:test";

import { fromBase64, fromBoxes, pack, toBase64, toBoxes, unpack } from "../../assets/canvas/value.js";
import { painted, random } from "./helpers.js";

const bytes = (...values) => Uint8Array.from(values);

test("runs hold the id and the length, low byte first", () => {
  assert.deepEqual(pack(new Uint8Array(0x0203).fill(7)), { packing: "runs", bytes: bytes(7, 0x03, 0x02) });
  const two = pack(bytes(...Array(5).fill(1), ...Array(4).fill(255)));
  assert.deepEqual(two, { packing: "runs", bytes: bytes(1, 5, 0, 255, 4, 0) });
});

test("the longest run is 65535 pixels", () => {
  const runs = (length) => [...pack(new Uint8Array(length)).bytes];
  assert.deepEqual(runs(0xffff), [0, 0xff, 0xff]);
  assert.deepEqual(runs(0x10000), [0, 0xff, 0xff, 0, 1, 0]);
});

test("what runs would make longer travels as it is", () => {
  const noise = bytes(1, 2, 3, 4, 5, 6);
  const packed = pack(noise);
  assert.deepEqual(packed, { packing: "raw", bytes: noise });
  noise[0] = 9;
  assert.equal(packed.bytes[0], 1, "the packed bytes are a copy");
  assert.equal(pack(bytes(1, 1, 1, 2, 2, 2)).packing, "runs", "as long is not longer");
  assert.equal(pack(bytes(1, 1, 2, 2, 2)).packing, "raw");
});

test("packing and unpacking gives the same map back and never costs more than it", () => {
  const draw = random(1);
  for (let i = 0; i < 200; i++) {
    const [width, height] = [1 + draw(70), 1 + draw(70)];
    const labels = i % 3 ? painted(draw, width, height) : Uint8Array.from({ length: width * height }, () => draw(256));
    const packed = pack(labels);
    assert.ok(packed.bytes.length <= labels.length);
    assert.deepEqual(unpack(packed, labels.length), labels);
  }
  assert.deepEqual(unpack(pack(bytes()), 0), bytes());
});

test("an unpacked map can be painted on without changing what was packed", () => {
  const packed = pack(bytes(1, 2, 3));
  unpack(packed, 3).fill(0);
  assert.deepEqual([...packed.bytes], [1, 2, 3]);
});

test("base64 is the one that everybody reads, there and back, beyond one piece as well", () => {
  const draw = random(2);
  for (const length of [0, 1, 2, 3, 0x7fff, 0x8000, 0x8001, 0x18003]) {
    const data = Uint8Array.from({ length }, () => draw(256));
    assert.equal(toBase64(data), Buffer.from(data).toString("base64"));
    assert.deepEqual(fromBase64(toBase64(data)), data);
  }
});

const size = { width: 640, height: 480 };

test("boxes travel as fractions and come back to the pixel", () => {
  const box = { label: "tree", x0: 64, y0: 48, x1: 320, y1: 480 };
  assert.deepEqual(toBoxes([box], size), [{ class: "tree", x: 0.1, y: 0.1, width: 0.4, height: 0.9 }]);
  const draw = random(3);
  for (let i = 0; i < 300; i++) {
    const page = { width: 1 + draw(2048), height: 1 + draw(2048) };
    const [x0, y0] = [draw(page.width), draw(page.height)];
    const one = { label: "a", x0, y0, x1: x0 + 1 + draw(page.width - x0), y1: y0 + 1 + draw(page.height - y0) };
    assert.deepEqual(fromBoxes(toBoxes([one], page), page), [one]);
  }
});

test("what is no box is left out, the rest stays in order", () => {
  const good = { class: "a", x: 0, y: 0, width: 1, height: 1 };
  const wrong = [
    null, undefined, 3, "box", [], {},
    { ...good, class: 7 },
    { ...good, x: "0" },
    { ...good, y: NaN },
    { ...good, width: Infinity },
    { ...good, height: null },
    { ...good, width: 0 },
    { ...good, height: -1 },
    { ...good, x: 1 },
  ];
  const found = fromBoxes([{ ...good, class: "first" }, ...wrong, { ...good, class: "last" }], size);
  assert.deepEqual(found.map(({ label }) => label), ["first", "last"]);
});

test("a box that sticks out is cut at the picture's edges, and a long name shortened", () => {
  const [box] = fromBoxes([{ class: "x".repeat(99), x: -1, y: 0.5, width: 9, height: 9 }], size);
  assert.deepEqual(box, { label: "x".repeat(80), x0: 0, y0: 240, x1: 640, y1: 480 });
});
