// Runs inside gr.HTML: `element`, `props`, `trigger` and `watch` are given.
// A list of models with a filter.  Everything is set as text, so names from files are only ever text.

/**
 * A model as app/tabs/model_list.py tells of it.
 * @typedef {object} Model
 * @property {string} name
 * @property {string} title
 * @property {boolean} usable
 * @property {string} what
 * @property {string} tasks
 * @property {string} size
 * @property {string} precision
 * @property {string} hash
 * @property {string} licence
 * @property {string} problem
 */
/** @typedef {{ items?: Model[], selected?: string, note?: string }} List */

const SHOWN = 200; // rows; more would make typing slow

const bar = document.createElement("div");
bar.className = "bar";
const filter = document.createElement("input");
filter.type = "search";
filter.placeholder = "Filter by name, family, licence …";
filter.setAttribute("aria-label", "Filter the models");
const count = document.createElement("span");
const rows = document.createElement("div");
rows.className = "rows";
rows.setAttribute("role", "group");
rows.setAttribute("aria-label", "Models");
bar.append(filter, count);
element.replaceChildren(bar, rows);

/** @type {(tag: "b" | "i" | "p" | "span", className: string, content: string) => HTMLElement} */
const text = (tag, className, content) => {
  const part = document.createElement(tag);
  part.className = className;
  part.textContent = content;
  return part;
};

/** @type {(item: Model, selected: string) => HTMLButtonElement} */
const make = (item, selected) => {
  const row = document.createElement("button");
  row.type = "button";
  row.dataset.id = item.name;
  row.setAttribute("aria-pressed", `${item.name === selected}`);
  if (!item.usable) row.classList.add("unusable");
  const picture = Object.assign(new Image(), { alt: "", loading: "lazy" });
  picture.src = `model-preview/${encodeURIComponent(item.name)}`;
  const head = document.createElement("span");
  head.className = "head";
  head.append(text("b", "", item.title || item.name), text("i", "", item.title ? item.name : ""));
  const facts = [item.what, item.size, item.precision, item.licence];
  const tasks = text("span", "tasks", item.tasks);
  tasks.title = item.tasks;
  row.append(picture, head, text("span", "facts", facts.filter(Boolean).join(" · ")), tasks);
  if (item.problem) row.append(text("span", "problem", item.problem));
  return row;
};

const draw = () => {
  const { items = [], selected = "", note = "" } = /** @type {List} */ (props.value || {});
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = items.filter((item) => {
    const all = Object.values(item).join(" ").toLowerCase();
    return words.every((word) => all.includes(word));
  });
  rows.replaceChildren(...fits.slice(0, SHOWN).map((item) => make(item, selected)));
  if (fits.length > SHOWN) rows.append(text("p", "more", `${fits.length - SHOWN} more: narrow the filter.`));
  if (!fits.length) rows.append(text("p", "more", items.length ? "No model fits the filter." : "No models yet."));
  if (note) rows.append(text("p", "more", note));
  count.textContent = fits.length === items.length ? `${items.length}` : `${fits.length} of ${items.length}`;
};

filter.addEventListener("input", draw);
rows.addEventListener("click", (event) => {
  const row = event.target instanceof Element ? event.target.closest("button") : null;
  if (!row) return;
  for (const other of rows.querySelectorAll("button")) other.setAttribute("aria-pressed", `${other === row}`);
  trigger("pick", { id: row.dataset.id });
});

watch("value", draw);
draw();
