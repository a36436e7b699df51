// The newest pictures beside the stage, as far back as somebody scrolls.

import { make } from "../canvas/dom.js";
import { get } from "./api.js";
import { Grid } from "./grid.js";
import { Items } from "./items.js";

/** @import { Item, State } from "./api.js" */

const LOOK = 1500; // milliseconds between two looks for what is new

export class Rail {
  /** @param {(id: number) => void} picked */
  constructor(picked) {
    this.revision = 0;
    this.selected = "";
    this.items = new Items(async (ids) => (await get(`items?ids=${ids}`)).items);
    this.grid = new Grid({
      items: this.items,
      label: "Latest pictures",
      size: () => 88,
      gap: 8,
      dress: (cell, item, id) => this.dress(cell, item, id),
    });
    this.empty = make("p", { class: "hint" }, "Pictures you make will stand here.");
    this.element = make("div", { class: "rail" }, this.grid.element, this.empty);
    this.grid.element.addEventListener("click", (event) => {
      const id = this.grid.idAt(event);
      if (id !== null) picked(id);
    });
    this.grid.element.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      const place = this.grid.ids.findIndex((id) => `${id}` === this.selected);
      const id = by === undefined ? undefined : this.grid.ids[Math.max(0, place + by)];
      if (id === undefined) return;
      event.preventDefault();
      this.grid.reveal(this.grid.ids.indexOf(id));
      picked(id);
    });
    setInterval(() => this.look(), LOOK);
  }

  /** @param {string} selected  id of the picture on the stage */
  select(selected) {
    this.selected = selected;
    this.grid.redress();
    // A picture that was finished just now is not in the list yet.
    if (selected && !this.grid.ids.includes(Number(selected))) this.look();
  }

  async look() {
    if (document.hidden || this.element.offsetParent === null) return;
    /** @type {State | null} */
    const state = await get("state").catch(() => null);
    if (!state || state.revision === this.revision) return;
    const found = await get("search").catch(() => null);
    if (!found) return;
    this.items.take(found, this.revision);
    this.revision = found.revision;
    this.empty.hidden = found.ids.length > 0;
    this.grid.show(found.ids);
    this.grid.redress();
  }

  /**
   * @param {HTMLElement} cell
   * @param {Item | undefined} item
   * @param {number} id
   */
  dress(cell, item, id) {
    cell.classList.toggle("starred", item?.starred ?? false);
    cell.setAttribute("aria-selected", `${`${id}` === this.selected}`);
  }
}
