// Runs inside gr.HTML: `element`, `props`, `trigger`, `server` and `watch` are given.
// A slider over a picture's steps.  While it moves previews are seen over the picture, when it rests the step
// itself, decoded; at its right end the picture as it is.  Tells "branch", "pause" and "proceed".

/** @typedef {{ key: string, done: number, total: number, state: "running" | "paused" | "finished" }} Shown */

/** @type {(className: string, textContent: string, title: string) => HTMLButtonElement} */
const button = (className, textContent, title) =>
  Object.assign(document.createElement("button"), {
    type: /** @type {const} */ ("button"),
    className: `sm secondary ${className}`,
    textContent,
    title,
  });
const past = Object.assign(document.createElement("img"), { className: "past", alt: "", hidden: true });
const bar = Object.assign(document.createElement("div"), { className: "steps" });
const slider = Object.assign(document.createElement("input"), {
  type: "range",
  min: "0",
  title: "Drag to look back at the picture's steps",
});
slider.setAttribute("aria-label", "Steps");
const said = Object.assign(document.createElement("span"), { className: "said" });
said.setAttribute("aria-live", "polite");
const halt = button("halt", "Pause", "Halts after this step; then change the words or the map, and continue");
const branch = button(
  "branch",
  "Branch from here",
  "Goes on from this step with the settings as they are now: other words, another seed, mask or map"
);
const save = button("save", "Save the steps", "Downloads the steps as a small film (animated WebP)");
const film = button("film", "MP4", "Downloads the steps as a film for programs that show no WebP (MP4, VP9)");
const uses = Object.assign(document.createElement("div"), { className: "uses" });
uses.append(branch, save, film);
bar.append(halt, slider, said, uses);
element.append(past, bar);

/** @type {Shown | null} */
let shown = null; // what Python shows
let at = 0; // the step in sight
let back = false; // whether that is an earlier one than the newest
/** @type {[step: number, address: string][]} */
let previews = []; // in order
let loading = false;

const place = () => {
  if (!shown) return;
  slider.max = `${shown.total}`;
  slider.value = `${at}`;
  slider.setAttribute("aria-valuetext", `Step ${at} of ${shown.total}`);
  said.textContent = `${at} / ${shown.total}`;
  said.classList.remove("problem");
  halt.hidden = shown.state === "finished";
  halt.textContent = shown.state === "paused" ? "Continue" : "Pause";
  branch.disabled = at >= shown.total;
  past.hidden = !back;
};
const complain = (/** @type {string} */ problem) => {
  said.textContent = problem;
  said.classList.add("problem");
};
/**
 * What the server answers about a picture; undefined where it says why not, or where another one is shown by now.
 * @template {object} Answer
 * @param {string} key
 * @param {Promise<Answer | Problem>} question
 * @returns {Promise<Answer | undefined>}
 */
const ask = async (key, question) => {
  const got = await question.catch(() => ({ problem: "The program does not answer." }));
  if (shown?.key !== key) return undefined;
  if (!("problem" in got)) return got;
  complain(got.problem);
  return undefined;
};

const load = async () => {
  const reach = previews.at(-1)?.[0] ?? -1;
  if (loading || !shown || reach >= shown.done) return;
  loading = true;
  const got = await ask(shown.key, server.previews(shown.key));
  loading = false;
  if (!got) return;
  ({ previews } = got);
  if (back && past.dataset.decoded !== String(at)) showPreview();
};
const showPreview = () => {
  const seen = previews.findLast(([step]) => step <= at);
  delete past.dataset.decoded;
  if (seen) past.src = seen[1];
};
const decode = async () => {
  if (!shown || !back) return;
  const wanted = at;
  const got = await ask(shown.key, server.look({ key: shown.key, step: wanted }));
  if (!got || !back || at !== wanted) return;
  at = got.step;
  place();
  past.src = got.src;
  past.dataset.decoded = `${at}`;
};

slider.addEventListener("pointerenter", load);
slider.addEventListener("focus", load);
slider.addEventListener("input", () => {
  if (!shown) return;
  at = Math.min(slider.valueAsNumber, shown.done);
  back = at < shown.done;
  if (back) showPreview();
  place();
  load();
});
slider.addEventListener("change", decode);
halt.addEventListener("click", () => trigger(shown?.state === "paused" ? "proceed" : "pause"));
branch.addEventListener("click", () => {
  if (!shown) return;
  // A step is kept when it is done, so from the one under way a branch begins at the one before.
  const step = shown.state === "finished" ? at : Math.min(at, shown.done - 1);
  trigger("branch", { key: shown.key, step });
});
/** @type {(control: HTMLButtonElement, kind: "webp" | "mp4") => Promise<void>} */
const download = async (control, kind) => {
  if (!shown) return;
  control.disabled = true;
  const got = await ask(shown.key, server.animation({ key: shown.key, kind }));
  control.disabled = false;
  if (!got) return;
  const file = URL.createObjectURL(await (await fetch(got.src)).blob());
  Object.assign(document.createElement("a"), { href: file, download: got.name }).click();
  setTimeout(() => URL.revokeObjectURL(file), 10_000);
};
save.addEventListener("click", () => download(save, "webp"));
film.addEventListener("click", () => download(film, "mp4"));

const draw = () => {
  const key = shown?.key;
  shown = /** @type {Shown | null} */ (props.value || null);
  bar.hidden = !shown;
  if (shown?.key !== key) {
    previews = [];
    back = false;
    save.disabled = film.disabled = false;
  }
  if (!shown) {
    past.hidden = true;
    return;
  }
  if (!back || at >= shown.done) {
    at = shown.done;
    back = false;
  }
  place();
};
watch("value", draw);
draw();
