// Runs inside gr.HTML: `element`, `props`, `trigger` and `watch` are given.
// The list of jobs.  Rows are moved by dragging, by their buttons or by Alt+arrows; everything is set as text.

/** @typedef {{ id: string, state: string, words: string, text: string, src: string }} Row */
/**
 * @typedef {object} Listed
 * @property {Row[]} rows
 * @property {number} open
 * @property {boolean} paused
 * @property {boolean} endless
 * @property {[count: number, seconds: number, text: string]} ended
 * @property {string} note
 */

const LONG = 10; // seconds; of shorter work nobody wants to be told
const KEY = "latent-atelier.tell";

/** @type {(className: string, textContent: string, title: string) => HTMLButtonElement} */
const button = (className, textContent, title) =>
  Object.assign(document.createElement("button"), { type: /** @type {const} */ ("button"), className, textContent, title });
/** @type {(tag: "div" | "span" | "p" | "ol", className: string, textContent?: string) => HTMLElement} */
const part = (tag, className, textContent = "") =>
  Object.assign(document.createElement(tag), { className, textContent });

const bar = part("div", "bar");
const halt = button("halt", "Pause", "The job that runs is finished; the next one waits");
const clear = button("clear", "Cancel all", "Stops what runs and takes off what waits");
const endless = button("endless", "Generate until I stop", "The last job again and again, each time with a new seed");
const tell = button("tell", "Tell me", "A sound and a notification when long work is done");
bar.append(halt, clear, endless, tell);
const rows = part("ol", "rows");
rows.setAttribute("aria-label", "Jobs");
const note = part("p", "note");
const said = part("p", "said");
said.setAttribute("aria-live", "polite");
element.replaceChildren(bar, rows, note, said);

/** @type {Listed} */
let listed = { rows: [], open: 0, paused: false, endless: false, ended: [0, 0, ""], note: "" };
/** @type {string | null} */
let dragged = null;

const act = (/** @type {string} */ what, detail = {}) => trigger("act", { do: what, ...detail });
const waiting = () => listed.rows.filter((row) => row.state === "waiting");
const placeOf = (/** @type {string} */ id) => waiting().findIndex((row) => row.id === id);
/** @type {(id: string, to: number) => void} */
const move = (id, to) => {
  if (to < 0 || to >= waiting().length) return;
  said.textContent = `Place ${to + 1} of ${waiting().length}`;
  act("move", { id, to });
};

/** @type {Record<string, [className: string, sign: string, title: string, press: (id: string) => void][]>} */
const TOOLS = {
  waiting: [
    ["up", "↑", "Earlier (Alt+↑)", (id) => move(id, placeOf(id) - 1)],
    ["down", "↓", "Later (Alt+↓)", (id) => move(id, placeOf(id) + 1)],
    ["cancel", "×", "Cancel (Delete)", (id) => act("cancel", { id })],
  ],
  running: [["cancel", "Stop", "Stops it", (id) => act("cancel", { id })]],
  interrupted: [
    ["again", "Make it", "Makes what is left of it", (id) => act("again", { id })],
    ["cancel", "×", "Take it off the list", (id) => act("cancel", { id })],
  ],
  ended: [
    ["again", "Repeat", "Makes it again as it was", (id) => act("again", { id })],
    ["cancel", "×", "Take it off the list", (id) => act("cancel", { id })],
  ],
};

const make = (/** @type {Row} */ row) => {
  const line = part("div", "");
  const item = Object.assign(document.createElement("li"), { className: row.state });
  item.dataset.id = row.id;
  const show = button("show", "", "Show it");
  const picture = Object.assign(document.createElement("img"), { alt: "", hidden: true });
  const words = part("div", "words");
  words.append(part("span", "what"), part("span", "how"));
  show.append(picture, words);
  line.className = "tools";
  for (const [className, sign, title, press] of TOOLS[row.state] ?? TOOLS.ended) {
    const tool = button(className, sign, title);
    // What is read is heard first.
    tool.setAttribute("aria-label", /^\w/.test(sign) && !title.startsWith(sign) ? `${sign}: ${title}` : title);
    tool.addEventListener("click", () => press(row.id));
    line.append(tool);
  }
  item.append(show, line);
  show.addEventListener("click", () => act("show", { id: row.id }));
  if (row.state === "waiting") connect(item, row.id);
  item.addEventListener("keydown", (event) => {
    if (event.key !== "Delete" || row.state === "running") return;
    act("cancel", { id: row.id });
    event.preventDefault();
    event.stopPropagation();
  });
  return item;
};

/** @type {(item: HTMLLIElement, id: string) => void} */
const connect = (item, id) => {
  item.draggable = true;
  item.addEventListener("dragstart", (event) => {
    dragged = id;
    event.dataTransfer?.setData("text/plain", "");
    item.classList.add("dragged");
  });
  item.addEventListener("dragend", () => {
    dragged = null;
    item.classList.remove("dragged");
  });
  item.addEventListener("dragover", (event) => {
    if (dragged) event.preventDefault();
  });
  item.addEventListener("drop", (event) => {
    event.preventDefault();
    if (dragged && dragged !== id) move(dragged, placeOf(id));
  });
  item.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !event.altKey) return;
    move(id, placeOf(id) + by);
    event.preventDefault();
    event.stopPropagation();
  });
};

/** @type {(item: Element, row: Row) => void} */
const fill = (item, row) => {
  const [what, how] = [".what", ".how"].map((one) => item.querySelector(one));
  if (what && what.textContent !== row.words) what.textContent = row.words;
  if (how && how.textContent !== row.text) how.textContent = row.text;
  const picture = item.querySelector("img");
  if (!picture) return;
  picture.hidden = !row.src.startsWith("data:image/");
  if (!picture.hidden && picture.src !== row.src) picture.src = row.src;
};

const draw = () => {
  const before = listed;
  listed = /** @type {Listed} */ (props.value || listed);
  const old = new Map([...rows.children].map((item) => [`${item.getAttribute("data-id")} ${item.className}`, item]));
  const focused = rows.contains(document.activeElement) ? document.activeElement : null;
  const now = listed.rows.map((row) => {
    const item = old.get(`${row.id} ${row.state}`) ?? make(row);
    fill(item, row);
    return item;
  });
  if (now.some((item, i) => rows.children[i] !== item) || rows.children.length !== now.length) rows.replaceChildren(...now);
  if (focused instanceof HTMLElement && focused.isConnected) focused.focus();
  halt.textContent = listed.paused ? "Go on" : "Pause";
  halt.setAttribute("aria-pressed", `${listed.paused}`);
  endless.setAttribute("aria-pressed", `${listed.endless}`);
  clear.disabled = !listed.open;
  note.textContent = [listed.paused ? "Paused: nothing new is begun." : "", listed.note].filter(Boolean).join(" ");
  element.classList.toggle("empty", !now.length);
  document.querySelector("#queue-fold")?.replaceChildren(listed.open ? `Queue ${listed.open}` : "Queue");
  const asked = listed.rows.some((row) => row.state === "interrupted");
  document.querySelector("#queue-fold")?.classList.toggle("asks", asked);
  if (listed.ended[0] > before.ended[0] && before.ended[0] >= first) announce(listed.ended);
  if (first === Infinity && props.value) first = listed.ended[0];
};

// The end of long work ------------------------------------------------------------------------------------

let first = Infinity; // what ended before this page was there is no news
let on = false;
try {
  on = localStorage.getItem(KEY) === "on";
} catch {
  // a browser that keeps nothing
}
/** @type {AudioContext | null} */
let sound = null;

const setTell = (/** @type {boolean} */ wanted) => {
  on = wanted;
  tell.setAttribute("aria-pressed", `${on}`);
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // it lasts until the page is closed
  }
};
const play = () => {
  sound ??= new AudioContext();
  const start = sound.currentTime;
  [523.25, 783.99].forEach((pitch, i) => {
    if (!sound) return;
    const [tone, volume] = [sound.createOscillator(), sound.createGain()];
    const at = start + i * 0.18;
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0, at);
    volume.gain.linearRampToValueAtTime(0.12, at + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.001, at + 0.5);
    tone.connect(volume).connect(sound.destination);
    tone.start(at);
    tone.stop(at + 0.5);
  });
};
const announce = (/** @type {[number, number, string]} */ [, seconds, text]) => {
  if (!on || seconds < LONG) return;
  play();
  const may = "Notification" in window && Notification.permission === "granted";
  if (may && document.hidden) new Notification("Latent Atelier", { body: text, tag: "latent-atelier" });
};

tell.addEventListener("click", () => {
  setTell(!on);
  if (!on) return;
  play(); // so that it is known, and the browser allows it later
  if ("Notification" in window && Notification.permission === "default") Notification.requestPermission();
});
halt.addEventListener("click", () => act("pause", { on: !listed.paused }));
endless.addEventListener("click", () => act("repeat", { on: !listed.endless }));
clear.addEventListener("click", () => act("clear"));
setTell(on);
watch("value", draw);
draw();
