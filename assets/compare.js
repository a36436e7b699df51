// Runs inside gr.HTML: `element`, `props` and `watch` are given.
// Two pictures on top of each other, the first seen left of a line that is dragged.  They are zoomed together
// by the wheel (or + - 0) and dragged together; a double click fits them again.

/** @typedef {{ before: { url: string }, after: { url: string } }} Comparison */

const before = Object.assign(document.createElement("img"), { alt: "Before" });
const after = Object.assign(document.createElement("img"), { alt: "After" });
const halves = [before, after].map((picture) => {
  const half = Object.assign(document.createElement("div"), { className: "half" });
  half.append(picture);
  return half;
});
const line = Object.assign(document.createElement("div"), {
  className: "line",
  tabIndex: 0,
  title: "Drag to compare; wheel to zoom",
});
line.setAttribute("role", "slider");
line.setAttribute("aria-label", "Before and after");
line.setAttribute("aria-valuemin", "0");
line.setAttribute("aria-valuemax", "100");

let split = 0.5;
let zoom = 1;
let [x, y] = [0, 0]; // of the pictures' corner, in pixels of the page

const place = () => {
  const { width, height } = element.getBoundingClientRect();
  x = Math.min(0, Math.max(x, width * (1 - zoom)));
  y = Math.min(0, Math.max(y, height * (1 - zoom)));
  for (const picture of [before, after]) picture.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
  halves[0].style.clipPath = `inset(0 ${100 * (1 - split)}% 0 0)`;
  halves[1].style.clipPath = `inset(0 0 0 ${100 * split}%)`;
  line.style.left = `${100 * split}%`;
  line.setAttribute("aria-valuenow", `${Math.round(100 * split)}`);
};

/**
 * @param {number} factor
 * @param {number} [clientX]  of what stays where it is; else the middle
 * @param {number} [clientY]
 */
const zoomBy = (factor, clientX, clientY) => {
  const box = element.getBoundingClientRect();
  const [px, py] = [(clientX ?? box.x + box.width / 2) - box.x, (clientY ?? box.y + box.height / 2) - box.y];
  const wanted = Math.min(32, Math.max(1, zoom * factor));
  [x, y] = [px - ((px - x) * wanted) / zoom, py - ((py - y) * wanted) / zoom];
  zoom = wanted;
  place();
};
const fit = () => {
  [zoom, x, y] = [1, 0, 0];
  place();
};
const divide = (/** @type {number} */ at) => {
  split = Math.min(1, Math.max(0, at));
  place();
};

element.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
});
element.addEventListener("dblclick", fit);
element.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  const onLine = event.target === line;
  element.setPointerCapture(event.pointerId);
  const move = (/** @type {PointerEvent} */ moved) => {
    const box = element.getBoundingClientRect();
    if (onLine) {
      divide((moved.clientX - box.x) / box.width);
      return;
    }
    x += moved.movementX;
    y += moved.movementY;
    place();
  };
  const end = () => {
    element.removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
  };
  element.addEventListener("pointermove", move);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
});
/** @type {Record<string, () => void>} */
const acts = {
  ArrowLeft: () => divide(split - 0.02),
  ArrowRight: () => divide(split + 0.02),
  Home: () => divide(0),
  End: () => divide(1),
  "+": () => zoomBy(1.25),
  "=": () => zoomBy(1.25),
  "-": () => zoomBy(0.8),
  0: fit,
};
line.addEventListener("keydown", (event) => {
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

const draw = () => {
  const shown = /** @type {Comparison | null} */ (props.value || null);
  if (!shown) {
    element.replaceChildren();
    return;
  }
  if (before.src !== shown.before.url) before.src = shown.before.url;
  if (after.src !== shown.after.url) {
    after.src = shown.after.url;
    split = 0.5;
  }
  element.classList.add("compare");
  element.replaceChildren(...halves, line);
  fit();
};
new ResizeObserver(place).observe(element);
watch("value", draw);
draw();
