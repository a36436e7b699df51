// PNG files of label maps, written and read to the byte.  A canvas could do neither: it writes colours only,
// and when it reads, the indices are lost (and some browsers blur what is read back against fingerprinting).

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** @import { Bytes } from "./value.js" */
/** @typedef {number[]} Rgb  three values, 0 to 255 */
/** @typedef {{ width: number, height: number, values: Bytes, palette: Rgb[] | null }} Png  `palette` null for grey */

const GREY = 0;
const INDEXED = 3;

/**
 * Writes grey values, or with a palette indices into it; index 255 is then transparent.
 * @param {Bytes} values
 * @param {number} width
 * @param {number} height
 * @param {Rgb[] | null} palette
 */
export const encodePng = async (values, width, height, palette = null) => {
  const rows = new Uint8Array((width + 1) * height); // each row begins with its filter: 0, none
  for (let y = 0; y < height; y++)
    rows.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, palette ? INDEXED : GREY], 8);
  const parts = [new Uint8Array(SIGNATURE), chunk("IHDR", header)];
  if (palette) {
    const colours = Array.from({ length: 256 }, (_, id) => palette[id] ?? [0, 0, 0]);
    const alphas = new Uint8Array(256).fill(255);
    alphas[255] = 0;
    parts.push(chunk("PLTE", new Uint8Array(colours.flat())), chunk("tRNS", alphas));
  }
  const data = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate")));
  parts.push(chunk("IDAT", new Uint8Array(await data.arrayBuffer())), chunk("IEND", new Uint8Array(0)));
  return new Blob(parts, { type: "image/png" });
};

/**
 * Reads grey or indexed files of up to 8 bits.  Null for any other file, damaged ones included: the browser's
 * own reader has the last word on those.
 * @param {ArrayBuffer} buffer
 * @returns {Promise<Png | null>}
 */
export const decodePng = async (buffer) => {
  const bytes = new Uint8Array(buffer);
  if (SIGNATURE.some((byte, i) => bytes[i] !== byte) || bytes.length < 33) return null;
  const view = new DataView(buffer);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [depth, kind, , , interlace] = bytes.subarray(24, 29);
  const readable = [GREY, INDEXED].includes(kind) && [1, 2, 4, 8].includes(depth) && interlace === 0;
  if (!readable || !width || !height || width * height > 2 ** 26) return null;
  /** @type {Rgb[] | null} */
  let palette = null;
  /** @type {Bytes[]} */
  const data = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (name === "PLTE" || name === "IDAT") {
      const whole = at + 12 + length <= bytes.length;
      if (!whole || view.getUint32(at + 8 + length) !== crc(bytes.subarray(at + 4, at + 8 + length))) return null;
      if (name === "PLTE") palette = colours(content);
      else data.push(content);
    }
    at += 12 + length;
  }
  const stride = Math.ceil((width * depth) / 8);
  const rows = await inflate(data, (stride + 1) * height);
  if (!rows || (kind === INDEXED && !palette) || !unfilter(rows, stride, height)) return null;
  const scale = kind === GREY ? 255 / (2 ** depth - 1) : 1;
  const values = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const byte = rows[y * (stride + 1) + 1 + ((x * depth) >> 3)];
      const value = (byte >> (8 - depth - ((x * depth) & 7))) & (2 ** depth - 1);
      values[y * width + x] = value * scale;
    }
  return { width, height, values, palette: kind === INDEXED ? palette : null };
};

/** @type {(content: Bytes) => Rgb[]} */
const colours = (content) =>
  Array.from({ length: Math.floor(content.length / 3) }, (_, i) => [...content.subarray(3 * i, 3 * i + 3)]);

/**
 * Exactly `length` bytes, or null; reading stops as soon as there would be more.
 * @type {(data: Bytes[], length: number) => Promise<Bytes | null>}
 */
const inflate = async (data, length) => {
  const rows = new Uint8Array(length);
  const reader = new Blob(data).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return at === length ? rows : null;
      if (at + value.length > length) {
        await reader.cancel();
        return null;
      }
      rows.set(value, at);
      at += value.length;
    }
  } catch {
    return null;
  }
};

/**
 * Undoes the five row filters (PNG specification, section 9), in place; a pixel is at most one byte here.
 * False where a row names another filter.
 * @type {(rows: Bytes, stride: number, height: number) => boolean}
 */
const unfilter = (rows, stride, height) => {
  for (let y = 0; y < height; y++) {
    const start = y * (stride + 1) + 1;
    const filter = rows[start - 1];
    if (filter > 4) return false;
    for (let i = start; i < start + stride; i++) {
      const left = i > start ? rows[i - 1] : 0;
      const up = y > 0 ? rows[i - stride - 1] : 0;
      const corner = i > start && y > 0 ? rows[i - stride - 2] : 0;
      rows[i] += [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
    }
  }
  return true;
};

/** @type {(left: number, up: number, corner: number) => number} */
const paeth = (left, up, corner) => {
  const guess = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(guess - value));
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
};

/** @type {(name: string, content: Bytes) => Bytes} */
const chunk = (name, content) => {
  const bytes = new Uint8Array(content.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(content, 8);
  view.setUint32(content.length + 8, crc(bytes.subarray(4, content.length + 8)));
  return bytes;
};

/** @type {(bytes: Bytes) => number} */
const crc = (bytes) => {
  let value = ~0;
  for (let i = 0; i < bytes.length; i++) value = (value >>> 8) ^ CRCS[(value ^ bytes[i]) & 0xff];
  return ~value >>> 0;
};

// The CRC of each single byte.
const CRCS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  return value;
});
