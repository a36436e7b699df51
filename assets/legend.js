// Runs inside gr.HTML: `element`, `props` and `watch` are given.
// A grid as it fills, over the stage.

/** @typedef {{ id: string, done: number, count: number, pages: number }} Progress */

const line = Object.assign(document.createElement("p"), { className: "how-far" });
let last = "";
/** @type {Progress | null} */
let shown = null;

/** @type {(link: HTMLAnchorElement, page: number, progress: Progress) => void} */
const fill = (link, page, progress) => {
  const [picture] = link.children;
  if (!(picture instanceof HTMLImageElement)) return;
  link.href = `prompting/grid/${progress.id}/${page}`;
  picture.alt = `The grid, ${progress.done} of ${progress.count} pictures`;
  // What is seen stays until the next one is there.
  const next = Object.assign(new Image(), { src: `${link.href}?${progress.done}` });
  next.decode().then(
    () => {
      if (shown === progress) picture.src = next.src;
    },
    () => {} // it is gone
  );
};

const make = () => {
  const link = Object.assign(document.createElement("a"), { target: "_blank", title: "Open it large" });
  link.append(document.createElement("img"));
  return link;
};

const draw = () => {
  const progress = (shown = /** @type {Progress | null} */ (props.value || null));
  if (!progress) {
    if (last) window.latentAtelier.showGrid(false);
    element.replaceChildren();
    last = "";
    return;
  }
  const isNew = progress.id !== last;
  if (isNew) element.replaceChildren(line, ...Array.from({ length: progress.pages }, make));
  last = progress.id;
  line.textContent = `${progress.done} of ${progress.count} pictures`;
  element.querySelectorAll("a").forEach((link, page) => fill(link, page, progress));
  // Who asks for a grid wants to see it; the stage is one press away.
  if (isNew && progress.done < progress.count) window.latentAtelier.showGrid(true);
};

watch("value", draw);
draw();
