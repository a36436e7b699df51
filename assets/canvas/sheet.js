// The label map: one class id for each pixel, and the operations that change it.
// Knows nothing of colours, screens or undo.  Every operation returns the rectangle it may have changed, or null.

import { unite } from "./geometry.js";

/** @import { Point, Rect } from "./geometry.js" */

export class Sheet {
  /**
   * @param {number} width
   * @param {number} height
   * @param {number} empty  the id of a pixel where nothing is painted
   */
  constructor(width, height, empty) {
    this.width = width;
    this.height = height;
    this.empty = empty;
    this.labels = new Uint8Array(width * height).fill(empty);
  }

  get bounds() {
    return { x0: 0, y0: 0, x1: this.width, y1: this.height };
  }

  /**
   * The id at a point, or null outside.
   * @param {Point} point
   */
  at({ x, y }) {
    const column = Math.floor(x);
    const row = Math.floor(y);
    if (column < 0 || row < 0 || column >= this.width || row >= this.height) return null;
    return this.labels[row * this.width + column];
  }

  /** @type {(x0: number, y0: number, x1: number, y1: number) => Rect | null} */
  clip(x0, y0, x1, y1) {
    const rect = {
      x0: Math.max(0, Math.floor(x0)),
      y0: Math.max(0, Math.floor(y0)),
      x1: Math.min(this.width, Math.ceil(x1)),
      y1: Math.min(this.height, Math.ceil(y1)),
    };
    return rect.x0 < rect.x1 && rect.y0 < rect.y1 ? rect : null;
  }

  /**
   * One row's pixels whose centres lie between two x.
   * @param {number} row
   * @param {number} from
   * @param {number} to
   * @param {number} id
   */
  span(row, from, to, id) {
    const start = Math.max(0, Math.ceil(from - 0.5));
    const end = Math.min(this.width, Math.floor(to - 0.5) + 1);
    if (start < end) this.labels.fill(id, row * this.width + start, row * this.width + end);
  }

  /**
   * A round brush drawn from p to q: all pixels whose centres are within `radius` of that line.
   * The shape is convex, so each row is one span: no stamping, nothing is visited twice.
   * @param {Point} p
   * @param {Point} q
   * @param {number} radius
   * @param {number} id
   */
  stroke(p, q, radius, id) {
    const length = Math.hypot(q.x - p.x, q.y - p.y) || 1;
    const nx = (-(q.y - p.y) / length) * radius;
    const ny = ((q.x - p.x) / length) * radius;
    const sides = [1, -1].map((s) => [p.x + s * nx, p.y + s * ny, q.x + s * nx, q.y + s * ny]);
    const first = Math.max(0, Math.ceil(Math.min(p.y, q.y) - radius - 0.5));
    const last = Math.min(this.height - 1, Math.floor(Math.max(p.y, q.y) + radius - 0.5));
    for (let row = first; row <= last; row++) {
      const y = row + 0.5;
      let from = Infinity;
      let to = -Infinity;
      for (const end of [p, q]) {
        const square = radius * radius - (y - end.y) ** 2;
        if (square < 0) continue;
        const half = Math.sqrt(square);
        from = Math.min(from, end.x - half);
        to = Math.max(to, end.x + half);
      }
      for (const [ax, ay, bx, by] of sides) {
        if (ay <= y === by <= y) continue;
        const x = ax + ((y - ay) / (by - ay)) * (bx - ax);
        from = Math.min(from, x);
        to = Math.max(to, x);
      }
      if (from <= to) this.span(row, from, to, id);
    }
    // The finest brush marks the pixel under the pointer, wherever in it the pointer is.
    if (this.at(q) !== null) this.labels[Math.floor(q.y) * this.width + Math.floor(q.x)] = id;
    const reach = radius + 1;
    return this.clip(
      Math.min(p.x, q.x) - reach,
      Math.min(p.y, q.y) - reach,
      Math.max(p.x, q.x) + reach,
      Math.max(p.y, q.y) + reach
    );
  }

  /**
   * @param {Rect} rect
   * @param {number} id
   */
  rectangle(rect, id) {
    const clipped = this.clip(rect.x0, rect.y0, rect.x1, rect.y1);
    if (!clipped) return null;
    for (let row = clipped.y0; row < clipped.y1; row++)
      this.labels.fill(id, row * this.width + clipped.x0, row * this.width + clipped.x1);
    return clipped;
  }

  /**
   * A closed outline; where it crosses itself the inside stays inside (non-zero winding).
   * @param {readonly Point[]} points
   * @param {number} id
   */
  polygon(points, id) {
    /** @type {Map<number, { x: number, turn: number }[]>} */
    const crossings = new Map();
    /** @type {Rect | null} */
    let bounds = null;
    for (const [i, a] of points.entries()) {
      const b = points[(i + 1) % points.length];
      bounds = unite(bounds, { x0: a.x, y0: a.y, x1: a.x, y1: a.y });
      const first = Math.max(0, Math.ceil(Math.min(a.y, b.y) - 0.5));
      const last = Math.min(this.height - 1, Math.ceil(Math.max(a.y, b.y) - 0.5) - 1);
      for (let row = first; row <= last; row++) {
        const x = a.x + ((row + 0.5 - a.y) / (b.y - a.y)) * (b.x - a.x);
        const crossing = { x, turn: a.y < b.y ? 1 : -1 };
        const found = crossings.get(row);
        if (found) found.push(crossing);
        else crossings.set(row, [crossing]);
      }
    }
    for (const [row, found] of crossings) {
      found.sort((a, b) => a.x - b.x);
      let winding = 0;
      found.forEach(({ x, turn }, i) => {
        winding += turn;
        if (winding !== 0) this.span(row, x, found[i + 1].x, id);
      });
    }
    return bounds && this.clip(bounds.x0, bounds.y0, bounds.x1, bounds.y1);
  }

  /**
   * The bucket: everything of one id that hangs together with the pixel at the point.
   * @param {Point} point
   * @param {number} id
   */
  flood(point, id) {
    const { labels, width, height } = this;
    const old = this.at(point);
    if (old === null || old === id) return null;
    /** @type {Rect | null} */
    let bounds = null;
    const seeds = [Math.floor(point.y) * width + Math.floor(point.x)];
    for (let seed = seeds.pop(); seed !== undefined; seed = seeds.pop()) {
      if (labels[seed] !== old) continue;
      const row = Math.floor(seed / width);
      let start = seed;
      let end = seed + 1;
      while (start > row * width && labels[start - 1] === old) start--;
      while (end < (row + 1) * width && labels[end] === old) end++;
      labels.fill(id, start, end);
      bounds = unite(bounds, { x0: start - row * width, y0: row, x1: end - row * width, y1: row + 1 });
      for (const next of [row - 1, row + 1]) {
        if (next < 0 || next >= height) continue;
        const shift = (next - row) * width;
        for (let i = start + shift; i < end + shift; i++)
          if (labels[i] === old && (i === start + shift || labels[i - 1] !== old)) seeds.push(i);
      }
    }
    return bounds;
  }

  /**
   * All pixels that are 1 in `chosen`, a map of the sheet's size.
   * @param {Uint8Array} chosen
   * @param {number} id
   */
  mark(chosen, id) {
    for (let i = 0; i < chosen.length; i++) if (chosen[i]) this.labels[i] = id;
    return this.bounds;
  }

  /**
   * Exchanges two ids.
   * @param {number} a
   * @param {number} b
   */
  swap(a, b) {
    const { labels } = this;
    for (let i = 0; i < labels.length; i++) {
      if (labels[i] === a) labels[i] = b;
      else if (labels[i] === b) labels[i] = a;
    }
    return this.bounds;
  }

  /**
   * Widens the region of `id` by `distance` pixels in all directions.
   * @param {number} id
   * @param {number} distance
   */
  grow(id, distance) {
    const near = this.within(distance, (label) => label === id);
    for (let i = 0; i < near.length; i++) if (near[i]) this.labels[i] = id;
    return this.bounds;
  }

  /**
   * Takes `distance` pixels off the region of `id`; the edge of the picture takes nothing off.
   * @param {number} id
   * @param {number} distance
   */
  shrink(id, distance) {
    const near = this.within(distance, (label) => label !== id);
    for (let i = 0; i < near.length; i++) if (near[i] && this.labels[i] === id) this.labels[i] = this.empty;
    return this.bounds;
  }

  /**
   * 1 for each pixel that has a chosen pixel within `distance`.  A disc is a stack of rows: a pixel whose
   * column has a chosen one g rows away reaches sqrt(distance^2 - g^2) to both sides.
   * @param {number} distance
   * @param {(label: number) => boolean} chosen
   */
  within(distance, chosen) {
    const { labels, width, height } = this;
    const far = distance + 1;
    const gaps = new Uint16Array(labels.length);
    for (let i = 0; i < labels.length; i++)
      gaps[i] = chosen(labels[i]) ? 0 : Math.min(far, i < width ? far : gaps[i - width] + 1);
    for (let i = labels.length - width - 1; i >= 0; i--) gaps[i] = Math.min(gaps[i], gaps[i + width] + 1);
    const reach = Array.from({ length: far }, (_, gap) => Math.floor(Math.sqrt(distance ** 2 - gap ** 2)));
    const result = new Uint8Array(labels.length);
    const steps = new Int32Array(width + 1);
    for (let row = 0; row < height; row++) {
      steps.fill(0);
      for (let x = 0; x < width; x++) {
        const gap = gaps[row * width + x];
        if (gap > distance) continue;
        steps[Math.max(0, x - reach[gap])]++;
        steps[Math.min(width, x + reach[gap] + 1)]--;
      }
      for (let x = 0, open = 0; x < width; x++) {
        open += steps[x];
        result[row * width + x] = open > 0 ? 1 : 0;
      }
    }
    return result;
  }
}
