// Runs inside gr.HTML: `element`, `props`, `trigger`, `server` and `watch` are given.
// A slider over a picture's steps.  While it moves previews are seen over the picture, when it rests the step
// itself, decoded; at its right end the picture as it is.  Tells "branch", "pause" and "proceed".

const make = (name, className, more = {}) =>
  Object.assign(document.createElement(name), { className, ...more });
const button = (className, textContent, title) =>
  make("button", `sm secondary ${className}`, { type: "button", textContent, title });

const past = make("img", "past", { alt: "", hidden: true });
const bar = make("div", "steps");
const slider = make("input", "", { type: "range", min: 0, title: "Drag to look back at the picture's steps" });
slider.setAttribute("aria-label", "Steps");
const said = make("span", "said");
said.setAttribute("aria-live", "polite");
const halt = button("halt", "Pause", "Halts after this step; then change the words or the map, and continue");
const branch = button(
  "branch",
  "Branch from here",
  "Goes on from this step with the settings as they are now: other words, another variation, mask or map"
);
const save = button("save", "Save the steps", "Downloads the steps as a small film (animated WebP)");
const film = button("film", "MP4", "Downloads the steps as a film for programs that show no WebP (MP4, VP9)");
const uses = make("div", "uses");
uses.append(branch, save, film);
bar.append(halt, slider, said, uses);
element.append(past, bar);

let shown = null; // what Python shows: { key, done, total, state }
let at = 0; // the step in sight
let back = false; // whether that is an earlier one than the newest
let previews = []; // [step, address], in order
let loading = false;

const place = () => {
  slider.max = shown.total;
  slider.value = at;
  slider.setAttribute("aria-valuetext", `Step ${at} of ${shown.total}`);
  said.textContent = `${at} / ${shown.total}`;
  said.classList.remove("problem");
  halt.hidden = shown.state === "finished";
  halt.textContent = shown.state === "paused" ? "Continue" : "Pause";
  branch.disabled = at >= shown.total;
  past.hidden = !back;
};
const complain = (problem) => {
  said.textContent = problem;
  said.classList.add("problem");
};
// What the server answers, or undefined where it says why not, or where another picture is shown by now.
const ask = async (question) => {
  const { key } = shown;
  const got = await question.catch(() => ({ problem: "The program does not answer." }));
  if (shown?.key !== key) return undefined;
  if (got.problem) complain(got.problem);
  return got.problem ? undefined : got;
};

const load = async () => {
  const reach = previews.at(-1)?.[0] ?? -1;
  if (loading || !shown || reach >= shown.done) return;
  loading = true;
  const got = await ask(server.previews(shown.key));
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
  const wanted = at;
  const got = back && (await ask(server.look({ key: shown.key, step: wanted })));
  if (!got || !back || at !== wanted) return;
  at = got.step;
  place();
  past.src = got.src;
  past.dataset.decoded = at;
};

slider.addEventListener("pointerenter", load);
slider.addEventListener("focus", load);
slider.addEventListener("input", () => {
  at = Math.min(slider.valueAsNumber, shown.done);
  back = at < shown.done;
  if (back) showPreview();
  place();
  load();
});
slider.addEventListener("change", decode);
halt.addEventListener("click", () => trigger(shown.state === "paused" ? "proceed" : "pause"));
// A step is kept when it is done, so from the one under way a branch begins at the one before.
const kept = () => (shown.state === "finished" ? at : Math.min(at, shown.done - 1));
branch.addEventListener("click", () => trigger("branch", { key: shown.key, step: kept() }));
for (const [control, kind] of [[save, "webp"], [film, "mp4"]])
  control.addEventListener("click", async () => {
    control.disabled = true;
    const got = await ask(server.animation({ key: shown.key, kind }));
    control.disabled = false;
    if (!got) return;
    const file = URL.createObjectURL(await (await fetch(got.src)).blob());
    make("a", "", { href: file, download: got.name }).click();
    setTimeout(() => URL.revokeObjectURL(file), 10_000);
  });

const draw = () => {
  const { key } = shown || {};
  shown = props.value || null;
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
