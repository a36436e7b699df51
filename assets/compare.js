// Runs inside gr.HTML: `element`, `props` and `watch` are given.
// Two pictures on top of each other, the first seen left of a line that is dragged.  They are zoomed and
// dragged together (assets/viewport.js).

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
const zoom = window.atelierViewport.zoomable(element, () => [before, after]);

const divide = (/** @type {number} */ at) => {
  split = Math.min(1, Math.max(0, at));
  halves[0].style.clipPath = `inset(0 ${100 * (1 - split)}% 0 0)`;
  halves[1].style.clipPath = `inset(0 0 0 ${100 * split}%)`;
  line.style.left = `${100 * split}%`;
  line.setAttribute("aria-valuenow", `${Math.round(100 * split)}`);
};

line.addEventListener("pointerdown", (event) => line.setPointerCapture(event.pointerId));
line.addEventListener("pointermove", (event) => {
  const box = element.getBoundingClientRect();
  if (line.hasPointerCapture(event.pointerId)) divide((event.clientX - box.x) / box.width);
});
/** @type {Record<string, () => void>} */
const acts = {
  ArrowLeft: () => divide(split - 0.02),
  ArrowRight: () => divide(split + 0.02),
  Home: () => divide(0),
  End: () => divide(1),
  "+": () => zoom.by(1.25),
  "=": () => zoom.by(1.25),
  "-": () => zoom.by(0.8),
  0: zoom.fit,
  1: zoom.own,
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
    divide(0.5);
  }
  element.classList.add("compare");
  element.replaceChildren(...halves, line);
  zoom.fit();
};
watch("value", draw);
draw();
