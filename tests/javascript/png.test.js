import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, deflateSync, inflateSync } from "node:zlib";

import { decodePng, encodePng } from "../../assets/canvas/png.js";
import { painted, random } from "./helpers.js";

// An encoder and a reader of chunks of its own, by Node's zlib ------------------------------------------------

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const chunk = (name, content) => {
  const body = Buffer.concat([Buffer.from(name, "latin1"), content]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(content.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
};
const header = (width, height, depth, kind, interlace = 0) => {
  const content = Buffer.alloc(13);
  content.writeUInt32BE(width, 0);
  content.writeUInt32BE(height, 4);
  content.set([depth, kind, 0, 0, interlace], 8);
  return chunk("IHDR", content);
};
const png = (...chunks) => {
  const { buffer } = Uint8Array.from(Buffer.concat([SIGNATURE, ...chunks, chunk("IEND", Buffer.alloc(0))]));
  return buffer;
};
const predictions = (filter, left, up, corner) => {
  if (filter === 4) {
    const guess = left + up - corner;
    const [a, b, c] = [guess - left, guess - up, guess - corner].map(Math.abs);
    return a <= b && a <= c ? left : b <= c ? up : corner;
  }
  return [0, left, up, Math.floor((left + up) / 2)][filter];
};
// Rows of bytes, each behind the filter that `choose(row)` names.
const filtered = (rows, choose) =>
  Buffer.concat(
    rows.map((row, y) => {
      const filter = choose(y);
      const out = row.map((byte, x) => {
        const at = (dx, dy) => rows[y - dy]?.[x - dx] ?? 0;
        return byte - predictions(filter, at(1, 0), at(0, 1), at(1, 1));
      });
      return Buffer.from([filter, ...out]);
    })
  );
const packBits = (values, depth) => {
  const row = Buffer.alloc(Math.ceil((values.length * depth) / 8));
  values.forEach((value, x) => (row[(x * depth) >> 3] |= value << (8 - depth - ((x * depth) & 7))));
  return row;
};
const chunksOf = (bytes) => {
  const found = [];
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const body = bytes.subarray(at + 4, at + 8 + length);
    assert.equal(bytes.readUInt32BE(at + 8 + length), crc32(body), "the chunk's checksum");
    found.push({ name: body.subarray(0, 4).toString("latin1"), content: body.subarray(4) });
    at += 12 + length;
  }
  return found;
};

// ---------------------------------------------------------------------------------------------------------

test("what is written is read back to the byte", async () => {
  const draw = random(1);
  const palette = Array.from({ length: 12 }, () => [draw(256), draw(256), draw(256)]);
  for (let i = 0; i < 40; i++) {
    const [width, height] = [1 + draw(90), 1 + draw(90)];
    const values = i % 2 ? painted(draw, width, height) : Uint8Array.from({ length: width * height }, () => draw(256));
    const colours = i % 4 < 2 ? palette : null;
    const read = await decodePng(await (await encodePng(values, width, height, colours)).arrayBuffer());
    assert.deepEqual([read.width, read.height], [width, height]);
    assert.deepEqual(read.values, values);
    assert.deepEqual(read.palette?.slice(0, 12) ?? null, colours);
  }
});

test("the file is a PNG: its chunks, their checksums, its pixels", async () => {
  const values = Uint8Array.from([0, 1, 255, 2, 1, 0]);
  const blob = await encodePng(values, 3, 2, [[1, 2, 3], [4, 5, 6]]);
  assert.equal(blob.type, "image/png");
  const bytes = Buffer.from(await blob.arrayBuffer());
  assert.ok(bytes.subarray(0, 8).equals(SIGNATURE));
  const chunks = chunksOf(bytes);
  assert.deepEqual(chunks.map(({ name }) => name), ["IHDR", "PLTE", "tRNS", "IDAT", "IEND"]);
  const [first, colours, alphas, data] = chunks.map(({ content }) => [...content]);
  assert.deepEqual(first, [0, 0, 0, 3, 0, 0, 0, 2, 8, 3, 0, 0, 0]);
  assert.deepEqual(colours.slice(0, 9), [1, 2, 3, 4, 5, 6, 0, 0, 0]);
  assert.equal(colours.length, 768);
  assert.deepEqual([alphas.length, alphas[0], alphas[254], alphas[255]], [256, 255, 255, 0]);
  assert.deepEqual([...inflateSync(Buffer.from(data))], [0, 0, 1, 255, 0, 2, 1, 0]);
  const grey = chunksOf(Buffer.from(await (await encodePng(values, 3, 2)).arrayBuffer()));
  assert.deepEqual(grey.map(({ name }) => name), ["IHDR", "IDAT", "IEND"]);
  assert.equal(grey[0].content[9], 0);
});

for (const depth of [1, 2, 4, 8])
  test(`files of ${depth} bits are read, with each filter, cut into several chunks`, async () => {
    const draw = random(depth);
    for (let i = 0; i < 12; i++) {
      const [width, height] = [1 + draw(40), 5 + draw(20)];
      const rows = Array.from({ length: height }, () => Array.from({ length: width }, () => draw(2 ** depth)));
      const data = deflateSync(filtered(rows.map((row) => packBits(row, depth)), (y) => (y + i) % 5));
      const cut = draw(data.length);
      const pixels = [data.subarray(0, cut), data.subarray(cut)].map((part) => chunk("IDAT", part));
      const colours = Array.from({ length: 2 ** depth }, () => [draw(256), draw(256), draw(256)]);
      const palette = chunk("PLTE", Buffer.from(colours.flat()));
      const indexed = await decodePng(png(header(width, height, depth, 3), palette, ...pixels));
      assert.deepEqual([...indexed.values], rows.flat());
      assert.deepEqual(indexed.palette, colours);
      const grey = await decodePng(png(header(width, height, depth, 0), ...pixels));
      assert.deepEqual([...grey.values], rows.flat().map((value) => (value * 255) / (2 ** depth - 1)));
      assert.equal(grey.palette, null);
    }
  });

const pixels = (width, height) => chunk("IDAT", deflateSync(Buffer.alloc((width + 1) * height)));
const black = (...changes) => png(header(...changes), pixels(4, 4));

test("other kinds of PNG, and what is none, are left to the browser", async () => {
  assert.notEqual(await decodePng(black(4, 4, 8, 0)), null);
  assert.equal(await decodePng(black(4, 4, 8, 2)), null, "colours");
  assert.equal(await decodePng(black(4, 4, 8, 4)), null, "grey with transparency");
  assert.equal(await decodePng(black(4, 4, 16, 0)), null, "16 bits");
  assert.equal(await decodePng(black(4, 4, 0, 0)), null, "no bits");
  assert.equal(await decodePng(black(4, 4, 5, 0)), null, "5 bits");
  assert.equal(await decodePng(black(4, 4, 8, 0, 1)), null, "interlaced");
  assert.equal(await decodePng(black(4, 4, 8, 3)), null, "indices without a palette");
  assert.equal(await decodePng(new ArrayBuffer(0)), null);
  assert.equal(await decodePng(new ArrayBuffer(100)), null);
  assert.equal(await decodePng(black(4, 4, 8, 0).slice(0, 32)), null, "only the beginning");
});

test("a size that the file does not hold is refused, and memory is not taken for it", async () => {
  assert.equal(await decodePng(black(0, 4, 8, 0)), null);
  assert.equal(await decodePng(black(4, 0, 8, 0)), null);
  assert.equal(await decodePng(black(2 ** 16, 2 ** 16, 8, 0)), null);
  assert.equal(await decodePng(black(4, 5, 8, 0)), null, "too few rows");
  assert.equal(await decodePng(black(4, 3, 8, 0)), null, "too many");
  assert.equal(await decodePng(png(header(4, 4, 8, 0), chunk("IDAT", deflateSync(Buffer.alloc(2 ** 22))))), null);
});

test("no damage is read as a map", async () => {
  const whole = Buffer.from(await (await encodePng(new Uint8Array(64).fill(3), 8, 8, [[9, 9, 9]])).arrayBuffer());
  const names = ["PLTE", "IDAT"].map((name) => whole.indexOf(name, 0, "latin1"));
  for (const at of names)
    for (const shift of [4, 6, 8]) {
      const damaged = Uint8Array.from(whole);
      damaged[at + shift] ^= 4;
      assert.equal(await decodePng(damaged.buffer), null, `a bit of the byte ${at + shift}`);
    }
  const { buffer } = Uint8Array.from(whole.subarray(0, names[1] + 8));
  assert.equal(await decodePng(buffer), null, "cut short");
  const rows = Buffer.concat([Buffer.from([5, 1, 1]), Buffer.from([0, 1, 1])]);
  assert.equal(await decodePng(png(header(2, 2, 8, 0), chunk("IDAT", deflateSync(rows)))), null, "no such filter");
});
