// The form in which label maps travel to Python, are kept in the browser and wait for undo: runs of equal
// ids, exact and quick enough to be made at the end of every stroke.  app/widgets/canvas.py reads and writes the same.

const LONGEST = 0xffff;

// Bytes -> { packing, bytes }.  "runs": three bytes each, the id and its length (little endian); "raw" where
// that is shorter, so that noise costs no more than itself.
export const pack = (labels) => {
  const runs = new Uint8Array(labels.length);
  let used = 0;
  for (let i = 0; i < labels.length; ) {
    const id = labels[i];
    const limit = Math.min(labels.length, i + LONGEST);
    let end = i + 1;
    while (end < limit && labels[end] === id) end++;
    if (used + 3 > runs.length) return { packing: "raw", bytes: labels.slice() };
    runs[used++] = id;
    runs[used++] = (end - i) & 0xff;
    runs[used++] = (end - i) >> 8;
    i = end;
  }
  return { packing: "runs", bytes: runs.slice(0, used) };
};

export const unpack = ({ packing, bytes }, length) => {
  if (packing === "raw") return bytes.slice();
  const labels = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const end = at + bytes[i + 1] + (bytes[i + 2] << 8);
    labels.fill(bytes[i], at, end);
    at = end;
  }
  return labels;
};

export const toBase64 = (bytes) => {
  if (bytes.toBase64) return bytes.toBase64();
  const parts = [];
  for (let i = 0; i < bytes.length; i += 0x8000)
    parts.push(String.fromCharCode.apply(null, bytes.subarray(i, i + 0x8000)));
  return btoa(parts.join(""));
};

export const fromBase64 = (text) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
};

// A box in pixels as fractions of the picture, as requests hold it.
const fractions = ({ label, x0, y0, x1, y1 }, { width, height }) => ({
  class: label,
  x: x0 / width,
  y: y0 / height,
  width: (x1 - x0) / width,
  height: (y1 - y0) / height,
});

export const toBoxes = (boxes, size) => boxes.map((box) => fractions(box, size));

// Fractions -> boxes in whole pixels, inside the picture; entries that are no boxes are left out.
export const fromBoxes = (entries, { width, height }) =>
  entries.flatMap((entry) => {
    const numbers = [entry?.x, entry?.y, entry?.width, entry?.height];
    if (typeof entry?.class !== "string" || !numbers.every(Number.isFinite)) return [];
    const [x, y, w, h] = numbers;
    const inside = (value, limit) => Math.min(limit, Math.max(0, Math.round(value * limit)));
    const box = {
      label: entry.class.slice(0, 80),
      x0: inside(x, width),
      y0: inside(y, height),
      x1: inside(x + w, width),
      y1: inside(y + h, height),
    };
    return box.x0 < box.x1 && box.y0 < box.y1 ? [box] : [];
  });
