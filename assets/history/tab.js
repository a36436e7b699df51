// The tab of all pictures.

import { make } from "../canvas/dom.js";
import { Actions } from "./actions.js";
import { get, post } from "./api.js";
import { Grid } from "./grid.js";
import { Items } from "./items.js";
import { listenToKeys } from "./keys.js";
import { Panel } from "./panel.js";
import { Toast, button, icon, plural } from "./parts.js";
import { Pointing } from "./pointing.js";
import { Search } from "./search.js";
import { Selection } from "./selection.js";
import { Shelves } from "./shelves.js";
import { Viewer } from "./viewer.js";

/** @import { Choices, Item, State } from "./api.js" */

const LOOK = 1500; // milliseconds between two looks for what is new
const SIZES = [112, 168, 240];

/**
 * @typedef {object} Settings
 * @property {[title: string, name: string][]} tabs  that take a picture
 */

export class Tab {
  /**
   * @param {ShadowRoot} root
   * @param {Settings} settings
   * @param {(event: string, detail: object) => void} trigger
   */
  constructor(root, settings, trigger) {
    this.trigger = trigger;
    this.revision = 0;
    this.asked = 0;
    this.size = 1;
    this.inTrash = false;
    /** @type {Choices | null} */
    this.choices = null;
    this.toast = new Toast();
    this.selection = new Selection();
    this.items = new Items(async (ids) => (await get(`items?ids=${ids}`)).items);
    this.actions = new Actions(root, this.toast, () => this.refresh());
    this.search = new Search(() => this.refresh(true));
    this.shelves = new Shelves(root, this.actions, () => this.refresh(true));
    this.grid = new Grid({
      items: this.items,
      label: "Pictures",
      size: () => Math.min(SIZES[this.size], innerWidth < 760 ? 110 : Infinity),
      gap: 8,
      dress: (cell, item, id) => this.dress(cell, item, id),
    });
    this.viewer = new Viewer(root, (by) => this.step(by), () => this.grid.element.focus());
    this.panel = new Panel(this.actions, settings.tabs, {
      look: (item) => this.viewer.show([item]),
      open: (id, tab) => this.trigger("open", { id, tab }),
      boards: (details) => this.actions.chooseBoards([details.id], this.shelves.boards, details.boards),
      close: () => this.element.classList.remove("reading"),
    });
    this.several = make("div", { class: "several", role: "toolbar", "aria-label": "The chosen pictures", hidden: true });
    this.empty = make("div", { class: "empty", hidden: true });
    this.found = make("span", { class: "found", role: "status" });
    const larger = button("look", "Size of the pictures", () => {
      this.size = (this.size + 1) % SIZES.length;
      this.grid.layOut();
    });
    const head = make("div", { class: "head" }, this.search.element, this.found, larger);
    const middle = make("div", { class: "middle" }, head, this.grid.element, this.empty, this.several);
    this.element = make("div", { class: "history" }, this.shelves.element, middle, this.panel.element, this.toast.element);
    new Pointing(this);
    listenToKeys(this);
    setInterval(() => this.look(), LOOK);
  }

  /** Whether it is in sight. */
  get isOpen() {
    return this.element.offsetParent !== null && !document.hidden;
  }

  /** The tab was opened. */
  async open() {
    post("look", {}).catch(() => {}); // files that came from elsewhere; what is new is seen at the next look
    await this.refresh();
    this.grid.layOut();
  }

  /** Whether something changed since. */
  async look() {
    if (!this.isOpen) return;
    /** @type {State | null} */
    const state = await get("state").catch(() => null);
    if (!state) return;
    if (state.reading) this.found.textContent = `Reading ${state.reading[0].toLocaleString("en")} of ${plural(state.reading[1], "file")}…`;
    if (state.revision !== this.revision) await this.refresh();
  }

  /**
   * Searches anew.
   * @param {boolean} fromTop  something else is looked for
   */
  async refresh(fromTop = false) {
    const turn = ++this.asked;
    const query = { ...this.search.query, ...this.shelves.open };
    const given = Object.entries(query).filter(([, value]) => value);
    let found;
    try {
      found = await get(`search?${new URLSearchParams(given)}`);
    } catch (error) {
      if (turn === this.asked) this.found.textContent = error instanceof Error ? error.message : "";
      return;
    }
    if (turn !== this.asked) return;
    const isNew = found.revision !== this.revision || !this.choices;
    this.items.take(found, this.revision);
    this.revision = found.revision;
    this.inTrash = Boolean(this.shelves.open.trashed);
    this.search.clear.hidden = this.search.isEmpty;
    this.selection.show(found.ids);
    this.found.textContent = plural(found.ids.length);
    if (fromTop) this.grid.element.scrollTop = 0;
    this.grid.show(found.ids);
    this.grid.redress();
    this.showEmpty(found.ids.length);
    this.showChosen();
    // What is looked for changes nothing of what there is to choose from.
    if (isNew) await this.choose();
    else if (this.choices) this.shelves.fill(this.choices);
  }

  /** Learns what can be searched by. */
  async choose() {
    const choices = await get("choices").catch(() => null);
    if (!choices) return;
    this.choices = choices;
    this.panel.isPrivate = choices.private;
    this.search.fill(choices);
    this.shelves.fill(choices);
    this.showEmpty(this.grid.ids.length);
    this.showSeveral();
  }

  /** @param {number} count */
  showEmpty(count) {
    this.empty.hidden = count > 0;
    this.grid.element.hidden = count === 0;
    if (count) return;
    const { starred, board, trashed } = this.shelves.open;
    const say = (/** @type {string} */ title, /** @type {string} */ words, /** @type {Node[]} */ ...more) =>
      this.empty.replaceChildren(make("h2", {}, title), make("p", {}, words), ...more);
    const anew = button("close", "Search for nothing", () => {
      this.search.reset();
      this.refresh(true);
    }, { words: true });
    if (trashed && (this.search.isEmpty || !this.choices?.trashed)) say("The trash is empty", "What you delete lies here until you empty it.");
    else if (!this.search.isEmpty) say("Nothing like that", "Fewer words find more; parts of words are found as well.", anew);
    else if (starred) say("No stars yet", "Press S on a picture, or the star on it, to find it here again.");
    else if (board) say("Nothing on this board", "Choose pictures, then press Boards to put them here.");
    else
      say(
        "Your pictures will stand here",
        "Everything you make is kept, with its settings, until you delete it. Describe a picture in the first tab " +
          "and press Generate. Pictures from other programs are found as well: put them into the outputs folder."
      );
  }

  // What is chosen --------------------------------------------------------------------------------------

  /**
   * @param {HTMLElement} cell
   * @param {Item | undefined} item
   * @param {number} id
   */
  dress(cell, item, id) {
    const { selection } = this;
    if (cell.childElementCount === 1) {
      cell.append(
        make("span", { class: "mark check", "aria-hidden": "true" }, icon("check")),
        make("span", { class: "mark star", "aria-hidden": "true" }, icon("star"))
      );
    }
    cell.id = `picture-${id}`;
    cell.classList.toggle("focus", selection.focus === id);
    cell.classList.toggle("starred", item?.starred ?? false);
    cell.setAttribute("aria-selected", `${selection.chosen.has(id)}`);
  }

  /** After the choice changed. */
  async showChosen() {
    const { chosen, focus } = this.selection;
    this.grid.redress();
    this.element.classList.toggle("choosing", chosen.size > 1);
    if (focus !== null) this.grid.element.setAttribute("aria-activedescendant", `picture-${focus}`);
    this.showSeveral();
    if (focus !== null && !this.items.get(focus)) await this.items.need([focus]);
    this.panel.show(chosen.size && focus !== null ? (this.items.get(focus) ?? null) : null);
  }

  showSeveral() {
    const ids = this.selection.list;
    const inTrash = this.inTrash && (this.choices?.trashed ?? 0) > 0;
    this.several.hidden = ids.length < 2 && !inTrash;
    if (this.several.hidden) return;
    const worded = { words: true };
    if (inTrash && ids.length < 2) {
      const count = this.choices?.trashed ?? 0;
      this.several.replaceChildren(
        make("span", {}, "Deleted pictures lie here until you empty the trash."),
        button("trash", "Empty the trash", () => this.actions.erase(null, count), worded)
      );
      return;
    }
    const actions = this.inTrash
      ? [
          button("restore", "Restore", () => this.actions.restore(ids), worded),
          button("trash", "Delete for good", () => this.actions.erase(ids, ids.length), worded),
        ]
      : [
          button("star", "Star", () => this.starChosen(), worded),
          button("board", "Boards", () => this.actions.chooseBoards(ids, this.shelves.boards, []), worded),
          ...(ids.length === 2 ? [button("compare", "Compare", () => this.compare(), worded)] : []),
          button("save", "Export", () => this.actions.export(ids), worded),
          button("trash", "Delete", () => this.trashChosen(), worded),
        ];
    const none = button("close", "Choose nothing", () => this.chooseNone(), { keys: "Escape" });
    this.several.replaceChildren(make("span", {}, `${ids.length.toLocaleString("en")} chosen`), ...actions, none);
  }

  chooseNone() {
    this.selection.none();
    this.showChosen();
  }

  /** Stars what is chosen, or takes the stars where all have one. */
  async starChosen() {
    const ids = this.selection.list;
    await this.items.need(ids);
    const on = !ids.every((id) => this.items.get(id)?.starred);
    if (ids.length) await this.actions.star(ids, on);
  }

  trashChosen() {
    const ids = this.selection.list;
    if (!ids.length) return;
    if (this.inTrash) this.actions.erase(ids, ids.length);
    else this.actions.trash(ids);
  }

  async compare() {
    const ids = this.selection.list;
    if (ids.length !== 2) return;
    await this.items.need(ids);
    const items = ids.map((id) => this.items.get(id)).filter((item) => item !== undefined);
    if (items.length === 2) this.viewer.show(items);
  }

  async large() {
    const { focus } = this.selection;
    if (this.selection.chosen.size === 2) {
      this.compare();
      return;
    }
    if (focus === null) return;
    await this.items.need([focus]);
    const item = this.items.get(focus);
    if (item) this.viewer.show([item]);
  }

  /**
   * For the large view: another picture is chosen.
   * @param {number} by
   */
  step(by) {
    const id = this.selection.move(by);
    if (id === null) return undefined;
    this.grid.reveal(this.selection.places.get(id) ?? 0);
    this.showChosen();
    const near = this.selection.ids.slice(this.selection.places.get(id), (this.selection.places.get(id) ?? 0) + 20);
    this.items.need(near);
    return this.items.get(id);
  }
}
