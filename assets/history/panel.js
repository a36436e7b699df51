// What is known of one picture, and what can be done with it.

import { make } from "../canvas/dom.js";
import { file, get, thumb } from "./api.js";
import { button, select } from "./parts.js";
import { taskName } from "./search.js";

/** @import { Details, Item } from "./api.js" */
/** @import { Actions } from "./actions.js" */

const REST = 90; // milliseconds that a picture is looked at before all about it is fetched
const HINTS = /** @type {[string, string][]} */ ([
  ["Click", "a picture to see how it was made"],
  ["Double click", "to see it large; also Enter"],
  ["Shift, Ctrl", "with a click: choose several"],
  ["S", "star"],
  ["Delete", "to the trash, from where it comes back"],
  ["Ctrl+Z", "undo that"],
]);

/**
 * @typedef {object} Doing  what the panel asks of the tab
 * @property {(item: Item) => void} look
 * @property {(id: number, tab: string) => void} open  "" is the tab that made it
 * @property {(details: Details) => void} boards
 * @property {() => void} close
 */

export class Panel {
  /**
   * @param {Actions} actions
   * @param {[title: string, name: string][]} tabs  that take a picture
   * @param {Doing} doing
   */
  constructor(actions, tabs, doing) {
    this.actions = actions;
    this.tabs = tabs;
    this.doing = doing;
    this.isPrivate = false;
    this.timer = 0;
    /** @type {Item | null} */
    this.item = null;
    this.ask = new AbortController();
    this.element = make("aside", { class: "panel", "aria-label": "The chosen picture" });
    this.hint();
  }

  hint() {
    const lines = HINTS.flatMap(([keys, words]) => [make("dt", {}, make("kbd", {}, keys)), make("dd", {}, words)]);
    this.element.replaceChildren(make("dl", { class: "hints" }, ...lines));
  }

  /** @param {Item | null} item */
  show(item) {
    const same = item !== null && this.item?.id === item.id && this.item.digest === item.digest;
    this.item = item;
    clearTimeout(this.timer);
    this.ask.abort();
    if (!item) {
      this.hint();
      return;
    }
    if (!same) this.begin(item);
    this.timer = setTimeout(() => this.fetch(item), same ? 0 : REST);
  }

  /** @param {Item} item */
  begin(item) {
    const image = make("img", { alt: "", src: thumb(item), draggable: "false" });
    const look = make(
      "button",
      { type: "button", class: "preview", "aria-label": "See it large", onclick: () => this.doing.look(item) },
      image
    );
    image.style.aspectRatio = `${item.width} / ${item.height}`;
    const close = button("close", "Back to the pictures", this.doing.close, { class: "back" });
    this.facts = make("div", { class: "facts" }, make("p", { class: "words" }, item.words || item.name));
    this.element.replaceChildren(close, look, this.facts);
    this.element.scrollTop = 0;
  }

  /** @param {Item} item */
  async fetch(item) {
    this.ask = new AbortController();
    const image = /** @type {HTMLImageElement | null} */ (this.element.querySelector(".preview img"));
    if (image && !image.src.includes("/file/")) {
      const whole = new Image();
      whole.onload = () => (image.src = whole.src);
      whole.src = file(item);
    }
    /** @type {Details | null} */
    const details = await get(`details/${item.id}`, this.ask.signal).catch(() => null);
    if (details && this.item?.id === item.id) this.fill(details);
  }

  /** @param {Details} details */
  fill(details) {
    const { id } = details;
    const row = details.trashed
      ? [
          button("restore", "Restore", () => this.actions.restore([id]), { words: true }),
          button("trash", "Delete for good", () => this.actions.erase([id], 1), { words: true }),
        ]
      : [
          button("star", details.starred ? "Take the star" : "Star", () => this.actions.star([id], !details.starred), {
            keys: "S",
            class: details.starred ? "on" : "",
          }),
          button("board", "Boards", () => this.doing.boards(details)),
          button("save", "Export", () => this.actions.export([id])),
          ...(this.isPrivate ? [button("folder", "Show in folder", () => this.actions.show(id))] : []),
          button("trash", "To the trash", () => this.actions.trash([id]), { keys: "Delete" }),
        ];
    const choices = /** @type {[string, string][]} */ ([
      ["", "Send to…"],
      ...this.tabs.map(([title, name]) => [name, title]),
    ]);
    const send = select("Send the picture to another tab", choices, (tab) => {
      if (tab) this.doing.open(id, tab);
      send.value = "";
    });
    const open = make(
      "button",
      { type: "button", class: "worded main", onclick: () => this.doing.open(id, "") },
      details.settings.length ? `Open in ${taskName(details.task)}` : "Show on the stage"
    );
    const day = new Date(1000 * details.created).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const facts = /** @type {[string, string][]} */ ([
      ...details.settings,
      ["Size", `${details.width} × ${details.height}, ${details.bytes}`],
      ["Made", day],
      ["File", details.path],
    ]);
    this.facts?.replaceChildren(
      ...(details.trashed ? [] : [make("div", { class: "row" }, open, send)]),
      make("div", { class: "row tools" }, ...row),
      ...details.notes.map((note) => make("p", { class: "note" }, note)),
      make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))
    );
  }
}
