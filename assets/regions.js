// Runs inside gr.HTML: `element`, `props` and `watch` are given.
// A prompt for each class that is painted, or box that is drawn, on the canvas of the same tab.
//
// `prompts` has all that were ever written, by the class's name or the box's id, so that they come back with the
// class; `here` names those whose parts are there now.

/** @typedef {{ text: string, weight: number }} Prompt */
/** @typedef {{ prompts: Record<string, Prompt>, here: string[] }} Prompts */
/** @typedef {{ root: HTMLElement, swatch: HTMLElement, name: HTMLElement, text: HTMLTextAreaElement, weight: HTMLInputElement }} Row */

const WEIGHTS = { min: 0.1, max: 5, step: 0.1 };
const canvas = `${element.closest("[id$='-regions']")?.id.replace(/-regions$/, "")}-canvas`;
const list = Object.assign(document.createElement("div"), { className: "region-rows" });
const empty = Object.assign(document.createElement("p"), {
  className: "note",
  textContent:
    canvas === "layout-canvas"
      ? "Draw boxes: each can say here what it holds. Left empty, it follows the prompt."
      : "Paint: each class can say here what is to be there. Left empty, it follows the prompt.",
});
/** @type {Map<string, Row>} */
const rows = new Map();

/** @returns {Prompts} */
const value = () => {
  const { prompts, here } = /** @type {Partial<Prompts>} */ (props.value ?? {});
  return { prompts: prompts ?? {}, here: here ?? [] };
};

/** @type {(key: string) => Row} */
const makeRow = (key) => {
  const root = Object.assign(document.createElement("div"), { className: "region" });
  const head = Object.assign(document.createElement("label"), { className: "region-head" });
  const [swatch, name] = [document.createElement("i"), document.createElement("span")];
  const text = Object.assign(document.createElement("textarea"), { rows: 1, placeholder: "As the prompt" });
  const weight = Object.assign(document.createElement("input"), { type: "number", ...WEIGHTS });
  weight.title = "Weight: how much it counts beside the prompt";
  const write = () => {
    const { prompts, here } = value();
    const much = weight.valueAsNumber;
    const own = { text: text.value, weight: much >= 0.01 && much <= 10 ? much : 1 };
    props.value = { prompts: { ...prompts, [key]: own }, here };
    root.classList.toggle("said", text.value.trim() !== "");
  };
  text.addEventListener("input", write);
  weight.addEventListener("input", write);
  head.append(swatch, name);
  root.append(head, weight, text);
  return { root, swatch, name, text, weight };
};

const fill = () => {
  const { prompts } = value();
  for (const [key, { root, text, weight }] of rows) {
    const own = prompts[key] ?? { text: "", weight: 1 };
    if (text.value !== own.text) text.value = own.text;
    if (weight.valueAsNumber !== own.weight && document.activeElement !== weight) weight.valueAsNumber = own.weight;
    root.classList.toggle("said", own.text.trim() !== "");
  }
};

const draw = () => {
  const parts = window.latentAtelier.parts[canvas] ?? [];
  for (const key of [...rows.keys()])
    if (!parts.some((part) => part.key === key)) {
      rows.get(key)?.root.remove();
      rows.delete(key);
    }
  parts.forEach(({ key, name, colour }, place) => {
    const row = rows.get(key) ?? makeRow(key);
    rows.set(key, row);
    row.swatch.style.background = colour;
    row.name.textContent = name;
    row.text.setAttribute("aria-label", `Prompt of ${name}`);
    row.weight.setAttribute("aria-label", `Weight of ${name}`);
    // One that stands in its place stays, and so keeps the keyboard.
    if (list.children[place] !== row.root) list.insertBefore(row.root, list.children[place] ?? null);
  });
  empty.hidden = parts.length > 0;
  fill();
  const here = parts.map(({ key }) => key);
  if (JSON.stringify(here) !== JSON.stringify(value().here)) props.value = { ...value(), here };
};

const title = Object.assign(document.createElement("p"), { className: "title", textContent: props.label ?? "" });
list.setAttribute("role", "group");
list.setAttribute("aria-label", props.label ?? "");
element.replaceChildren(title, empty, list);
document.addEventListener("parts", draw);
watch("value", draw);
draw();
