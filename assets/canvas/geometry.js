// Points and rectangles; rectangles are half open, in pixels of the picture.

/** @typedef {{ x: number, y: number }} Point */
/** @typedef {{ width: number, height: number }} Size */
/** @typedef {{ x0: number, y0: number, x1: number, y1: number }} Rect */

/**
 * The smallest rectangle around two; null stands for nothing.
 * @type {{ (a: Rect, b: Rect | null): Rect, (a: Rect | null, b: Rect): Rect, (a: Rect | null, b: Rect | null): Rect | null }}
 */
export const unite = (/** @type {Rect | null} */ a, /** @type {Rect | null} */ b) => {
  if (!a || !b) return /** @type {Rect} */ (a ?? b);
  return {
    x0: Math.min(a.x0, b.x0),
    y0: Math.min(a.y0, b.y0),
    x1: Math.max(a.x1, b.x1),
    y1: Math.max(a.y1, b.y1),
  };
};

/**
 * The rectangle between two points with its edges between pixels.
 * @param {Point} a
 * @param {Point} b
 * @returns {Rect}
 */
export const rounded = (a, b) => ({
  x0: Math.round(Math.min(a.x, b.x)),
  y0: Math.round(Math.min(a.y, b.y)),
  x1: Math.round(Math.max(a.x, b.x)),
  y1: Math.round(Math.max(a.y, b.y)),
});

/** @type {(low: number, value: number, high: number) => number} */
const between = (low, value, high) => Math.min(high, Math.max(low, Math.round(value)));

/**
 * A box moved, or with the edges named by `part` ("n", "se", ...) moved, inside the sheet and never empty.
 * @template {Rect} T
 * @param {T} box
 * @param {number} dx
 * @param {number} dy
 * @param {Size} sheet
 * @param {string} part  "move", or the edges
 * @returns {T}
 */
export const moveBox = (box, dx, dy, { width, height }, part) => {
  if (part === "move") {
    const x = between(-box.x0, dx, width - box.x1);
    const y = between(-box.y0, dy, height - box.y1);
    return { ...box, x0: box.x0 + x, y0: box.y0 + y, x1: box.x1 + x, y1: box.y1 + y };
  }
  const moved = { ...box };
  if (part.includes("w")) moved.x0 = between(0, box.x0 + dx, box.x1 - 1);
  if (part.includes("e")) moved.x1 = between(box.x0 + 1, box.x1 + dx, width);
  if (part.includes("n")) moved.y0 = between(0, box.y0 + dy, box.y1 - 1);
  if (part.includes("s")) moved.y1 = between(box.y0 + 1, box.y1 + dy, height);
  return moved;
};
