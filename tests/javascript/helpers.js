// What several tests use.

// Random whole numbers below `limit`, the same each time (mulberry32).
export const random = (seed) => {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
};

// A label map with patches of few ids, as people paint them.
export const painted = (draw, width, height, ids = [0, 1, 2, 255]) => {
  const labels = new Uint8Array(width * height).fill(255);
  for (let i = 0; i < 6; i++) {
    const [x0, y0] = [draw(width), draw(height)];
    const [x1, y1] = [x0 + 1 + draw(width - x0), y0 + 1 + draw(height - y0)];
    const id = ids[draw(ids.length)];
    for (let y = y0; y < y1; y++) labels.fill(id, y * width + x0, y * width + x1);
  }
  return labels;
};

// The rows of a map as text, one letter a pixel: its id, "." where nothing is painted.
export const drawn = ({ labels, width, height, empty }) =>
  Array.from({ length: height }, (_, y) =>
    [...labels.subarray(y * width, (y + 1) * width)].map((id) => (id === empty ? "." : id)).join("")
  );

// A 2D context that notes what is called and set on it.
export const noting = () => {
  const calls = [];
  const context = new Proxy(
    {},
    {
      get: (_, name) => (...values) => {
        calls.push([name, ...values]);
        return name === "measureText" ? { width: 10 } : undefined;
      },
      set: (_, name, value) => {
        calls.push([name, value]);
        return true;
      },
    }
  );
  return { context, calls, called: (name) => calls.filter(([one]) => one === name).map(([, ...values]) => values) };
};
